"""Behind a pooler of PostgreSQL nothing of a session may be relied on, nor changed.

A real pooler lends a server's connection to many clients.  Here one connection
is passed on as it is, but for what tells poolers from servers: the number of the
process that a client is told when it connects is the pooler's invention.
"""

import re
import uuid

import sqlalchemy as sa

from glance_py.db import connection_setup, engine, indexes
from glance_py.db.database import Database
from glance_py.db.repositories import sql_repositories
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from tests.contract.dal.backends import caller
from tests.servers.proxy import FaultInjectingProxy

CTX = caller("p1")
#: BackendKeyData: the process and its secret.
_KEY = re.compile(rb"K\x00\x00\x00\x0c.{8}", re.DOTALL)


def invent_key(data):
    """Replace the number of the server's process."""
    return _KEY.sub(b"K\x00\x00\x00\x0c" + bytes.fromhex("12345678") * 2, data)


class PoolerCases:
    def setUp(self):
        super().setUp()
        url = sa.make_url(self.url)
        proxy = FaultInjectingProxy((url.host, url.port))
        self.addCleanup(proxy.close)
        proxy.rewrite = invent_key
        self.pooled = Database(engine.create_engine(proxy.url(url)))
        self.addCleanup(self.pooled.dispose)

    def settings(self, database):
        return database.read(
            lambda connection: [
                connection.exec_driver_sql(f"SHOW {name}").scalar()
                for name in ("lock_timeout", "jit", "statement_timeout")
            ]
        )

    def test_it_is_known(self):
        self.assertTrue(self.pooled.read(connection_setup.is_behind_pooler))
        self.assertFalse(self.database.read(connection_setup.is_behind_pooler))

    def test_the_session_stays_as_it_was(self):
        with self._admin.connect() as connection:
            fresh = [
                connection.exec_driver_sql(f"SHOW {name}").scalar()
                for name in ("lock_timeout", "jit", "statement_timeout")
            ]
        through = sql_repositories(self.pooled).images
        image = through.create(CTX, Image(str(uuid.uuid4()), owner="p1"))
        through.update(CTX, image, ImageChange(fields={"name": "n"}))
        self.assertEqual(fresh, self.settings(self.pooled))

    def test_locks_are_waited_for_with_a_limit_all_the_same(self):
        for database in (self.pooled, self.database):
            self.assertEqual(
                "20s",
                database.write(
                    lambda connection: connection.exec_driver_sql("SHOW lock_timeout").scalar()
                ),
            )

    def test_indexes_are_refused_with_a_sentence_and_without_a_lock(self):
        for operation in (indexes.add, indexes.drop):
            error = self.assertRaises(
                errors.Conflict,
                operation,
                self.pooled,
                indexes.for_dialect("postgresql")[0],
                lambda progress: None,
            )
            self.assertIn("pooler", str(error))
            self.assertIn("direct connection", str(error))
        self.assertEqual(
            [(0,)],
            self.execute(
                sa.text(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
                    "(SELECT oid FROM pg_database WHERE datname = current_database())"
                )
            ),
        )
        # To look does no harm.
        self.assertEqual(
            {indexes.IndexState.MISSING},
            {found.state for found in indexes.inspect_indexes(self.pooled)},
        )
