"""A search through the schedules of what works on the data of images at the same time.

The production code runs in threads that stop at every call of a port (records, stores, clock).
A scheduler resumes one of them at a time, lets calls fail in the ways in which calls fail, and lets
processes pause or crash.  ``python -m tests.explorer --help`` shows how to run it.
"""
