"""Says in a few lines how a test run went: ``stestr last --subunit | python tests/summary.py``.

Tests that were skipped are named by their reasons, and servers that were missing
by their names, so that a run on a machine without a database server does not
look like more than it was.  The last line is the count.
"""

from __future__ import annotations

import collections
import sys

import subunit
import testtools

#: Words by which a reason names a server that a test needs.
SERVERS = {
    "PostgreSQL": ("postgresql",),
    "MariaDB": ("mariadb", "mysql"),
    "RabbitMQ": ("rabbitmq",),
    "Swift": ("swift is not installed",),
    "S3": ("no program 'weed'",),
    "nginx": ("nginx is not installed",),
}


def read(stream) -> testtools.StreamSummary:
    """The outcome of the run in a subunit (version 2) byte stream."""
    summary = testtools.StreamSummary()
    summary.startTestRun()
    subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout").run(summary)
    summary.stopTestRun()
    return summary


def missing_server(reason: str) -> str | None:
    """The server that was missing, where that is the reason."""
    for name, words in SERVERS.items():
        if any(word in reason.lower() for word in words):
            return name
    return None


def main() -> int:
    summary = read(sys.stdin.buffer)
    reasons = collections.Counter(str(reason) for _test, reason in summary.skipped)
    missing: collections.Counter[str] = collections.Counter()
    for reason, count in sorted(reasons.items()):
        if name := missing_server(reason):
            missing[name] += count
        else:
            print(f"skipped {count:4}  {reason.splitlines()[0]}")
    if missing:
        print(
            "NOT TESTED, because no server answered: "
            + ", ".join(f"{name} ({count} skipped)" for name, count in missing.items())
        )
    failed = len(summary.errors) + len(summary.failures)
    skipped = len(summary.skipped)
    passed = summary.testsRun - failed - skipped
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
