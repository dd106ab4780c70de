"""Says in a few lines how a test run went: ``stestr last --subunit | python tests/summary.py``.

Tests that were skipped are named by their reasons, so that a run on a machine
without a database server does not look like more than it was.  The last line
is the count.
"""

from __future__ import annotations

import collections
import sys

import subunit
import testtools


def read(stream) -> testtools.StreamSummary:
    """The outcome of the run in a subunit (version 2) byte stream."""
    summary = testtools.StreamSummary()
    summary.startTestRun()
    subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout").run(summary)
    summary.stopTestRun()
    return summary


def main() -> int:
    summary = read(sys.stdin.buffer)
    reasons = collections.Counter(str(reason) for _test, reason in summary.skipped)
    for reason, count in sorted(reasons.items()):
        print(f"skipped {count:4}  {reason}")
    failed = len(summary.errors) + len(summary.failures)
    skipped = len(summary.skipped)
    passed = summary.testsRun - failed - skipped
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
