"""Options: where a store finds the value of one, and what errors point at."""

import os
import tempfile
import unittest

from oslo_config import cfg

from glance_store_py import config
from glance_store_py.config import FILE_OPTIONS, StoreOptions


def configuration(text: str) -> cfg.ConfigOpts:
    """A ConfigOpts that has read ``text``."""
    conf = cfg.ConfigOpts()
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "test.conf")
        with open(path, "w") as file:
            file.write(text)
        conf([], default_config_files=[path], default_config_dirs=[])
    return conf


class TestSettings(unittest.TestCase):
    def settings(self, text):
        return StoreOptions(configuration(text), "fast", FILE_OPTIONS, config.DEFAULTS_SECTION)

    def test_own_section_then_backend_defaults_then_default(self):
        settings = self.settings(
            "[fast]\nfilesystem_store_datadir = /own\n"
            "[backend_defaults]\nfilesystem_store_datadir = /all\n"
            "filesystem_store_file_perm = 640\n"
        )
        self.assertEqual("/own", settings["filesystem_store_datadir"])
        self.assertEqual(640, settings["filesystem_store_file_perm"])
        self.assertEqual(65536, settings["filesystem_store_chunk_size"])

    def test_a_value_that_equals_the_default_is_set_all_the_same(self):
        settings = self.settings(
            "[fast]\nfilesystem_thin_provisioning = false\n"
            "[backend_defaults]\nfilesystem_thin_provisioning = true\n"
        )
        self.assertFalse(settings["filesystem_thin_provisioning"])
        self.assertTrue(settings.is_set("filesystem_thin_provisioning"))
        self.assertFalse(settings.is_set("filesystem_store_chunk_size"))

    def test_an_error_points_at_the_section_that_was_read(self):
        settings = self.settings("[backend_defaults]\nfilesystem_store_datadir = /all\n")
        self.assertEqual(
            "[backend_defaults] filesystem_store_datadir: no",
            str(settings.error("filesystem_store_datadir", "no")),
        )
        self.assertEqual(
            "[fast] filesystem_store_file_perm: no",
            str(settings.error("filesystem_store_file_perm", "no")),
        )

    def test_a_reserved_store_has_its_own_directory_and_few_options(self):
        conf = configuration(
            "[os_glance_tasks_store]\nfilesystem_store_file_perm = 640\n"
            "[backend_defaults]\nfilesystem_store_datadir = /all\n"
        )
        settings = StoreOptions(
            conf,
            config.TASKS_STORE,
            config.reserved_options(config.TASKS_STORE),
            settable=config.RESERVED_OPTIONS,
        )
        self.assertEqual(
            "/var/lib/glance/os_glance_tasks_store", settings["filesystem_store_datadir"]
        )
        self.assertEqual(0, settings["filesystem_store_file_perm"])


class TestGenerator(unittest.TestCase):
    def test_every_option_is_listed_with_help(self):
        for listed in (config.list_opts(), config.list_multi_store_opts()):
            for _, options in listed:
                for option in options:
                    self.assertTrue(option.help, option.name)
        sections = [section for section, _ in config.list_multi_store_opts()]
        self.assertEqual(["glance_store", "backend_defaults", *config.RESERVED_STORES], sections)
