"""This service takes over an installation of the original one as it lies there, and gives it back.

Same configuration, paste file, policies, property protections, schema, stores and
database.  What every caller sees is the same before and after, both ways.
"""

from __future__ import annotations

import os
import tempfile
import unittest
import uuid

import sqlalchemy as sa

from tests.conformance import reference, snapshot
from tests.conformance.sample_data import SampleData, insert_legacy_rows

OPTIONS = """\
[DEFAULT]
show_image_direct_url = true
property_protection_file = property-protections.conf
[taskflow_executor]
max_workers = 2
"""
ONE_STORE = (
    OPTIONS
    + """\
[DEFAULT]
enabled_backends =
node_staging_uri = file://{directory}/data/staging
enabled_import_methods = [glance-direct,web-download]
[glance_store]
stores = file,http
default_store = file
filesystem_store_datadir = {directory}/data/fast
"""
)
PROTECTIONS = """\
[^secret_.*]
create = admin
read = admin
update = admin
delete = admin
[.*]
create = @
read = @
update = @
delete = @
"""
POLICY = """\
"communitize_image": "role:member"
"modify_member": "role:member"
"get_tasks": "role:reader"
"get_task": "role:reader"
"""
SCHEMA = """\
{"os_takeover": {"type": "string", "description": "A property of this cloud.", "enum": ["a", "b"]}}
"""
FILES = {
    "property-protections.conf": PROTECTIONS,
    "policy.yaml": POLICY,
    "schema-image.json": SCHEMA,
}


class TakeoverCase:
    """Cases for a database that ``make`` names and ``drop`` removes."""

    flavor = "fakeauth+nocache"
    options = OPTIONS
    #: Is there more than one store?
    has_several_stores = True

    def setUp(self) -> None:
        reference.command()
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix="glance-"))
        self.url = self.make(directory)
        self.addCleanup(self.drop)
        self.installation = reference.Installation(
            directory, self.url, self.flavor, self.options.format(directory=directory)
        )
        self.installation.etc.mkdir()
        for name, text in FILES.items():
            (self.installation.etc / name).write_text(text)
        self.addCleanup(self.installation.stop)

    def test_there_and_back(self) -> None:
        self.installation.start_reference()
        theirs = SampleData(self.installation.port, "theirs ", self.has_several_stores)
        theirs.fill()
        theirs.create("guarded", b"g", visibility="public", secret_x="s", os_takeover="a")
        insert_legacy_rows(self.url)
        before = snapshot.take_snapshot(self.installation.port)
        self.installation.stop_reference()

        self.check_commands()
        self.installation.start_service()
        self.assert_same(before, snapshot.take_snapshot(self.installation.port), "taken over")
        self.assertIn("names a factory of the original service", self.installation.log())
        ours = SampleData(self.installation.port, "ours ", self.has_several_stores)
        ours.fill()
        ours.create("guarded", b"g", visibility="public", secret_x="s", os_takeover="b")
        self.modify(theirs, ours)
        between = snapshot.take_snapshot(self.installation.port)
        self.installation.stop_service()

        self.installation.start_reference()
        self.assert_same(between, snapshot.take_snapshot(self.installation.port), "given back")
        self.modify(ours, theirs)

    def check_commands(self) -> None:
        """The database needs the tables that only this service has, and says so."""
        check = self.installation.manage("db", "check")
        self.assertEqual(3, check.returncode, check.stderr)
        self.assertEqual(0, self.installation.manage("db", "sync").returncode)
        check = self.installation.manage("db", "check")
        self.assertEqual(0, check.returncode, check.stderr)

    def modify(self, old: SampleData, by: SampleData) -> None:
        """Who runs now changes what the other one made."""
        images = old.images
        by.patch(
            images["changed"],
            {"op": "replace", "path": "/third", "value": "changed"},
            {"op": "add", "path": "/fourth", "value": "4"},
        )
        by.request("owner", "POST", f"/v2/images/{images['members']}/members", {"member": "p4"})
        by.request("owner", "DELETE", f"/v2/images/{images['members']}/members/p3")
        by.request("admin", "POST", f"/v2/images/{images['deactivated']}/actions/reactivate")
        by.request(
            "owner",
            "PUT",
            f"/v2/images/{images['queued-private']}/file",
            b"later",
            "application/octet-stream",
        )
        by.request("owner", "DELETE", f"/v2/images/{images['data-private']}")
        by.request(
            "owner",
            "POST",
            f"/v2/images/{images['staged']}/import",
            {"method": {"name": "glance-direct"}},
        )
        by._wait(images["staged"])
        if self.has_several_stores:
            by.request("admin", "DELETE", f"/v2/stores/slow/{images['both']}")

    def assert_same(self, before: snapshot.Snapshot, after: snapshot.Snapshot, what: str) -> None:
        differences = before.differences(after)
        if differences:
            self.fail(
                f"{what}: {len(differences)} of {len(before.responses)} answers differ:\n"
                + "\n".join(differences[:40])
                + self.installation.log()[-3000:]
            )
        failed = {question: after.responses[question] for question in after.failures()}
        if what == "taken over":
            self.assertEqual({}, failed, self.installation.log()[-3000:])


class SQLiteTest(TakeoverCase, unittest.TestCase):
    def make(self, directory: str) -> str:
        os.makedirs(f"{directory}/data", exist_ok=True)
        return f"sqlite:///{directory}/data/glance.sqlite?timeout=60"

    def drop(self) -> None:
        pass


class CacheTest(SQLiteTest):
    """With an image cache, whose files and books stay, too."""

    flavor = "fakeauth"


class OneStoreTest(SQLiteTest):
    """Configured as before there were several stores."""

    options = ONE_STORE
    has_several_stores = False


class ServerTakeoverCase(TakeoverCase):
    """On a database server; ``variable`` may name another than ``default``."""

    variable = default = ""

    def make(self, directory: str) -> str:
        server = sa.make_url(os.environ.get(self.variable) or self.default)
        self.name = f"glance_takeover_{uuid.uuid4().hex[:12]}"
        self.admin = sa.create_engine(
            server, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool
        )
        try:
            self.execute(f"CREATE DATABASE {self.name}")
        except sa.exc.OperationalError as error:
            self.skipTest(f"no server at {server!r}: {error.orig}")
        return server.set(database=self.name).render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        with self.admin.connect() as connection:
            connection.exec_driver_sql(statement)


class PostgreSQLTest(ServerTakeoverCase, unittest.TestCase):
    variable = "GLANCE_TEST_POSTGRESQL"
    default = "postgresql+psycopg2://root@127.0.0.1:5432/postgres"

    def drop(self) -> None:
        self.execute(f"DROP DATABASE {self.name} WITH (FORCE)")


class MariaDBTest(ServerTakeoverCase, unittest.TestCase):
    variable = "GLANCE_TEST_MARIADB"
    default = "mysql+pymysql://root@127.0.0.1:3306/"

    def drop(self) -> None:
        self.execute(f"DROP DATABASE {self.name}")


if __name__ == "__main__":
    unittest.main()
