"""Typed settings: what they read from a configuration, and that their defaults are the options'."""

import dataclasses
import unittest

from glance_py.settings import QuotaSettings, Settings, storage_quota
from tests.unit import factories


class TestDefaults(unittest.TestCase):
    def test_they_are_those_of_the_options(self):
        read = Settings.from_conf(factories.make_conf())
        for field in dataclasses.fields(Settings):
            with self.subTest(field.name):
                self.assertEqual(getattr(Settings(), field.name), getattr(read, field.name))


class TestReading(unittest.TestCase):
    def test_lists_cannot_be_changed(self):
        conf = factories.make_conf(enabled_import_methods=["web-download"])
        self.assertEqual(("web-download",), Settings.from_conf(conf).api.enabled_import_methods)

    def test_a_storage_quota_is_in_bytes(self):
        conf = factories.make_conf(user_storage_quota="2MB")
        self.assertEqual(2 << 20, QuotaSettings.from_conf(conf).user_storage_quota)

    def test_a_storage_quota_that_is_no_size_is_named(self):
        with self.assertRaisesRegex(ValueError, "user_storage_quota: '1 GB' is not a size"):
            QuotaSettings.from_conf(factories.make_conf(user_storage_quota="1 GB"))

    def test_units(self):
        self.assertEqual(
            [7, 7, 7 << 10, 7 << 20, 7 << 30, 7 << 40],
            [storage_quota(f"7{unit}") for unit in ("", "B", "KB", "MB", "GB", "TB")],
        )
        for wrong in ("", "B", "-1", "1PB", "1.5GB", "1gb"):
            with self.subTest(wrong):
                self.assertRaises(ValueError, storage_quota, wrong)

    def test_secrets_are_not_shown(self):
        conf = factories.make_conf(registry_shared_secret="s3cret")
        self.assertNotIn("s3cret", repr(Settings.from_conf(conf)))
