"""Which services the contract of drivers is tried against: those that the environment names."""

import os
import tempfile
import unittest

from tests.contract.store import seaweed


def required(variable: str, what: str) -> str:
    """The value of a variable; without it the case is skipped, or fails where CI wants it."""
    value = os.environ.get(variable)
    if value:
        return value
    reason = f"{variable} does not name {what}"
    if os.environ.get("GLANCE_TEST_REQUIRE_SERVICES") == "1":
        raise AssertionError(reason)
    raise unittest.SkipTest(reason)


def s3() -> str:
    """The address of an S3 service: the one that GLANCE_TEST_S3 names, or one of our own."""
    if "GLANCE_TEST_S3" not in os.environ and seaweed.program():
        return seaweed.start()
    return required("GLANCE_TEST_S3", "an S3 service, and there is no program 'weed'")


def scratch() -> tempfile.TemporaryDirectory:
    """A directory for one case."""
    return tempfile.TemporaryDirectory()
