"""Stores by id: who may write where, and who may touch which address."""

import os
import tempfile
import unittest
from unittest import mock

from oslo_config import cfg

from glance_store_py import config, driver, errors
from glance_store_py.location import parse
from glance_store_py.stores import Stores
from tests.unit.glance_store_py.test_config import configuration

BACKENDS = cfg.DictOpt("enabled_backends")
STAGING_URI = cfg.StrOpt("node_staging_uri", default="file:///tmp/staging/")

MULTI = """
[DEFAULT]
enabled_backends = fast:file, fast2:file, web:http, ram:memory
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = {scratch}/fast
store_description = quick one
weight = 7
[fast2]
filesystem_store_datadir = {scratch}/fast2
[os_glance_staging_store]
filesystem_store_datadir = {scratch}/fast/staging
[os_glance_tasks_store]
filesystem_store_datadir = {scratch}/tasks
"""


class StoresCase(unittest.TestCase):
    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def stores(self, text=MULTI):
        conf = configuration(text.format(scratch=self.scratch))
        conf.register_opts([BACKENDS, STAGING_URI])
        return Stores.from_config(conf)

    def read(self, stores, url, store_id=None):
        data = stores.get(url, store_id)
        self.addCleanup(data.close)
        return b"".join(data.chunks)


class TestMultiStore(StoresCase):
    def test_what_is_configured_is_there_in_order_and_reserved_ones_hide(self):
        stores = self.stores()
        self.assertEqual(("fast", "fast2", "web", "ram"), stores.ids)
        self.assertEqual(("fast", True), (stores.default, stores.multi))
        infos = stores.describe()
        self.assertEqual(list(stores.ids), [info.id for info in infos])
        self.assertEqual(
            ("file", "quick one", True, False, 7),
            (
                infos[0].type,
                infos[0].description,
                infos[0].default,
                infos[0].read_only,
                infos[0].weight,
            ),
        )
        self.assertEqual(
            {"data_dir": f"{self.scratch}/fast", "chunk_size": 65536, "thin_provisioning": False},
            infos[0].properties,
        )
        self.assertEqual([False, False, True, False], [info.read_only for info in infos])

    def test_data_goes_to_the_default_and_the_metadata_names_it(self):
        stores = self.stores()
        stored = stores.add(None, "id", [b"data"], 4)
        self.assertEqual(
            (f"file://{self.scratch}/fast/id", 4, {"store": "fast"}),
            (stored.url, stored.size, stored.metadata),
        )
        self.assertEqual(b"data", self.read(stores, stored.url, "fast"))
        self.assertEqual(4, stores.size(stored.url, "fast"))
        stores.delete(stored.url, "fast")
        self.assertRaises(errors.StoreObjectNotFound, stores.get, stored.url, "fast")

    def test_unknown_store_is_refused_by_every_operation(self):
        stores = self.stores()
        url = f"file://{self.scratch}/fast/id"
        for call in (
            lambda: stores.add("gone", "id", []),
            lambda: stores.get(url, "gone"),
            lambda: stores.size(url, "gone"),
            lambda: stores.delete(url, "gone"),
            lambda: stores.health_check("gone"),
        ):
            self.assertRaises(errors.UnknownScheme, call)
        self.assertEqual(0, stores.weight("gone"))
        self.assertEqual(7, stores.weight("fast"))

    def test_nobody_adds_to_a_reserved_store_by_accident(self):
        stores = self.stores()
        self.assertRaises(errors.UnknownScheme, stores.add, config.STAGING_STORE, "id", [b"x"])
        stored = stores.add(config.STAGING_STORE, "id", [b"x"], reserved=True)
        self.assertEqual(f"file://{self.scratch}/fast/staging/id", stored.url)
        self.assertEqual(stored.url, stores.predict_url(config.STAGING_STORE, "id"))
        self.assertEqual(b"x", self.read(stores, stored.url, config.STAGING_STORE))

    def test_a_store_touches_only_what_is_its_own(self):
        stores = self.stores()
        theirs = stores.add("fast2", "id", [b"theirs"]).url
        staged = stores.add(config.STAGING_STORE, "id", [b"staged"], reserved=True).url
        for url in (theirs, staged, "file:///etc/passwd", f"file://{self.scratch}/fast22/id"):
            for operation in (stores.get, stores.size, stores.delete):
                with self.subTest(url=url, operation=operation.__name__):
                    self.assertRaises(errors.BadStoreUri, operation, url, "fast")
        for url in (staged, "file:///etc/passwd"):
            self.assertRaises(errors.BadStoreUri, stores.get, url)
        self.assertRaises(errors.UnknownScheme, stores.get, "http://host/x", "fast")
        self.assertEqual(b"theirs", self.read(stores, theirs))

    def test_an_address_is_mapped_to_its_store_by_whole_components(self):
        stores = self.stores()
        for url, store_id in (
            (f"file://{self.scratch}/fast/id", "fast"),
            (f"filesystem://{self.scratch}/fast2/id", "fast2"),
            (f"file://{self.scratch}/fast3/id", None),
            (f"file://{self.scratch}/fast/staging/id", None),
            ("http://host/x", "web"),
            ("memory://ram/x", "ram"),
            ("memory://other/x", None),
            ("ftp://host/x", None),
            ("?", None),
        ):
            with self.subTest(url=url):
                self.assertEqual(store_id, stores.store_for_url(url))

    def test_delete_attempt_removes_the_object_from_every_store(self):
        stores = self.stores()
        urls = [
            stores.add(store_id, "id", [b"x"], reserved=True).url
            for store_id in ("fast2", "ram", config.STAGING_STORE)
        ]
        other = stores.add("fast2", "other", [b"x"]).url
        self.assertEqual(urls[:1], stores.delete_attempt("id", "fast2"))
        self.assertEqual(urls[1:], stores.delete_attempt("id"))
        self.assertEqual([], stores.delete_attempt("id"))
        self.assertEqual(1, stores.size(other))

    def test_strict_raises_the_first_failure_after_the_other_stores_were_tried(self):
        stores = self.stores()
        url = stores.add("ram", "id", [b"x"]).url
        denied = errors.StoreForbidden()
        with mock.patch.object(stores._get_store("fast").guard, "delete", side_effect=denied):
            self.assertEqual([url], stores.delete_attempt("id"))
            stores.add("ram", "id", [b"x"])
            self.assertRaises(errors.StoreForbidden, stores.delete_attempt, "id", strict=True)
        self.assertRaises(errors.StoreObjectNotFound, stores.get, url)

    def test_a_url_policy_is_given_to_http_stores_only(self):
        stores = self.stores()

        def url_policy(url, redirected):
            return ["127.0.0.1"]

        stores.set_url_policy(url_policy)
        self.assertIs(url_policy, stores._get_store("web").guard.driver.url_policy)
        self.assertFalse(hasattr(stores._get_store("fast").guard.driver, "url_policy"))

    def test_access_lists_are_set_in_stores_that_have_them(self):
        stores = self.stores()
        self.assertFalse(stores.has_acl_stores)
        url = stores.add("fast", "id", [b"x"]).url
        guard = stores._get_store("fast").guard
        with mock.patch.object(guard, "set_acls") as set_acls:
            stores.set_acls(url, "fast", True, ["p"])
        set_acls.assert_called_once_with(parse(url), True, ["p"], caller=None)
        guard.capabilities |= {driver.ACLS}
        self.assertTrue(stores.has_acl_stores)

    def test_objects_are_listed_by_store(self):
        stores = self.stores()
        url = stores.add("fast", "id", [b"x"]).url
        self.assertEqual([url], [each.url for each in stores.list_objects("fast")])
        self.assertRaises(errors.StoreListNotSupported, list, stores.list_objects("ram"))
        stores.health_check("fast")

    def test_failed_cleanup_of_one_store_does_not_stop_the_others(self):
        stores = self.stores()
        with open(f"{self.scratch}/fast2/.id.0badcafe.part", "w"):
            os.rmdir(f"{self.scratch}/fast/staging")
            os.rmdir(f"{self.scratch}/fast")
        self.assertEqual(1, len(stores.cleanup()))

    def test_a_store_that_cannot_write_refuses_and_the_others_go_on(self):
        with open(f"{self.scratch}/fast2", "w"), self.assertLogs("glance_store_py") as logged:
            stores = self.stores()
        self.assertIn("[fast2] filesystem_store_datadir", logged.output[0])
        self.assertRaises(errors.StoreAddDisabled, stores.add, "fast2", "id", [b"x"])
        stores.add("fast", "id", [b"x"])

    def test_a_configuration_that_cannot_be_is_refused_by_name(self):
        for backends, default, message in (
            ("os_glance_mine:file", "os_glance_mine", r"\[DEFAULT\] enabled_backends.*mine"),
            ("a:tape", "a", r"\[DEFAULT\] enabled_backends.*tape"),
            ("a:memory", "b", r"\[glance_store\] default_backend.*'b'"),
            ("a:memory", "", r"\[glance_store\] default_backend"),
        ):
            text = f"[DEFAULT]\nenabled_backends = {backends}\n[glance_store]\n"
            with (
                self.subTest(backends=backends, default=default),
                self.assertRaisesRegex(errors.BadStoreConfiguration, message),
            ):
                self.stores(text + f"default_backend = {default}\n")


class TestSingleStore(StoresCase):
    text = (
        "[DEFAULT]\nnode_staging_uri = file://{scratch}/staging\n"
        "[glance_store]\nfilesystem_store_datadir = {scratch}/images\n"
    )

    def test_stores_are_named_like_their_drivers(self):
        stores = self.stores(self.text)
        self.assertEqual(
            (("file", "http"), "file", False), (stores.ids, stores.default, stores.multi)
        )

    def test_metadata_names_no_store_and_addresses_find_theirs(self):
        stores = self.stores(self.text)
        stored = stores.add(None, "id", [b"data"])
        self.assertEqual({}, stored.metadata)
        self.assertEqual(b"data", self.read(stores, stored.url))
        self.assertEqual(b"data", self.read(stores, stored.url, "left over from enabled_backends"))
        self.assertRaises(errors.BadStoreUri, stores.get, "file:///etc/passwd")

    def test_staging_goes_to_node_staging_uri(self):
        stores = self.stores(self.text)
        stored = stores.add(config.STAGING_STORE, "id", [b"data"], reserved=True)
        self.assertEqual(f"file://{self.scratch}/staging/id", stored.url)
        self.assertEqual(b"data", self.read(stores, stored.url, config.STAGING_STORE))

    def test_older_names_of_drivers_still_work(self):
        stores = self.stores(
            self.text + "default_store = filesystem\n"
            "stores = glance.store.filesystem.Store, glance.store.http.Store\n"
        )
        self.assertEqual((("file", "http"), "file"), (stores.ids, stores.default))

    def test_a_default_that_is_not_there_is_refused_by_name(self):
        with self.assertRaisesRegex(
            errors.BadStoreConfiguration, r"\[glance_store\] default_store.*'s3'"
        ):
            self.stores(self.text + "default_store = s3\n")
