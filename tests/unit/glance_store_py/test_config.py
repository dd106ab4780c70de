"""Options: where a store finds the value of one, and what errors point at."""

import dataclasses
import os
import tempfile
import unittest

from oslo_config import cfg

from glance_store_py import config, errors
from glance_store_py.config import StoreOptions
from glance_store_py.driver_spec import DRIVERS
from glance_store_py.drivers import (
    cinder_options,
    file_options,
    http_options,
    rbd_options,
    s3_options,
    swift_options,
)
from glance_store_py.drivers.file_options import OPTIONS as FILE_OPTIONS
from glance_store_py.location import parse


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


class TestSpecs(unittest.TestCase):
    """The facts of a driver are declared once: what derives from them agrees with the rest."""

    def test_names_of_drivers_and_schemes_are_unique(self):
        specs = list(DRIVERS.all())
        for values in (
            [name for spec in specs for name in (spec.name, *spec.aliases)],
            [scheme for spec in specs for scheme in spec.schemes],
        ):
            self.assertEqual(len(values), len(set(values)))

    def test_a_driver_has_the_spec_that_its_entry_point_names(self):
        for spec in DRIVERS.all():
            with self.subTest(driver=spec.name):
                self.assertIs(spec, spec.load().spec)
                self.assertEqual(spec.name, DRIVERS.find(spec.name).name)

    def test_default_store_accepts_names_that_are_schemes(self):
        [_, option] = config.single_options()
        self.assertEqual(
            {
                *("file", "filesystem", "http", "https", "memory", "rbd", "cinder", "s3"),
                *("swift", "swift+http", "swift+https", "swift+config", "vsphere"),
            },
            set(option.type.choices),
        )

    def test_urls_of_every_scheme_are_parsed(self):
        for scheme in DRIVERS.parsers:
            with self.subTest(scheme=scheme):
                self.assertRaises(errors.BadStoreUri, parse, f"{scheme}://")

    #: Options without an effect, which settings do not have.
    UNUSED = frozenset({"swift_store_ssl_compression", "swift_store_auth_version"})

    def test_settings_have_a_field_of_the_right_type_for_each_option(self):
        for spec, kind in (
            (file_options.SPEC, file_options.FileSettings),
            (http_options.SPEC, http_options.HttpSettings),
            (rbd_options.SPEC, rbd_options.RbdSettings),
            (cinder_options.SPEC, cinder_options.CinderSettings),
            (s3_options.SPEC, s3_options.S3Settings),
            (swift_options.SPEC, swift_options.SwiftSettings),
        ):
            fields = {
                field.name: field.type
                for field in dataclasses.fields(kind)
                if field.name != "options"
            }
            expected = {
                option.dest: type_of(option)
                for option in spec.options
                if option.dest not in self.UNUSED
            }
            with self.subTest(driver=spec.name):
                self.assertEqual(expected, fields)


def type_of(option: cfg.Opt) -> str:
    """The annotation of the field for an option."""
    name = {
        cfg.StrOpt: "str",
        cfg.IntOpt: "int",
        cfg.BoolOpt: "bool",
        cfg.ListOpt: "list[str]",
        cfg.MultiStrOpt: "list[str]",
        cfg.DictOpt: "dict[str, str]",
    }[type(option)]
    return name if option.default is not None else f"{name} | None"


class TestGenerator(unittest.TestCase):
    def test_every_option_is_listed_with_help(self):
        for listed in (config.list_opts(), config.list_multi_store_opts()):
            for _, options in listed:
                for option in options:
                    self.assertTrue(option.help, option.name)
        sections = [section for section, _ in config.list_multi_store_opts()]
        self.assertEqual(["glance_store", "backend_defaults", *config.RESERVED_STORES], sections)
