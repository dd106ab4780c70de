"""What is done on each connection of an engine: after it was opened, and before it is reused."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import exc as sa_exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

#: A connection that was idle for longer is tested before it is used, in seconds.
PING_AFTER_IDLE = 5.0

#: Keys in the ``info`` of a connection.
_IS_POOLED = "pooled"
_IDLE_SINCE = "idle since"


def prepare_sqlite(engine: sa.Engine, synchronous: bool) -> None:
    """Enforce foreign keys, and let readers work while one connection writes (WAL).

    :param synchronous: the option ``sqlite_synchronous``.
    """

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        with contextlib.suppress(sqlite3.OperationalError):
            # Another process may be changing the mode to the same value at this moment.
            cursor.execute("PRAGMA journal_mode = WAL")
        if not synchronous:
            cursor.execute("PRAGMA synchronous = OFF")
        cursor.close()


#: The first column tells whether a pooler such as PgBouncer is between client and server: the
#: driver then reports the process id of the pooler (``tests/contract/dal/pooler_cases.py``).
#: Settings of a session are changed only without one, since the session is shared.  Compiling
#: one page's plan (JIT) takes longer than reading a hundred thousand rows.
_DETECT_POOLER = """
    SELECT pg_backend_pid() <> %s,
           CASE WHEN pg_backend_pid() = %s THEN set_config('jit', 'off', false) END
"""


def prepare_postgresql(engine: sa.Engine) -> None:
    """Detect a pooler, see :func:`is_behind_pooler`, and turn JIT compilation off without one.

    Settings are not sent as options of the connection, since poolers refuse those.
    """

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        process = connection.info.backend_pid
        cursor = connection.cursor()
        cursor.execute(_DETECT_POOLER, (process, process))
        row = cursor.fetchone()
        record.info[_IS_POOLED] = row is not None and row[0]
        cursor.close()


def is_pooled(record: ConnectionPoolEntry) -> bool:
    """As :func:`is_behind_pooler`, for use in a "connect" event."""
    return bool(record.info.get(_IS_POOLED))


def is_behind_pooler(connection: sa.Connection) -> bool:
    """True when a pooler such as PgBouncer is between this process and PostgreSQL.

    Then neither locks nor settings of a session belong to this client.
    """
    return bool(connection.info.get(_IS_POOLED))


def ping_idle_connections(engine: sa.Engine) -> None:
    """Test a connection before use when it was idle for ``PING_AFTER_IDLE``: not once a request.

    The pool replaces a connection that fails the test.
    """

    @event.listens_for(engine, "checkin")
    def remember(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def test(
        connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        since = record.info.get(_IDLE_SINCE)
        if since is None or time.monotonic() - since < PING_AFTER_IDLE:
            return
        try:
            is_alive = engine.dialect.do_ping(connection)
        except Exception:
            is_alive = False
        if not is_alive:
            raise sa_exc.DisconnectionError("the connection was closed while it was idle")
