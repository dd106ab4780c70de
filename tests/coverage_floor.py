"""Prints how much of the code the tests ran, and fails where that is below a floor.

::

    coverage json -q -o - | python tests/coverage_floor.py

The figure of a file is coverage's own: statements and branches that ran, divided by all
statements and branches.  One line is printed for each package and one for each floor.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: Name of a floor -> (patterns of the files it is about, percent that must be covered).
#: The drivers for Ceph and Cinder have floors of their own: no server of theirs is on CI.
FLOORS: Mapping[str, tuple[tuple[str, ...], float]] = {
    "glance_py and glance_store_py": (("*",), 90.0),
    "driver rbd": (("glance_store_py/drivers/rbd*",), 80.0),
    "driver cinder": (("glance_store_py/drivers/cinder*",), 80.0),
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """Statements and branches, and how many of them ran."""

    ran: int = 0
    total: int = 0

    def __add__(self, other: Figure) -> Figure:
        return Figure(self.ran + other.ran, self.total + other.total)

    @property
    def percent(self) -> float:
        """From 0 to 100; a file without statements is covered."""
        return 100 * self.ran / self.total if self.total else 100.0


def read(stream: TextIO) -> dict[str, Figure]:
    """The figures of a JSON report of coverage, by the path of the file."""
    return {
        path.replace("\\", "/"): Figure(
            summary["covered_lines"] + summary["covered_branches"],
            summary["num_statements"] + summary["num_branches"],
        )
        for path, file in json.load(stream)["files"].items()
        for summary in [file["summary"]]
    }


def by_package(files: Mapping[str, Figure]) -> dict[str, Figure]:
    """The figures of packages (without the packages inside of them), by dotted name."""
    packages: dict[str, Figure] = {}
    for path, figure in sorted(files.items()):
        name = path.rpartition("/")[0].replace("/", ".")
        packages[name] = packages.get(name, Figure()) + figure
    return packages


def matching(files: Mapping[str, Figure], patterns: Iterable[str]) -> Figure:
    """The figure of all files together whose path matches one of the shell patterns."""
    patterns = tuple(patterns)
    return sum(
        (
            figure
            for path, figure in files.items()
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
        ),
        Figure(),
    )


def judge(files: Mapping[str, Figure], out: TextIO) -> bool:
    """Print the tables to ``out``; is every floor held?

    A floor that no file matches is not held: the files were renamed, or not measured.
    """
    for name, figure in by_package(files).items():
        print(f"{figure.percent:6.1f} %  {name}", file=out)
    held = True
    for name, (patterns, floor) in FLOORS.items():
        figure = matching(files, patterns)
        good = figure.total > 0 and figure.percent >= floor
        held = held and good
        verdict = "" if good else "  TOO LOW"
        print(f"{figure.percent:6.1f} %  {name}: at least {floor:g} %{verdict}", file=out)
    return held


if __name__ == "__main__":
    sys.exit(0 if judge(read(sys.stdin), sys.stdout) else 1)
