"""Configuration files: what operators have in theirs works, and mistakes are told in words."""

from __future__ import annotations

import os
import pathlib
import tempfile
import unittest

from oslo_config import cfg

from glance_py import config, options


class Case(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def write(self, text: str, name: str = "glance-api.conf") -> str:
        (self.directory / name).write_text(text)
        return str(self.directory / name)

    def load(self, text: str) -> cfg.ConfigOpts:
        return config.load(["--config-file", self.write(text)])

    def refused(self, text: str) -> str:
        with self.assertRaises(config.ConfigurationError) as caught:
            self.load(text)
        return str(caught.exception)


class LoadTest(Case):
    def test_values(self) -> None:
        conf = self.load("[DEFAULT]\nenabled_backends = fast:file, slow:file\n"
                         "enabled_import_methods = [web-download]\n"
                         "[image_format]\ndisk_formats = raw,qcow2\n"
                         "[paste_deploy]\nflavor = keystone\n")
        self.assertEqual({"fast": "file", "slow": "file"}, conf.enabled_backends)
        self.assertEqual(["web-download"], conf.enabled_import_methods)
        self.assertEqual(["raw", "qcow2"], conf.image_format.disk_formats)
        self.assertEqual("keystone", conf.paste_deploy.flavor)

    def test_old_place_of_formats(self) -> None:
        conf = self.load("[DEFAULT]\ndisk_formats = raw\ncontainer_formats = bare\n")
        self.assertEqual((["raw"], ["bare"]),
                         (conf.image_format.disk_formats, conf.image_format.container_formats))

    def test_wrong_values_name_the_option(self) -> None:
        for line, section, name in (
            ("image_size_cap = much", "DEFAULT", "image_size_cap"),
            ("image_size_cap = 0", "DEFAULT", "image_size_cap"),
            ("limit_param_default = 0", "DEFAULT", "limit_param_default"),
            ("property_protection_rule_format = x", "DEFAULT", "property_protection_rule_format"),
            ("hashing_algorithm = rot13", "DEFAULT", "hashing_algorithm"),
            ("node_staging_uri = http://x", "DEFAULT", "node_staging_uri"),
            ("[task]\ntask_executor = eventlet", "task", "task_executor"),
            ("[image_format]\nrequire_image_format_match = perhaps", "image_format",
             "require_image_format_match"),
        ):
            text = self.refused(f"[DEFAULT]\n{line}\n")
            self.assertIn(f"[{section}] {name}", text)

    def test_brackets(self) -> None:
        """The list that wants brackets says so."""
        text = self.refused("[DEFAULT]\nenabled_import_methods = glance-direct,web-download\n")
        self.assertIn("[DEFAULT] enabled_import_methods", text)
        self.assertIn("square brackets", text)
        self.assertEqual([], self.load("[DEFAULT]\nenabled_import_methods = []\n")
                         .enabled_import_methods)

    def test_unreadable(self) -> None:
        with self.assertRaisesRegex(config.ConfigurationError, "nowhere.conf"):
            config.load(["--config-file", "/nowhere.conf"])
        self.assertIn("glance-api.conf", self.refused("[DEFAULT\nx"))


class FilesTest(Case):
    def test_directory(self) -> None:
        """OS_GLANCE_CONFIG_DIR: the import file first, then the service's, which wins."""
        environ = {"OS_GLANCE_CONFIG_DIR": str(self.directory)}
        self.assertEqual([], config.default_config_files(environ))
        service = self.write("[DEFAULT]\nimage_tag_quota = 2\n")
        self.assertEqual([service], config.default_config_files(environ))
        first = self.write("[DEFAULT]\nimage_tag_quota = 1\n", "glance-image-import.conf")
        files = config.default_config_files(environ)
        self.assertEqual([first, service], files)
        self.assertEqual(2, config.load([], files).image_tag_quota)

    def test_named(self) -> None:
        """OS_GLANCE_CONFIG_FILES: other files, relative to the directory."""
        self.assertEqual(["/d/a.conf", "/x/b.conf"], config.default_config_files(
            {"OS_GLANCE_CONFIG_DIR": "/d", "OS_GLANCE_CONFIG_FILES": "a.conf; /x/b.conf;"}))

    def test_none_at_all(self) -> None:
        """Without a file: SQLite and a file store under the state directory, loopback only."""
        state = str(self.directory / "state")
        old = os.environ.get("GLANCE_STATE_DIR")
        os.environ["GLANCE_STATE_DIR"] = state
        self.addCleanup(lambda: os.environ.pop("GLANCE_STATE_DIR") if old is None
                        else os.environ.update(GLANCE_STATE_DIR=old))
        conf = config.load([], [])
        self.assertTrue(config.is_stand_alone(conf))
        self.assertEqual("127.0.0.1", conf.bind_host)
        self.assertEqual(f"sqlite:///{state}/glance.sqlite", conf.database.connection)
        self.assertEqual({"local": "file"}, conf.enabled_backends)
        self.assertFalse(config.is_stand_alone(self.load("")))


class DeclarationsTest(unittest.TestCase):
    def test_declared_once(self) -> None:
        """No name stands twice in a group, and each option explains itself."""
        for group, opts in config.list_opts():
            names = [opt.name for opt in opts]
            self.assertEqual(len(names), len(set(names)), group)
            for opt in opts:
                self.assertGreater(len(opt.help or ""), 20, opt.name)

    def test_registered_twice(self) -> None:
        conf = cfg.ConfigOpts()
        config.register(conf)
        config.register(conf)
        self.assertLessEqual({"DEFAULT", "image_format", "paste_deploy"}, set(options.GROUPS))
