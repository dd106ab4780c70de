"""glance-status upgrade check: each trap is found, and what to do about it is said."""

import contextlib
import io
import json
import pathlib
import sqlite3
import tempfile
import unittest
import unittest.mock

from glance_py import options
from glance_py.cmd import manage, status, upgrade_checks

CONF = """\
[DEFAULT]
enabled_backends = fast:file
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = {directory}/images
[database]
connection = sqlite:///{directory}/x.sqlite
"""


class StatusCase(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.write("glance-api.conf", CONF.format(directory=self.directory))
        with contextlib.redirect_stdout(io.StringIO()):
            manage.main(["--config-file", self.conf, "--log-file", "/dev/null", "db", "sync"])

    @property
    def conf(self):
        return str(self.directory / "glance-api.conf")

    def write(self, name, text):
        (self.directory / name).write_text(text)

    def add(self, text):
        with open(self.conf, "a") as file:
            file.write(text)

    def check(self, *words):
        """(exit code, what was printed)."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = status.main(["--config-file", self.conf, "upgrade", "check", *words])
        return code, out.getvalue()

    def result(self, name):
        """(code, details) of one check."""
        found = {
            each["check"]: (each["result"], each["details"])
            for each in json.loads(self.check("--json")[1])["checks"]
        }
        return found[name]

    def found(self, name, code, *words):
        """The check gives this code, and its details hold these words."""
        result, details = self.result(name)
        self.assertEqual(code, result, details)
        for word in words:
            self.assertIn(word, details)


class TestChecks(StatusCase):
    def test_a_sound_installation_is_ready(self):
        code, text = self.check()
        self.assertEqual(0, code, text)
        self.assertIn("| Check: Database", text)
        report = json.loads(self.check("--json")[1])
        self.assertEqual({0}, {each["result"] for each in report["checks"]})

    def test_a_list_without_its_brackets(self):
        self.add("[import_filtering_opts]\nallowed_hosts = 127.0.0.1\n")
        self.found("Configuration values", 2, "allowed_hosts", "square brackets")
        self.assertEqual(2, self.check()[0])

    def test_options_that_are_gone(self):
        self.add("[keystone_authtoken]\nidentity_uri = http://k\n[DEFAULT]\nowner_is_tenant = no\n")
        self.found("Removed options", 1, "identity_uri", "www_authenticate_uri", "owner_is_tenant")
        self.assertEqual(1, self.check()[0])

    def test_no_option_of_today_is_said_to_be_gone(self):
        known = {option.dest for group in options.GROUPS.values() for option in group}
        self.assertEqual(set(), known & upgrade_checks.REMOVED_OPTIONS.keys())

    def test_options_in_a_directory_are_found_too(self):
        (self.directory / "more").mkdir()
        self.write("more/old.conf", "[DEFAULT]\nlocation_strategy = store_type\n")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status.main(
                [
                    "--config-file",
                    self.conf,
                    "--config-dir",
                    str(self.directory / "more"),
                    "upgrade",
                    "check",
                ]
            )
        self.assertIn("location_strategy", out.getvalue())

    def test_stores_without_a_driver(self):
        for kind in ("sheepdog", "vmware"):
            self.add(f"[DEFAULT]\nenabled_backends = fast:{kind}\n")
            self.found("Stores", 2, kind)

    def test_a_default_store_that_is_not_there(self):
        self.add("[glance_store]\ndefault_backend = slow\n")
        self.found("Stores", 2, "slow", "fast")

    def test_a_store_without_a_section(self):
        self.add("[DEFAULT]\nenabled_backends = fast:file, other:file\n")
        self.found("Stores", 1, "other")

    def test_a_policy_file_in_json(self):
        self.write("policy.json", "{}")
        self.found("Policy file", 2, "oslopolicy-convert-json-to-yaml")
        self.add("[oslo_policy]\npolicy_file = policy.json\n")
        self.found("Policy file", 2, "JSON")

    def test_rules_that_nothing_asks_for(self):
        self.write("policy.yaml", '"mine": "role:x"\n"get_image": "rule:mine"\n"get_imgae": "!"\n')
        self.found("Policy file", 1, "get_imgae")
        self.assertNotIn("mine", self.result("Policy file")[1].replace("names", ""))

    def test_a_health_check_that_is_a_filter(self):
        self.write(
            "glance-api-paste.ini",
            "[filter:healthcheck]\npaste.filter_factory = "
            "oslo_middleware:Healthcheck.factory\n[pipeline:glance-api]\npipeline = "
            "healthcheck rootapp\n",
        )
        self.found("Paste file", 2, "[app:healthcheck]", "Healthcheck.app_factory")

    def test_a_flavor_that_is_not_there(self):
        self.add("[paste_deploy]\nflavor = trusted-auth\n")
        self.found("Paste file", 2, "trusted-auth")

    def test_factories_of_other_names(self):
        self.write(
            "glance-api-paste.ini",
            "[composite:glance-api]\npaste.composite_factory = glance.api:root_app_factory\n",
        )
        self.found("Paste file", 1, "glance_py.pipeline:root_app_factory")

    def test_credentials_for_keystone(self):
        self.add("[paste_deploy]\nflavor = keystone\n")
        self.found("Identity", 2, "[keystone_authtoken] auth_type", "password")
        self.add("[keystone_authtoken]\nauth_type = pasword\n")
        self.found("Identity", 2, "[keystone_authtoken]", "pasword")
        self.add("auth_type = password\n")
        self.found("Identity", 2, "[keystone_authtoken]", "auth_url")
        self.add("auth_url = http://k/v3\nusername = glance\npassword = p\n")
        self.found("Identity", 0)
        self.add("auth_section = own\n")
        self.found("Identity", 2, "[own] auth_type")

    def test_a_cache_without_an_address(self):
        self.add("[paste_deploy]\nflavor = keystone+caching\n")
        self.found("Image cache", 1, "image_cache_dir")
        self.add(f"[DEFAULT]\nimage_cache_dir = {self.directory}/cache\n")
        self.found("Image cache", 2, "worker_self_reference_url")
        self.add("[DEFAULT]\nworker_self_reference_url = http://here\n")
        self.found("Image cache", 0)

    def test_formats_that_are_not_compared(self):
        self.add("[image_format]\nrequire_image_format_match = false\n")
        self.found("Image formats", 1, "require_image_format_match")

    def test_the_command_line(self):
        for words, code in (((), 2), (("--help",), 0)):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                self.assertEqual(code, status.main(words))
            self.assertIn("Exit codes", out.getvalue())
        with contextlib.redirect_stderr(io.StringIO()) as err:
            self.assertEqual(255, status.main(["--config-file", "/nowhere", "upgrade", "check"]))
        self.assertIn("/nowhere", err.getvalue())


class TestDatabase(StatusCase):
    def location(self, url):
        with contextlib.closing(sqlite3.connect(self.directory / "x.sqlite")) as database:
            database.execute(
                "insert into images (id, status, created_at, deleted, min_disk, "
                "min_ram) values (?, 'active', '2020-01-01', 0, 0, 0)",
                (url,),
            )
            database.execute(
                "insert into image_locations (image_id, value, created_at, deleted) "
                "values (?, ?, '2020-01-01', 0)",
                (url, url),
            )
            database.commit()

    def test_keys_in_addresses(self):
        self.location("s3://key:secret@s3.example.org/bucket/image")
        self.found("Database", 1, "1 URLs")
        self.assertNotIn("secret", self.check()[1])

    def test_addresses_in_a_store_that_is_gone(self):
        self.location("sheepdog://127.0.0.1:7000:image")
        self.found("Database", 2, "sheepdog")

    def test_an_older_schema(self):
        with contextlib.closing(sqlite3.connect(self.directory / "x.sqlite")) as database:
            database.execute("update alembic_version set version_num = '2023_1_contract01'")
            database.commit()
        self.found("Database", 1, "db expand")

    def test_a_large_catalogue_without_indexes_is_told_and_stops_nothing(self):
        self.found("Database", 0)
        with unittest.mock.patch.object(upgrade_checks, "LARGE_CATALOGUE", 0):
            with contextlib.closing(sqlite3.connect(self.directory / "x.sqlite")) as database:
                database.execute(
                    "insert into images (id, status, created_at, deleted, min_disk, min_ram, "
                    "protected) values ('a', 'active', '2020-01-01 00:00:00', 0, 0, 0, 0)"
                )
                database.commit()
            self.found("Database", 0, "db indexes")
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                manage.main(
                    [
                        "--config-file",
                        self.conf,
                        "--log-file",
                        "/dev/null",
                        "db",
                        "indexes",
                        "--add",
                    ]
                )
            self.assertNotIn("db indexes", self.result("Database")[1] or "")

    def test_no_database(self):
        self.add("[database]\nconnection = postgresql+psycopg2://u:secret@127.0.0.1:1/x\n")
        self.found("Database", 2)
        self.assertNotIn("secret", self.check()[1])
