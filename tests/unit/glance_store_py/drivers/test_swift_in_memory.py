"""The Swift driver passes the contract of drivers with a Swift and a Keystone in memory.

The cases are those of ``tests/contract/store/test_swift.py``, which run against a real Swift.
"""

import os
import unittest
import urllib.error
from unittest import mock

from glance_store_py import errors
from glance_store_py.drivers import swift, swift_trusts
from glance_store_py.drivers.swift_options import OPTIONS, SwiftSettings
from glance_store_py.location import parse
from glance_store_py.testing import settings
from tests.contract.store import test_swift as cases
from tests.unit.glance_store_py.drivers.fake_swift import FakeSwift


class InMemory:
    """Starts the servers for the cases of a class."""

    @classmethod
    def setUpClass(cls):
        cls.fake = FakeSwift()
        cls.addClassCleanup(cls.fake.stop)
        cls.enterClassContext(mock.patch.dict(os.environ, {"GLANCE_TEST_SWIFT": cls.fake.variable}))
        super().setUpClass()


class TestSwift(InMemory, cases.TestSwift):
    def test_segments_that_are_named_by_no_manifest_in_this_container(self):
        location = parse(self.store.add(self.image_id, [b"x" * 3 * cases.MB]).url)
        found = self.store.find_partial(self.image_id)
        self.assertEqual([location], found)

    def test_health(self):
        self.store.health_check()
        self.fake.is_away = "swift"
        self.addCleanup(setattr, self.fake, "is_away", None)
        self.assertRaises(errors.RemoteServiceFailed, self.store.health_check)

    def test_keystone_that_does_not_answer_is_an_unreachable_store(self):
        made = swift.SwiftDriver(
            settings(
                OPTIONS,
                swift_store_auth_address=f"http://{self.fake.host}/v3",
                swift_store_user="service:glance",
                swift_store_key="secret",
            ),
            "s",
        )
        self.fake.is_away = "keystone"
        self.addCleanup(setattr, self.fake, "is_away", None)
        self.assertRaises(errors.RemoteServiceUnavailable, made.health_check)

    def test_a_catalog_without_the_service(self):
        account = self.client.account
        with mock.patch.object(account._session.get(), "get_endpoint", return_value=None):
            self.assertRaisesRegex(errors.GlanceStoreError, "no such object store", account.url)

    def test_a_missing_container_is_named(self):
        made = swift.SwiftDriver(
            settings(
                OPTIONS,
                swift_store_auth_address=f"http://{self.fake.host}/v3",
                swift_store_user="service:glance",
                swift_store_key="secret",
                swift_store_container="missing",
                swift_store_endpoint=f"http://{self.fake.host}/v1/AUTH_service",
            ),
            "s",
        )
        self.assertRaisesRegex(
            errors.BadStoreConfiguration, "no container missing", made.add, "id", [b"x"], 1
        )

    def test_a_reference_that_is_not_configured(self):
        self.assertRaises(
            errors.BadStoreUri, self.store.driver.size, parse("swift+config://gone/c/o")
        )

    def test_an_account_that_must_not_be_written_to(self):
        made = self.store.driver
        client = made._client(made._references["ours"])
        with mock.patch.object(client, "has_container", side_effect=errors.StoreForbidden()):
            self.assertRaises(errors.StorageWriteDenied, self.store.add, "id", [b"x"])


class TestSwiftWithOptions(InMemory, cases.TestSwiftWithOptions):
    #: Two segments are enough here.
    ATTEMPT_SIZE = cases.MIB


class TestOlderOptions(InMemory, cases.TestOlderOptions):
    pass


class TestTenants(InMemory, cases.TestTenantsWithKeystone):
    def test_without_a_trust_the_token_of_the_request_is_used(self):
        made = swift.SwiftDriver(settings(OPTIONS, swift_store_multi_tenant=True), "s")
        for broken in (
            {"side_effect": swift_trusts_error()},
            {"return_value": None},
        ):
            with mock.patch.object(swift_trusts.KeystoneTrust, "_create", **broken):
                operations = made.as_caller(self.owner)
                stored = operations.add(f"id{len(broken)}{list(broken)[0]}", [b"data"], None)
            operations.delete(parse(stored.url))

    def test_a_trust_that_cannot_be_deleted_is_logged(self):
        keystone = mock.Mock()
        keystone.delete.side_effect = swift_trusts_error()
        trust = swift_trusts.KeystoneTrust(
            keystone, SwiftSettings.read(settings(OPTIONS)), "http://h/trusts/t", "token"
        )
        with self.assertLogs("glance_store_py", "WARNING"):
            trust.delete()

    def test_trusts_are_deleted(self):
        self.test_an_upload_outlives_its_token()
        self.assertEqual({}, self.fake.trusts)

    def test_segments_and_containers_that_stay_are_logged(self):
        location = parse(self.store.add(self.image_id, [b"data"]).url)
        denied = errors.StoreForbidden()
        with (
            mock.patch.object(swift.SwiftObjects, "orphaned_segments", side_effect=denied),
            mock.patch.object(swift.SwiftClient, "delete_container", side_effect=denied),
            self.assertLogs("glance_store_py", "WARNING") as logs,
        ):
            self.store.delete(location)
        self.assertEqual(2, len(logs.output))

    def test_nothing_is_predicted_or_checked_without_a_caller(self):
        self.assertEqual((), self.store.driver.predict_locations("id"))
        self.store.driver.health_check()

    def test_a_public_image_is_not_read_without_a_token(self):
        location = parse(self.store.add(self.image_id, [b"data"]).url)
        self.store.guard.set_acls(location, True, [], caller=self.owner)
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{location.authority}{location.path}")
        self.assertEqual(401, caught.exception.code)
        self.addCleanup(caught.exception.close)


def swift_trusts_error() -> Exception:
    from keystoneauth1 import exceptions

    return exceptions.Forbidden()


if __name__ == "__main__":
    unittest.main()
