"""glance-manage db indexes: optional indexes for databases with many images."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from json import dumps
from typing import TypeAlias

from glance_py.cmd.progress import ProgressLine
from glance_py.db import indexes
from glance_py.db.database import Database
from glance_py.db.indexes import Index, IndexState, IndexStatus
from glance_py.domain import errors

#: ``indexes.add`` or ``indexes.drop``: takes a function that shows progress.
IndexWork: TypeAlias = Callable[[Database, Index, Callable[[str], None]], None]

#: The names of the arguments, which :func:`run` takes by keyword.
ARGUMENTS = ("add", "drop", "json", "names")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``db indexes`` to its parser."""
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--add", action="store_true", help="build the indexes that are missing")
    action.add_argument("--drop", action="store_true", help="drop the indexes that exist")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these indexes; default all")


def run(database: Database, *, add: bool, drop: bool, json: bool, names: list[str]) -> int:
    """Show, add or drop the optional indexes for databases with many images.

    The schema has no index on names, nor on values of properties and tags; with more
    than about 50,000 images, lists that filter by these are slow without. The service
    does not require them: they can be added and dropped while it runs, in any number
    of calls. Writes continue meanwhile (on SQLite they wait). Ctrl-C cancels a build;
    the next --add or --drop removes what is left of it.

    An index of the same name with other columns ("other") is left alone, and the
    exit code of --add and --drop is 1.
    """
    selected = _select_names(database, names)
    has_foreign = False
    for found in _inspect(database, selected) if add or drop else ():
        if found.state is IndexState.FOREIGN:
            has_foreign = True
            print(
                f"{found.index.name}: left alone, since it is another index: {found.definition}",
                file=sys.stderr,
            )
        elif add and found.state is not IndexState.PRESENT:
            _run_with_progress("building", "built", indexes.add, database, found)
        elif drop and found.state is not IndexState.MISSING:
            _run_with_progress("dropping", "dropped", indexes.drop, database, found)
    _print_table(_inspect(database, selected), json)
    return int(has_foreign)


def _select_names(database: Database, names: list[str]) -> set[str]:
    known = {index.name for index in indexes.for_dialect(database.dialect)}
    if unknown := sorted(set(names) - known):
        raise errors.Invalid(
            f"There is no optional index {', '.join(unknown)} for this database; "
            f"there are {', '.join(sorted(known))}."
        )
    return set(names) or known


def _inspect(database: Database, names: set[str]) -> list[IndexStatus]:
    return [found for found in indexes.inspect_indexes(database) if found.index.name in names]


def _run_with_progress(
    doing: str, done: str, work: IndexWork, database: Database, found: IndexStatus
) -> None:
    """Print one line about one index on stderr; on a terminal, show the progress before."""
    name, started, line = found.index.name, time.monotonic(), ProgressLine()

    def report_progress(progress: str) -> None:
        line.write(f"{name}: {doing}, {time.monotonic() - started:.0f} s {progress}".rstrip())

    report_progress("")
    try:
        work(database, found.index, report_progress)
    except BaseException as error:
        line.clear()
        print(f"{name}: not {done}", file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            raise errors.Conflict(
                "Interrupted. Call it again, with --add to go on or with --drop to remove what was "
                "built."
            ) from None
        raise
    line.clear()
    print(f"{name}: {done} in {time.monotonic() - started:.1f} s", file=sys.stderr)


def _print_table(found: list[IndexStatus], as_json: bool) -> None:
    if as_json:
        print(
            dumps(
                [
                    {
                        "name": each.index.name,
                        "table": each.index.table,
                        "state": each.state.value,
                        "size": each.size,
                        "definition": each.definition,
                        "serves": each.index.used_by,
                    }
                    for each in found
                ],
                indent=2,
            )
        )
        return
    lines = [("INDEX", "TABLE", "STATE", "MIB", "SERVES")]
    lines += [
        (
            each.index.name,
            each.index.table,
            each.state.value,
            "" if each.size is None else f"{each.size / 2**20:.1f}",
            each.index.used_by,
        )
        for each in found
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
