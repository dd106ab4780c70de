"""Which services the contract of drivers is tried against: those that the environment names."""

import importlib.util
import os
import tempfile
import unittest
from urllib.parse import urlsplit

from tests.contract.store import seaweed
from tests.servers import swift as own_swift


def required(variable: str, what: str) -> str:
    """The value of a variable; without it the case is skipped, or fails where CI wants it."""
    value = os.environ.get(variable)
    needs(value, f"{variable} does not name {what}")
    return str(value)


def needs(present: object, reason: str) -> None:
    """Skip the case, or fail it where CI wants it, unless something is ``present``."""
    if not present:
        if os.environ.get("GLANCE_TEST_REQUIRE_SERVICES") == "1":
            raise AssertionError(reason)
        raise unittest.SkipTest(reason)


def s3() -> str:
    """The address of an S3 service: the one that GLANCE_TEST_S3 names, or one of our own."""
    if "GLANCE_TEST_S3" not in os.environ and seaweed.program():
        return seaweed.start()
    return required("GLANCE_TEST_S3", "an S3 service, and there is no program 'weed'")


def swift_keystone() -> str:
    """A Keystone with a Swift: what GLANCE_TEST_SWIFT names, or our own Swift."""
    if "GLANCE_TEST_SWIFT" not in os.environ and own_swift.program():
        return own_swift.start().keystone
    return required("GLANCE_TEST_SWIFT", "a Keystone with a Swift, and Swift is not installed")


def swift_tempauth() -> str:
    """A Swift with tempauth: what GLANCE_TEST_SWIFT_TEMPAUTH names, or our own Swift."""
    if "GLANCE_TEST_SWIFT_TEMPAUTH" not in os.environ and own_swift.program():
        return own_swift.start().tempauth
    return required(
        "GLANCE_TEST_SWIFT_TEMPAUTH", "a Swift with tempauth, and Swift is not installed"
    )


def swift_s3() -> str:
    """The S3 API of our own Swift, as :func:`s3` gives an address."""
    needs(own_swift.program(), "Swift is not installed")
    return own_swift.start().s3


def cinder_account() -> dict[str, str]:
    """The options of a Cinder store for the account that GLANCE_TEST_CINDER_KEYSTONE names,

    as ``http://user:password@host:port/v3,project``.
    """
    needs_os_brick()
    address, _, project = required(
        "GLANCE_TEST_CINDER_KEYSTONE", "a Keystone with a Cinder"
    ).rpartition(",")
    url = urlsplit(address)
    return {
        "cinder_store_auth_address": f"{url.scheme}://{url.hostname}:{url.port}{url.path}",
        "cinder_store_user_name": str(url.username),
        "cinder_store_password": str(url.password),
        "cinder_store_project_name": project,
    }


def needs_os_brick() -> None:
    if importlib.util.find_spec("os_brick") is None:
        raise unittest.SkipTest("the package os-brick is not installed")


def scratch() -> tempfile.TemporaryDirectory:
    """A directory for one case."""
    return tempfile.TemporaryDirectory()
