"""An upgrade in phases while clients write: no request fails and no row is lost.

Two pictures of it.  A service of ours runs over the database of an older release,
whose tables serve it already, while expand, migrate and contract pass beneath.
And a writer that knows only the columns of a much older release goes on until the
contraction, which is when its operator stops it.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import os
import tempfile
import threading
import unittest
import uuid

import sqlalchemy as sa

from glance_py.db import migrations
from glance_py.db.database import Database
from glance_py.db.engine import create_engine
from tests.contract.dal.upgrade_cases import STEPS
from tests.functional.server import GLANCE_API, ServerProcess
from tests.waiting import eventually

PATCH = "application/openstack-images-v2.1-json-patch"
#: What each client does at least before, between and after the phases: turns of a client of the
#: service, rows of a writer.
TURNS, ROWS = 3, 10
#: Seconds after which a client that does nothing has failed.
PATIENCE = 300


def grow_old(database: Database, mark: str) -> None:
    """Make a new database one of the release whose last revision is ``mark``."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    def work(connection: sa.Connection) -> None:
        op = Operations(MigrationContext.configure(connection))
        for name, take_away in STEPS:
            take_away(op)
            if name == mark:
                return

    database.run_ddl(work)
    migrations.stamp(database, mark)


class OnlineCase:
    """Cases for the database that ``make_url`` makes."""

    def setUp(self) -> None:
        self.directory = self.enterContext(tempfile.TemporaryDirectory(prefix="glance-"))
        self.url = self.make_url()
        self.database = Database(create_engine(self.url))
        self.addCleanup(self.database.dispose)
        migrations.upgrade(self.database)
        self.stop = threading.Event()
        #: Client -> how much it has done.
        self.done: dict[int, int] = {}

    def meanwhile(self, clients: list[concurrent.futures.Future], number: int) -> None:
        """Let every client do so much more, however long that takes; return when one fails."""
        goals = {client: self.done.get(client, 0) + number for client in range(len(clients))}
        eventually(
            lambda: (
                any(client.done() for client in clients)
                or all(self.done.get(client, 0) >= goal for client, goal in goals.items())
            ),
            seconds=PATIENCE,
            explain=lambda: f"clients stand still at {self.done}",
        )

    def phases(self, clients: list[concurrent.futures.Future]) -> list[str]:
        """Expand, migrate and contract, and what clients do around each."""
        done = []
        self.meanwhile(clients, TURNS)
        while phase := migrations.next_phase(self.database):
            self.phase(phase)
            done.append(phase)
            self.meanwhile(clients, TURNS)
        return done

    def phase(self, name: str) -> None:
        if name == "expand":
            migrations.upgrade(self.database, migrations.expand_head())
        elif name == "migrate":
            migrations.migrate(self.database)
        else:
            migrations.upgrade(self.database, migrations.contract_head())

    # --- Clients of the service ------------------------------------------------------------------

    def test_clients_of_the_service_notice_nothing(self) -> None:
        """Four clients create, change, read, list and delete over a database of 2023.1."""
        grow_old(self.database, "2023_1_contract01")
        server = self.service()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(self.client, server, n) for n in range(4)]
            try:
                self.assertEqual(["expand", "contract"], self.phases(clients))
            finally:
                self.stop.set()
            kept = [image for client in clients for image in client.result()]
        # Of the turns of four clients around two phases two thirds leave an image.
        self.assertGreaterEqual(len(kept), 4 * 3 * TURNS * 2 // 3)
        for image_id, name in kept:
            self.assertEqual(name, server.show(image_id)["name"])
        rows = self.database.read(
            lambda connection: connection.scalar(
                sa.text("SELECT count(*) FROM images WHERE status = 'queued'")
            )
        )
        self.assertEqual(len(kept), rows)

    def service(self) -> ServerProcess:
        """A service over the database as it is; the one that it comes with is left alone."""
        server = ServerProcess(
            self.directory, GLANCE_API, workers=2, client_timeout=60, start=False
        )
        self.addCleanup(server.end)
        conf = server.directory / "glance-api.conf"
        text = conf.read_text()
        own = f"sqlite:///{self.directory}/glance.sqlite"
        self.assertIn(own, text)
        conf.write_text(text.replace(own, self.url))
        server.start()
        return server

    def client(self, server: ServerProcess, number: int) -> list[tuple[str, str]]:
        """Work until told to stop; (image, name) of all that must be there afterwards."""
        kept = []
        for turn in range(10_000):
            if self.stop.is_set():
                break
            image_id, name = server.create(), f"{number}-{turn}"
            self.fine(
                server.ask(
                    "PATCH",
                    f"/v2/images/{image_id}",
                    json.dumps(
                        [
                            {"op": "replace", "path": "/name", "value": name},
                            {"op": "add", "path": "/turn", "value": str(turn)},
                        ]
                    ),
                    Content_Type=PATCH,
                )
            )
            self.fine(server.ask("PUT", f"/v2/images/{image_id}/tags/{number}"))
            self.fine(server.ask("GET", "/v2/images?limit=5"))
            if turn % 3:
                kept.append((image_id, name))
            else:
                self.fine(server.ask("DELETE", f"/v2/images/{image_id}"))
            self.done[number] = turn + 1
        return kept

    def fine(self, answer: tuple[int, bytes]) -> None:
        if answer[0] >= 400:
            raise AssertionError(answer)

    # --- A writer of the old release -------------------------------------------------------------

    def test_a_writer_of_newton_loses_nothing(self) -> None:
        """Rows that it writes between expand and contract come out right."""
        grow_old(self.database, "mitaka02")
        writer = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(writer.shutdown)
        # Whatever fails, the writer is told to stop before it is waited for.
        self.addCleanup(self.stop.set)
        written = writer.submit(self.write_as_newton)
        self.meanwhile([written], ROWS)
        self.phase("expand")
        self.meanwhile([written], ROWS)
        self.assertEqual("migrate", migrations.next_phase(self.database))
        self.phase("migrate")
        self.meanwhile([written], ROWS)
        # What it wrote meanwhile is seen, and done as well.
        self.assertEqual("migrate", migrations.next_phase(self.database))
        self.stop.set()
        rows = written.result()
        self.phase("migrate")
        self.phase("contract")
        self.assertIsNone(migrations.next_phase(self.database))
        found = self.database.read(
            lambda connection: dict(
                connection.execute(sa.text("SELECT id, visibility FROM images")).tuples().all()
            )
        )
        self.assertGreaterEqual(len(rows), 3 * ROWS)
        self.assertEqual(
            {image_id: "public" if is_public else "private" for image_id, is_public in rows}, found
        )

    def write_as_newton(self) -> list[tuple[str, bool]]:
        """What a process of Newton does: it knows is_public and no visibility."""
        insert = sa.text(
            "INSERT INTO images (id, name, status, is_public, created_at, deleted, min_disk, "
            "min_ram) VALUES (:id, 'n', 'queued', :public, :now, :no, 0, 0)"
        ).bindparams(
            sa.bindparam("public", type_=sa.Boolean),
            sa.bindparam("no", type_=sa.Boolean),
            sa.bindparam("now", type_=sa.DateTime),
        )
        rows = []
        while not self.stop.is_set():
            row = str(uuid.uuid4()), len(rows) % 2 == 0
            values = {
                "id": row[0],
                "public": row[1],
                "no": False,
                "now": datetime.datetime.now(datetime.UTC).replace(tzinfo=None),
            }
            self.database.write(
                lambda connection, values=values: connection.execute(insert, values) and None
            )
            rows.append(row)
            self.done[0] = len(rows)
            self.stop.wait(0.005)
        return rows


class SQLiteTest(OnlineCase, unittest.TestCase):
    def make_url(self) -> str:
        return f"sqlite:///{self.directory}/old.sqlite"


class ServerCase(OnlineCase):
    """On a database server; ``variable`` may name another than ``default``."""

    variable = default = ""

    def make_url(self) -> str:
        server = sa.make_url(os.environ.get(self.variable) or self.default)
        name = f"glance_online_{uuid.uuid4().hex[:12]}"
        admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)

        def execute(statement: str) -> None:
            with admin.connect() as connection:
                connection.exec_driver_sql(statement)

        try:
            execute(f"CREATE DATABASE {name}")
        except sa.exc.OperationalError as error:
            if os.environ.get("GLANCE_TEST_REQUIRE_SERVICES") == "1":
                raise
            self.skipTest(f"no server at {server!r} (set {self.variable}): {error.orig}")
        self.addCleanup(execute, f"DROP DATABASE {name}")
        return server.set(database=name).render_as_string(hide_password=False)


class PostgreSQLTest(ServerCase, unittest.TestCase):
    variable = "GLANCE_TEST_POSTGRESQL"
    default = "postgresql+psycopg2://root@127.0.0.1:5432/postgres"


class MariaDBTest(ServerCase, unittest.TestCase):
    variable = "GLANCE_TEST_MARIADB"
    default = "mysql+pymysql://root@127.0.0.1:3306/"


if __name__ == "__main__":
    unittest.main()
