"""Addresses of stores for block devices, and the clear no to datastores of VMware."""

import unittest

from glance_store_py import config, errors
from glance_store_py.drivers import cinder, rbd, vmware
from glance_store_py.drivers.cinder_options import OPTIONS as CINDER
from glance_store_py.drivers.rbd_options import OPTIONS as RBD
from glance_store_py.location import StoreLocation, parse
from glance_store_py.stores import Stores
from glance_store_py.testing import settings
from tests.unit.glance_store_py.test_config import configuration
from tests.unit.glance_store_py.test_stores import BACKENDS

VOLUME = "e3a4e56c-0a7c-41d9-ae25-1485e223a69d"


class TestLocations(unittest.TestCase):
    def test_an_rbd_address_is_taken_apart(self):
        found = parse("rbd://fs%69d/im%61ges/a%2Fb/snap")
        self.assertEqual(StoreLocation("rbd", "fsid", "/images/a%2Fb/snap"), found)
        self.assertEqual(found, parse(found.url))
        self.assertEqual(2, found.match_depth(StoreLocation("rbd", "fsid", "/images")))
        self.assertEqual(StoreLocation("rbd", "image"), parse("rbd://image"))

    def test_rbd_addresses_that_cannot_be(self):
        for rest in ("", "a/b", "a/b/c", "a/b/c/d/e", "a//c/d", "a/b/c/d\n", "a/b/c/"):
            with self.subTest(rest=rest):
                self.assertRaises(errors.BadStoreUri, parse, f"rbd://{rest}")

    def test_a_cinder_address_is_taken_apart(self):
        for url in (f"cinder://vol/{VOLUME}", f"cinder://{VOLUME}"):
            self.assertEqual(url, parse(url).url)
        self.assertEqual(
            StoreLocation("cinder", "vol", f"/{VOLUME}"), parse(f"cinder://vol/{VOLUME}")
        )

    def test_cinder_addresses_that_cannot_be(self):
        for rest in ("", "vol", "vol/disk", f"a/b/{VOLUME}", f"vol/{VOLUME}/", f"v l/{VOLUME}"):
            with self.subTest(rest=rest):
                self.assertRaises(errors.BadStoreUri, parse, f"cinder://{rest}")

    def test_vsphere_is_refused_by_name(self):
        self.assertRaisesRegex(
            errors.BadStoreUri, "VMware", parse, "vsphere://host/folder/dir/id?dcPath=dc&dsName=ds"
        )


class TestDrivers(unittest.TestCase):
    def test_an_rbd_driver_reads_its_own_pool_only(self):
        driver = rbd.RbdDriver(settings(RBD), "ceph")
        self.assertEqual(
            ("image", "snap"), driver._parse_location(parse("rbd://any/images/image/snap"))
        )
        self.assertEqual(("image", None), driver._parse_location(parse("rbd://image")))
        self.assertRaises(
            errors.BadStoreUri, driver._parse_location, parse("rbd://any/vms/image/snap")
        )

    def test_a_cinder_driver_needs_an_account_and_says_which_option_is_missing(self):
        user = {"cinder_store_user_name": "u", "cinder_store_password": "p"}
        there = {"cinder_store_auth_address": "http://keystone/"}
        for values, option in (
            ({}, "auth_address"),
            (there, "user_name"),
            ({**there, **user}, "project_name"),
            ({**there, "cinder_store_application_credential_id": "i"}, "credential_secret"),
            (
                {**there, **user, "cinder_store_project_name": "s", "cinder_catalog_info": "x"},
                "catalog_info",
            ),
        ):
            with (
                self.subTest(values=values),
                self.assertRaisesRegex(errors.BadStoreConfiguration, option),
            ):
                cinder.CinderDriver(settings(CINDER, **values), "vol").configure_add()

    def test_with_one_store_an_address_names_no_store(self):
        only = settings(CINDER)
        only.section = config.SINGLE_SECTION
        self.assertEqual(
            f"cinder://{VOLUME}", cinder.CinderDriver(only, "cinder")._location(VOLUME).url
        )
        self.assertEqual(
            f"cinder://vol/{VOLUME}",
            cinder.CinderDriver(settings(CINDER), "vol")._location(VOLUME).url,
        )

    def test_a_vmware_store_stops_the_start(self):
        conf = configuration(
            "[DEFAULT]\nenabled_backends = old:vmware\n[glance_store]\ndefault_backend = old\n"
        )
        conf.register_opt(BACKENDS)
        with self.assertRaisesRegex(
            errors.BadStoreConfiguration,
            r"\[DEFAULT\] enabled_backends: 'old'.*no driver for VMware",
        ):
            Stores.from_config(conf, reserved=())
        only = settings()
        only.section = config.SINGLE_SECTION
        self.assertRaisesRegex(
            errors.BadStoreConfiguration,
            r"\[glance_store\] stores: ",
            vmware.VmwareDriver,
            only,
            "vmware",
        )
