"""Configuration files: what operators have in theirs works, and mistakes are told in words."""

from __future__ import annotations

import os
import pathlib
import tempfile
import unittest
from unittest import mock

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
        conf = self.load(
            "[DEFAULT]\nenabled_backends = fast:file, slow:file\n"
            "enabled_import_methods = [web-download]\n"
            "[image_format]\ndisk_formats = raw,qcow2\n"
            "[paste_deploy]\nflavor = keystone\n"
        )
        self.assertEqual({"fast": "file", "slow": "file"}, conf.enabled_backends)
        self.assertEqual(["web-download"], conf.enabled_import_methods)
        self.assertEqual(["raw", "qcow2"], conf.image_format.disk_formats)
        self.assertEqual("keystone", conf.paste_deploy.flavor)

    def test_old_place_of_formats(self) -> None:
        conf = self.load("[DEFAULT]\ndisk_formats = raw\ncontainer_formats = bare\n")
        self.assertEqual(
            (["raw"], ["bare"]),
            (conf.image_format.disk_formats, conf.image_format.container_formats),
        )

    def test_wrong_values_name_the_option(self) -> None:
        for line, section, name in (
            ("image_size_cap = much", "DEFAULT", "image_size_cap"),
            ("image_size_cap = 0", "DEFAULT", "image_size_cap"),
            ("limit_param_default = 0", "DEFAULT", "limit_param_default"),
            ("property_protection_rule_format = x", "DEFAULT", "property_protection_rule_format"),
            ("hashing_algorithm = rot13", "DEFAULT", "hashing_algorithm"),
            ("node_staging_uri = http://x", "DEFAULT", "node_staging_uri"),
            ("[task]\ntask_executor = eventlet", "task", "task_executor"),
            (
                "[image_format]\nrequire_image_format_match = perhaps",
                "image_format",
                "require_image_format_match",
            ),
        ):
            text = self.refused(f"[DEFAULT]\n{line}\n")
            self.assertIn(f"[{section}] {name}", text)

    def test_brackets(self) -> None:
        """The list that wants brackets says so."""
        text = self.refused("[DEFAULT]\nenabled_import_methods = glance-direct,web-download\n")
        self.assertIn("[DEFAULT] enabled_import_methods", text)
        self.assertIn("square brackets", text)
        self.assertEqual(
            [], self.load("[DEFAULT]\nenabled_import_methods = []\n").enabled_import_methods
        )

    def test_unreadable(self) -> None:
        with self.assertRaisesRegex(config.ConfigurationError, "nowhere.conf"):
            config.load(["--config-file", "/nowhere.conf"])
        self.assertIn("glance-api.conf", self.refused("[DEFAULT\nx"))


class FilesTest(Case):
    def test_directory(self) -> None:
        """OS_GLANCE_CONFIG_DIR: the import file first, then the service's, which wins."""
        environ = {"OS_GLANCE_CONFIG_DIR": str(self.directory)}
        service = self.write("[DEFAULT]\nimage_tag_quota = 2\n")
        self.assertEqual([service], config.default_config_files(environ))
        first = self.write("[DEFAULT]\nimage_tag_quota = 1\n", "glance-image-import.conf")
        files = config.default_config_files(environ)
        self.assertEqual([first, service], files)
        self.assertEqual(2, config.load([], files).image_tag_quota)

    def test_named(self) -> None:
        """OS_GLANCE_CONFIG_FILES: other files, relative to the directory."""
        self.assertEqual(
            ["/d/a.conf", "/x/b.conf"],
            config.default_config_files(
                {"OS_GLANCE_CONFIG_DIR": "/d", "OS_GLANCE_CONFIG_FILES": "a.conf; /x/b.conf;"}
            ),
        )

    def test_a_directory_without_the_files_is_an_error(self) -> None:
        """Else a misspelt name would make everybody an administrator."""
        for directory in (
            self.directory,
            self.directory / "misspelt",
            pathlib.Path(self.write("", "glance-image-import.conf")).parent,
        ):
            with (
                self.subTest(directory),
                mock.patch.dict(os.environ, OS_GLANCE_CONFIG_DIR=str(directory)),
                self.assertRaisesRegex(config.ConfigurationNotFound, str(directory)),
            ):
                config.load([])
        with self.assertRaises(config.ConfigurationNotFound):
            config.load([], [])

    def test_the_file_of_a_tool_is_enough_for_it(self) -> None:
        path = self.write("", "glance-scrubber.conf")
        environ = {"OS_GLANCE_CONFIG_DIR": str(self.directory)}
        self.assertEqual([path], config.default_config_files(environ, "glance-scrubber.conf"))
        with self.assertRaises(config.ConfigurationNotFound):
            config.default_config_files(environ, "glance-manage.conf")

    def unprivileged(self) -> None:
        """From here on this test may not do what root may."""
        if os.geteuid() == 0:
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)

    def test_what_may_not_be_read_is_an_error(self) -> None:
        inside = self.directory / "inside"
        inside.mkdir()
        (inside / "glance-api.conf").write_text("[DEFAULT]\nimage_tag_quota = 7\n")
        self.directory.chmod(0o755)
        self.addCleanup(inside.chmod, 0o700)
        self.unprivileged()
        euid = os.geteuid()
        for directory, file in ((0o000, 0o644), (0o755, 0o000)):
            with self.subTest(directory=directory, file=file):
                os.seteuid(os.getuid())
                (inside / "glance-api.conf").chmod(file)
                inside.chmod(directory)
                os.seteuid(euid)
                with (
                    mock.patch.dict(os.environ, OS_GLANCE_CONFIG_DIR=str(inside)),
                    self.assertRaisesRegex(config.ConfigurationError, "must be able"),
                ):
                    config.load([])
        with self.assertRaisesRegex(config.ConfigurationError, "must be able"):
            os.seteuid(os.getuid())
            inside.chmod(0o000)
            os.seteuid(euid)
            config.load(["--config-dir", str(inside)])

    def test_a_wsgi_server_never_serves_stand_alone(self) -> None:
        for argv in (None, [], ()):
            with (
                mock.patch.dict(os.environ, OS_GLANCE_CONFIG_DIR=str(self.directory)),
                mock.patch("sys.argv", ["uwsgi", "--stand-alone"]),
                self.assertRaises(config.ConfigurationNotFound),
            ):
                config.load(argv)

    def test_stand_alone_is_asked_for_in_so_many_words(self) -> None:
        path = self.write("[DEFAULT]\nstand_alone = True\n")
        for argv in (
            ["--config-file", path],
            ["--stand-alone", "--config-file", path],
            ["--stand-alone", f"--config-dir={self.directory}"],
            ["--stand", "--config-file", path],
        ):
            with (
                self.subTest(argv),
                self.assertRaisesRegex(config.ConfigurationError, "--stand-alone"),
            ):
                config.load(argv)
        with self.assertRaisesRegex(config.ConfigurationError, "registry"):
            config.load_registry(["--stand-alone"], cfg.ConfigOpts())

    def test_help_needs_no_configuration(self) -> None:
        with (
            mock.patch.dict(os.environ, OS_GLANCE_CONFIG_DIR=str(self.directory)),
            mock.patch("sys.stdout"),
            self.assertRaises(SystemExit) as ended,
        ):
            config.load(["--help"])
        self.assertEqual(0, ended.exception.code)

    def test_stand_alone(self) -> None:
        """SQLite and a file store under the state directory, loopback only."""
        state = str(self.directory / "state")
        old = os.environ.get("GLANCE_STATE_DIR")
        os.environ["GLANCE_STATE_DIR"] = state
        self.addCleanup(
            lambda: (
                os.environ.pop("GLANCE_STATE_DIR")
                if old is None
                else os.environ.update(GLANCE_STATE_DIR=old)
            )
        )
        conf = config.load(["--stand-alone"])
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
