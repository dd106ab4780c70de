"""glance-manage store check (fsck): compares the data in the stores with the database.

This module reads the arguments, prints the findings and returns the exit code;
``store_check_comparison.py`` compares.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any, Self

from oslo_config import cfg

from glance_py.cmd.progress import ProgressLine
from glance_py.cmd.store_check_comparison import CheckCounts, CheckOptions, Finding, StoreComparison
from glance_py.db.repositories import sql_repositories as open_repositories
from glance_store_py.errors import GlanceStoreError
from glance_store_py.stores import Stores

#: Exit codes: no findings; the check could not be completed; findings that were not removed.
EXIT_OK, EXIT_FAILED, EXIT_FINDINGS = 0, 1, 3

_HOUR = 3600


@dataclasses.dataclass(frozen=True, slots=True)
class StoreCheckArguments:
    """The arguments of the command; ``older_than`` in hours."""

    store: Sequence[str] = ()
    verify_hash: bool = False
    delete_orphans: bool = False
    older_than: float = 24
    json: bool = False

    @classmethod
    def from_options(cls, options: Any) -> Self:
        """What the parser found; ``options`` has an attribute for each argument."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(options, name) for name in names})


def check(conf: cfg.ConfigOpts, arguments: StoreCheckArguments) -> int:
    """Compare the stores with the database.

    Finds copies of images that are missing, have the wrong size or cannot be
    read, and objects that belong to no image.  Changes nothing without
    --delete-orphans.  Safe while the service runs.

    exit code: 0 no findings; 1 the check could not be completed; 3 findings.
    """
    try:
        stores = Stores.from_config(conf)
        line = ProgressLine(not arguments.json)

        def show_progress(counts: CheckCounts) -> None:
            if line.is_due():
                line.write(_progress_text(counts))

        comparison = StoreComparison(
            open_repositories(conf), stores, _check_options(stores, arguments), show_progress
        )
        has_findings = False
        for finding in comparison.run():
            has_findings |= not finding.removed
            line.clear()
            print(_format_json(finding) if arguments.json else _format_line(finding), flush=True)
        line.clear()
    except GlanceStoreError as error:
        print(f"glance-manage: {error}", file=sys.stderr)
        return EXIT_FAILED
    if arguments.json:
        print(json.dumps({"checked": dataclasses.asdict(comparison.counts)}))
    else:
        print(_summary(comparison.counts))
    return EXIT_FINDINGS if has_findings else EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``store check`` to its parser."""
    parser.add_argument(
        "--store",
        action="append",
        default=[],
        metavar="ID",
        help="only this store; may be given several times",
    )
    parser.add_argument(
        "--verify-hash",
        action="store_true",
        help="read all data and compare its hash, which takes long",
    )
    parser.add_argument(
        "--delete-orphans", action="store_true", help="remove objects that belong to no image"
    )
    parser.add_argument(
        "--older-than",
        type=float,
        default=24,
        metavar="HOURS",
        help="ignore objects that were written later than that; default %(default)s",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object for each finding, and one at the end",
    )


def _check_options(stores: Stores, arguments: StoreCheckArguments) -> CheckOptions:
    for store in arguments.store:
        if store not in stores.ids:
            raise ValueError(f"There is no store '{store}'.")
    return CheckOptions(
        stores=arguments.store or stores.ids,
        verify_hash=arguments.verify_hash,
        delete_orphans=arguments.delete_orphans,
        older_than=arguments.older_than * _HOUR,
    )


def _format_line(finding: Finding) -> str:
    detail = f" ({finding.detail})" if finding.detail else ""
    removed = ", removed" if finding.removed else ""
    return f"{finding.kind}{removed}: image {finding.image_id} at {finding.url}{detail}"


def _format_json(finding: Finding) -> str:
    return json.dumps(dataclasses.asdict(finding))


def _summary(counts: CheckCounts) -> str:
    text = f"Checked {counts.copies} copies of {counts.images} images and {counts.objects} objects."
    if counts.hashed:
        text += f" Hashed {counts.hashed} bytes."
    if counts.foreign:
        text += f" {counts.foreign} objects are not named after an image and were left alone."
    if counts.young:
        text += f" {counts.young} objects are too recent to be orphans."
    if counts.silent:
        text += f" No search for orphans in: {', '.join(counts.silent)}."
    return text


def _progress_text(counts: CheckCounts) -> str:
    text = f"{counts.objects} objects, {counts.images} images"
    if counts.hashed:
        text += f", {counts.hashed / 2**30:.1f} GiB hashed"
    return text
