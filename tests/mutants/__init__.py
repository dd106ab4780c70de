"""Mutants of the code: does a test notice a small error?

``make mutants`` (``python -m tests.mutants``) makes one small error after another and runs the
tests that execute the line.  Two kinds of run:

- ``rights``: the code that judges callers, completely; a mutant that no test notices fails the run.
- the packages in :mod:`tests.mutants.packages`: a sample of all mutants, of which a share has to be
  noticed.  ``--all`` takes all of them, ``--sample N --seed S`` other ones.

Each mutant lives in a process of its own, forked from one that has imported what is not this
repository's, and has a time limit.
"""
