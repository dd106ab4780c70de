"""Tests what uses private parts of libraries, with the newest releases of those libraries.

::

    python -m tests.canary --requirements    # their names, for pip install --upgrade --pre
    python -m tests.canary                   # the tests

Libraries and tests are read from ``setup.cfg``: each requirement with an upper bound has a comment
that names the modules and the tests.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]

_COMMENT = re.compile(r"# private parts in (?P<modules>[^:]+):")
_TESTS = re.compile(r"#   (?P<tests>tests\.[\w. ]+)")
_BOUNDED = re.compile(r"(?P<name>[\w.-]+)>=[\d.]+,<[\d.]+")


@dataclasses.dataclass(frozen=True)
class Bounded:
    """A library with an upper bound: the modules that use private parts, the tests of that."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


def bounded(text: str) -> list[Bounded]:
    """The libraries with an upper bound in the text of ``setup.cfg``, in its order.

    A library that is required a second time, by an extra, is listed once.

    :raises ValueError: one has no comment.
    """
    found: dict[str, Bounded] = {}
    modules: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    for line in map(str.strip, text.splitlines()):
        if match := _COMMENT.fullmatch(line):
            modules = tuple(match["modules"].split(", "))
        elif match := _TESTS.fullmatch(line):
            tests += tuple(match["tests"].split())
        else:
            match = _BOUNDED.fullmatch(line)
            if match and match["name"] not in found:
                if not (modules and tests):
                    raise ValueError(f"{line}: no comment says which tests need the upper bound.")
                found[match["name"]] = Bounded(match["name"], modules, tests)
            modules, tests = (), ()
    return list(found.values())


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="canary", description=__doc__)
    parser.add_argument("--requirements", action="store_true")
    libraries = bounded((ROOT / "setup.cfg").read_text())
    if parser.parse_args(argv).requirements:
        print(*(library.name for library in libraries))
        return 0
    for library in libraries:
        print(library.name, importlib.metadata.version(library.name))
    names = dict.fromkeys(test for library in libraries for test in library.tests)
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
