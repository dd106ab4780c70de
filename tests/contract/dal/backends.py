"""Scratch databases, one per test class, dropped afterwards.

A server that is not there is a reason to skip, unless the environment variable
GLANCE_TEST_REQUIRE_SERVICES is 1.
"""

import os
import shutil
import tempfile
import uuid

import sqlalchemy as sa
import testtools

from glance_py.context import RequestContext
from glance_py.db import migrations
from glance_py.db.database import Database
from glance_py.db.engine import create_engine
from glance_py.db.repositories import sql_repositories
from glance_py.db.tables import (
    image_claims,
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
    task_info,
    tasks,
)

_TABLES = (
    image_claims,
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
    task_info,
    tasks,
)


def caller(project, is_admin=False):
    """A request context of a project, with a token of the flavor fakeauth."""
    token = f"u:{project or 'none'}:{'admin' if is_admin else 'member'}"
    return RequestContext(auth_token=token, project_id=project, is_admin=is_admin)


def requires_server(case):
    """A case for servers, which take several writers and can end connections of others.

    Elsewhere it is not generated.
    """
    case.requires_server = True
    return case


class DatabaseCase(testtools.TestCase):
    """A test with an empty database of the newest schema and the records in it."""

    #: Can the server end the connections of others?
    can_kill_connections = False
    #: Does each test begin with empty tables?
    starts_empty = True

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name in dir(cls) if not cls.can_kill_connections else ():
            if name.startswith("test_") and hasattr(getattr(cls, name), "requires_server"):
                setattr(cls, name, None)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.url = cls.make()
        cls.database = Database(create_engine(cls.url))
        migrations.upgrade(cls.database)
        #: The DAL that is tested, and the one right before the database.
        cls.repositories = cls.direct = sql_repositories(cls.database)

    @classmethod
    def tearDownClass(cls):
        cls.database.dispose()
        cls.drop()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        if self.starts_empty:
            self.empty()

    def empty(self):
        """Remove everything."""
        self.database.write(
            lambda connection: [connection.execute(table.delete()) for table in _TABLES]
        )

    def execute(self, statement, values=None):
        """Run one statement behind the DAL's back."""
        with self.database.engine.connect() as connection:
            result = connection.execute(statement, values)
            return result.all() if result.returns_rows else result.rowcount


class SQLite(DatabaseCase):
    """A file of its own."""

    @classmethod
    def make(cls):
        cls._directory = tempfile.mkdtemp(prefix="glance-dal-")
        return f"sqlite:///{cls._directory}/glance.sqlite"

    @classmethod
    def drop(cls):
        shutil.rmtree(cls._directory)

    @classmethod
    def rows_examined(cls, connection, work):
        """How many rows, roughly, the database looks at while it does ``work``."""
        steps = []
        raw = connection.connection.driver_connection
        raw.set_progress_handler(lambda: steps.append(1) and None, 1000)
        try:
            work()
        finally:
            raw.set_progress_handler(None, 0)
        # A row costs some thirty instructions of SQLite's machine.
        return len(steps) * 1000 // 30


class _Server(DatabaseCase):
    """A database of its own on a server."""

    environment = ""
    default = ""

    @classmethod
    def make(cls):
        server = sa.make_url(os.environ.get(cls.environment) or cls.default)
        cls._admin = sa.create_engine(
            server, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool
        )
        cls._name = f"glance_dal_{uuid.uuid4().hex[:12]}"
        try:
            cls.as_admin(f"CREATE DATABASE {cls._name}")
        except sa.exc.OperationalError as error:
            if os.environ.get("GLANCE_TEST_REQUIRE_SERVICES") == "1":
                raise
            reason = f"no server at {server!r} (set {cls.environment}): {error.orig}"
            raise cls.skipException(reason) from None
        return server.set(database=cls._name)

    @classmethod
    def drop(cls):
        cls.as_admin(f"DROP DATABASE {cls._name}")

    @classmethod
    def as_admin(cls, *statements):
        with cls._admin.connect() as connection:
            return [connection.exec_driver_sql(statement) for statement in statements]


class PostgreSQL(_Server):
    environment = "GLANCE_TEST_POSTGRESQL"
    default = "postgresql+psycopg2://root@127.0.0.1:5432/postgres"
    can_kill_connections = True

    @classmethod
    def kill_connections(cls):
        cls.as_admin(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{cls._name}'"
        )

    @classmethod
    def rows_examined(cls, connection, work):
        """How many rows, roughly, the database looks at while it does ``work``."""
        done = []

        def note(conn, cursor, statement, parameters, context, executemany):
            done.append((statement, parameters))

        sa.event.listen(connection, "before_cursor_execute", note)
        work()
        sa.event.remove(connection, "before_cursor_execute", note)
        return sum(cls._rows(connection, *each) for each in done)

    @staticmethod
    def _rows(connection, statement, parameters):
        explain = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement
        [[plan]] = (connection.exec_driver_sql(explain, parameters).scalar(),)
        rows, nodes = 0, [plan["Plan"]]
        while nodes:
            node = nodes.pop()
            looked_at = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            rows += looked_at * node["Actual Loops"]
            nodes += node.get("Plans", ())
        return rows


class MariaDB(_Server):
    environment = "GLANCE_TEST_MARIADB"
    default = "mysql+pymysql://root@127.0.0.1:3306/"
    can_kill_connections = True

    @classmethod
    def kill_connections(cls):
        for (number,) in cls.as_admin(
            f"SELECT id FROM information_schema.processlist WHERE db = '{cls._name}'"
        )[0].all():
            cls.as_admin(f"KILL {number}")

    @classmethod
    def rows_examined(cls, connection, work):
        """How many rows, roughly, the database looks at while it does ``work``."""
        connection.exec_driver_sql("FLUSH STATUS")
        work()
        rows = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").all()
        return sum(int(value) for _name, value in rows)
