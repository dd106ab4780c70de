"""Schemas that the original's own tool makes for older releases come to the newest one.

``GLANCE_REFERENCE_VENV`` names a virtual environment with its ``glance-manage``.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import subprocess
import tempfile
import unittest
import uuid

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from glance_py.db import migrations
from glance_py.db.database import Database
from glance_py.db.engine import create_engine
from glance_py.db.tables import metadata

REVISIONS = (
    "liberty",
    "mitaka02",
    "ocata_expand01",
    "ocata_contract01",
    "pike_contract01",
    "rocky_expand02",
    "rocky_contract02",
    "ussuri_contract01",
    "wallaby_expand01",
    "zed_contract01",
    "2023_1_contract01",
    "2024_1_expand01",
    "2024_1_contract01",
)
IDS = ("public", "with-member", "alone")


class OldSchemaCase:
    """Cases for the database that ``make_url`` makes anew each time."""

    def setUp(self) -> None:
        venv = os.environ.get("GLANCE_REFERENCE_VENV", "")
        self.tool = pathlib.Path(venv) / "bin" / "glance-manage"
        if not venv or not self.tool.exists():
            self.skipTest("GLANCE_REFERENCE_VENV names no environment with a glance-manage")
        self.directory = self.enterContext(tempfile.TemporaryDirectory(prefix="glance-"))

    def test_every_release(self) -> None:
        for revision in REVISIONS:
            for in_phases in (False, True):
                with self.subTest(revision=revision, in_phases=in_phases):
                    self.check(revision, in_phases)

    def check(self, revision: str, in_phases: bool) -> None:
        url, drop = self.make_url()
        try:
            self.make_old(url, revision)
            database = Database(create_engine(url))
            expected = database.write(fill)
            if in_phases:
                walk(database)
            else:
                migrations.upgrade(database)
            self.check_schema(database)
            self.check_rows(database, expected)
            database.dispose()
        finally:
            drop()

    def make_old(self, url: str, revision: str) -> None:
        conf = pathlib.Path(self.directory) / "old.conf"
        conf.write_text(f"[database]\nconnection = {url}\n")
        subprocess.run(
            [self.tool, "--config-file", conf, "db", "upgrade", revision],
            cwd=self.directory,
            check=True,
            capture_output=True,
        )

    def check_schema(self, database: Database) -> None:
        with database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": different})
            self.assertEqual([], compare_metadata(context, metadata))
        self.assertEqual(migrations.newest_revisions(), migrations.current_revisions(database))

    def check_rows(self, database: Database, expected: tuple[str, ...]) -> None:
        found = database.read(
            lambda connection: connection.execute(
                sa.text(
                    "SELECT i.id, i.visibility, l.meta_data FROM images i JOIN image_locations l "
                    "ON l.image_id = i.id"
                )
            ).all()
        )
        shown = {row.id: row.visibility for row in found}
        self.assertEqual(dict(zip(IDS, expected, strict=True)), shown)
        for row in found:
            self.assertEqual("fast", next(iter(json.loads(row.meta_data).values())))


def fill(connection: sa.Connection) -> tuple[str, ...]:
    """Rows as a release of that time has them; returns the visibilities to expect."""
    known = sa.MetaData()
    known.reflect(connection, only=["images", "image_locations", "image_members"])
    images, locations, members = (
        known.tables[name] for name in ("images", "image_locations", "image_members")
    )
    audit = {"created_at": datetime.datetime(2016, 1, 2), "deleted": False}
    with_flag = "is_public" in images.c
    for image_id in IDS:
        flag = {"is_public": image_id == "public"} if with_flag else {}
        connection.execute(
            images.insert().values(
                id=image_id, status="active", min_disk=0, min_ram=0, owner="p", **flag, **audit
            )
        )
        connection.execute(
            locations.insert().values(
                image_id=image_id,
                value=f"file:///x/{image_id}",
                meta_data='{"backend": "fast"}',
                **audit,
            )
        )
    connection.execute(
        members.insert().values(image_id="with-member", member="m", can_share=False, **audit)
    )
    if not with_flag:
        return ("shared",) * 3
    if "visibility" in images.c and connection.dialect.name == "mysql":
        # A trigger has set them when they were written.
        return ("public", "shared", "shared")
    return ("public", "shared", "private")


def walk(database: Database) -> None:
    """Phase by phase."""
    while phase := migrations.next_phase(database):
        if phase == "migrate":
            migrations.migrate(database)
        else:
            migrations.upgrade(
                database,
                migrations.expand_head() if phase == "expand" else migrations.contract_head(),
            )


def different(context, inspected, column, old, new) -> bool | None:
    """SQLite's integers are of any size: what its first schemas call them does not matter."""
    both = isinstance(old, sa.Integer) and isinstance(new, sa.Integer)
    return False if both and context.dialect.name == "sqlite" else None


class SQLiteTest(OldSchemaCase, unittest.TestCase):
    def make_url(self):
        path = pathlib.Path(self.directory) / f"{uuid.uuid4().hex}.sqlite"
        return f"sqlite:///{path}", path.unlink


class ServerOldSchemaCase(OldSchemaCase):
    variable = default = ""

    def make_url(self):
        server = sa.make_url(os.environ.get(self.variable) or self.default)
        name = f"glance_old_{uuid.uuid4().hex[:12]}"
        admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)

        def execute(statement: str) -> None:
            with admin.connect() as connection:
                connection.exec_driver_sql(statement)

        try:
            execute(f"CREATE DATABASE {name}")
        except sa.exc.OperationalError as error:
            self.skipTest(f"no server at {server!r}: {error.orig}")
        return (
            server.set(database=name).render_as_string(hide_password=False),
            lambda: execute(f"DROP DATABASE {name}"),
        )


class PostgreSQLTest(ServerOldSchemaCase, unittest.TestCase):
    variable = "GLANCE_TEST_POSTGRESQL"
    default = "postgresql+psycopg2://root@127.0.0.1:5432/postgres"


class MariaDBTest(ServerOldSchemaCase, unittest.TestCase):
    variable = "GLANCE_TEST_MARIADB"
    default = "mysql+pymysql://root@127.0.0.1:3306/"


if __name__ == "__main__":
    unittest.main()
