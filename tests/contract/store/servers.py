"""Which services the contract of drivers is tried against: those that the environment names."""

import os
import tempfile
import unittest


def required(variable: str, what: str) -> str:
    """The value of a variable; without it the case is skipped, or fails where CI wants it."""
    value = os.environ.get(variable)
    if value:
        return value
    reason = f"{variable} does not name {what}"
    if os.environ.get("GLANCE_TEST_REQUIRE_SERVICES") == "1":
        raise AssertionError(reason)
    raise unittest.SkipTest(reason)


def scratch() -> tempfile.TemporaryDirectory:
    """A directory for one case."""
    return tempfile.TemporaryDirectory()
