"""glance-manage: what it does, what it says and how it ends."""

import contextlib
import io
import json
import sqlite3
import tempfile
from unittest import mock

import sqlalchemy as sa
import testtools

from glance_py.cmd import manage
from glance_py.db import migrations, tables


class TestManage(testtools.TestCase):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = f"{directory.name}/glance-api.conf"
        with open(self.file, "w") as file:
            file.write(f"[database]\nconnection = sqlite:///{directory.name}/x.sqlite\n")

    def run_tool(self, *words):
        """(exit code, output, errors) of one call."""
        output, complaints = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(complaints):
            try:
                code = manage.main(["--config-file", self.file, "--log-file", "/dev/null", *words])
            except SystemExit as end:
                code = end.code
        return code, output.getvalue(), complaints.getvalue()

    def code(self, *words):
        return self.run_tool(*words)[0]

    def test_sync_makes_the_schema_and_is_harmless_when_repeated(self):
        self.assertEqual(3, self.code("db", "check"))
        self.assertEqual(0, self.code("db", "sync"))
        self.assertEqual(
            (0, "".join(f"{name}\n" for name in migrations.newest_revisions())),
            self.run_tool("db", "version")[:2],
        )
        self.assertEqual(0, self.code("db", "sync", "mitaka"))
        self.assertEqual(0, self.code("db", "check"))

    def test_phases_in_their_order(self):
        self.assertEqual(1, self.code("db", "migrate"))
        self.assertEqual(1, self.code("db", "contract"))
        self.assertEqual(0, self.code("db", "expand"))
        self.assertEqual(5, self.code("db", "check"))
        self.assertEqual(0, self.code("db", "migrate"))
        self.assertEqual(0, self.code("db", "contract"))
        self.assertEqual(0, self.code("db", "check"))
        for phase in ("expand", "migrate", "contract"):
            self.assertEqual(0, self.code("db", phase))

    def test_tables_of_our_own_are_part_of_the_schema(self):
        self.assertEqual(0, self.code("db", "sync"))
        own = sa.Table("own", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
        with mock.patch.object(tables, "OWN_TABLES", [own]):
            code, said, _ = self.run_tool("db", "check")
            self.assertEqual(3, code)
            self.assertIn("db expand", said)
            self.assertEqual(0, self.code("db", "sync"))
            self.assertEqual(0, self.code("db", "check"))
        self.assertEqual(
            (0, "".join(f"{name}\n" for name in migrations.newest_revisions())),
            self.run_tool("db", "version")[:2],
        )

    def test_old_spellings(self):
        for word in (
            "db_expand",
            "db_migrate",
            "db_contract",
            "db_sync",
            "db_check",
            "db_version",
            "db_upgrade",
        ):
            self.assertEqual(0, self.code(word), word)

    def test_upgrade_and_version_control_take_a_revision_either_way(self):
        self.assertEqual(0, self.code("db", "upgrade", "--version", migrations.expand_head()))
        self.assertEqual(5, self.code("db", "check"))
        self.assertEqual(0, self.code("db", "version_control", "heads"))
        self.assertEqual(0, self.code("db", "check"))
        self.assertEqual(1, self.code("db", "version_control", "--version", "nonsense"))

    def test_purge(self):
        self.code("db", "sync")
        self.assertEqual((0, "Removed 0 rows.\n"), self.run_tool("db", "purge")[:2])
        self.assertEqual(
            0, self.code("db", "purge_images_table", "--age_in_days", "0", "--max_rows", "-1")
        )
        code, _output, complaint = self.run_tool("db", "purge", "--age_in_days", "-1")
        self.assertEqual(
            (1, "glance-manage: The age in days must not be negative.\n"), (code, complaint)
        )
        self.assertEqual(1, self.code("db", "purge", "--max_rows", "-2"))

    def test_indexes(self):
        code, _output, complaint = self.run_tool("db", "indexes")
        self.assertEqual(1, code)
        self.assertIn("db sync", complaint)
        self.code("db", "sync")
        self.assertEqual({"missing"}, self.states())
        code, _output, told = self.run_tool("db", "indexes", "--add", "images_name")
        self.assertEqual(0, code)
        self.assertRegex(told, r"^images_name: built in [0-9.]+ s\n$")
        self.assertEqual({"missing", "present"}, self.states())
        self.assertEqual((0, ""), self.run_tool("db", "indexes", "--add", "images_name")[::2])
        self.assertEqual(0, self.code("db", "indexes", "--add"))
        self.assertEqual({"present"}, self.states())
        self.assertEqual(0, self.code("db", "check"))
        self.assertEqual(0, self.code("db", "indexes", "--drop"))
        self.assertEqual({"missing"}, self.states())

    def test_indexes_that_are_not_ours(self):
        self.code("db", "sync")
        with contextlib.closing(sqlite3.connect(f"{self.file[:-15]}x.sqlite")) as database:
            database.execute("create index images_name on images (status)")
        for way in ("--add", "--drop"):
            code, output, complaint = self.run_tool("db", "indexes", way, "images_name")
            self.assertEqual(1, code)
            self.assertIn("left alone, since it is another index: images (status)", complaint)
            self.assertIn(" other ", output)
        code, _output, complaint = self.run_tool("db", "indexes", "nonsense")
        self.assertEqual(1, code)
        self.assertIn("images_name", complaint)
        self.assertEqual(2, self.code("db", "indexes", "--add", "--drop"))

    def states(self):
        return {each["state"] for each in json.loads(self.run_tool("db", "indexes", "--json")[1])}

    def test_no_action_shows_which_there_are(self):
        self.assertEqual(2, self.code("db"))
        self.assertEqual(2, self.code())
        self.assertEqual(2, self.code("db", "nonsense"))
        code, text, _ = self.run_tool("db", "--help")
        self.assertEqual(0, code)
        for action in ("sync", "expand", "purge_images_table"):
            self.assertIn(action, text)

    def test_a_database_that_cannot_be_reached(self):
        with open(self.file, "w") as file:
            file.write("[database]\nconnection = postgresql+psycopg2://u:secret@127.0.0.1:1/x\n")
        code, _output, complaint = self.run_tool("db", "version")
        self.assertEqual(1, code)
        self.assertNotIn("secret", complaint)
        self.assertNotIn("Traceback", complaint)

    def test_openapi(self):
        """With what this deployment's configuration adds to images and to versions."""
        code, text, _ = self.run_tool("openapi")
        self.assertEqual(0, code)
        document = json.loads(text)
        self.assertEqual("2.17", document["info"]["version"])
        self.assertIn("put", document["paths"]["/images/{image_id}/file"])

    def test_layers(self):
        code, text, _ = self.run_tool("layers")
        self.assertEqual(0, code)
        self.assertIn("AuthorizationProxy", text)
