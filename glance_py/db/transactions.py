"""BEGIN, COMMIT and ROLLBACK on connections in autocommit, and named locks around them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from glance_py.db import errors, locks
from glance_py.domain import errors as domain

LOG = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


def connect(engine: sa.Engine) -> sa.Connection:
    """A connection of the pool.

    :raises oslo_db.exception.DBConnectionError: there is none, whatever the server said.
    """
    try:
        return engine.connect()
    except sa_exc.OperationalError as error:
        raise db_exc.DBConnectionError(error) from error


def roll_back(connection: sa.Connection) -> None:
    """End the transaction without its changes; raises nothing."""
    try:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
    except Exception:
        # The server ends the transaction of a connection that is closed.
        connection.invalidate()


class Transactions:
    """Transactions on the connections of one engine.

    :param engine: its execution option ``lock_timeout`` bounds waits for locks of PostgreSQL, in
        milliseconds.
    :param lock_wait: seconds to wait for a named lock of MySQL.
    """

    def __init__(self, engine: sa.Engine, lock_wait: int) -> None:
        self.dialect: str = engine.dialect.name
        self._lock_wait = lock_wait
        self._begin = {
            "sqlite": "BEGIN IMMEDIATE",
            # SET LOCAL ends with the transaction: behind a pooler the session is shared with
            # other clients.  A write is bounded by ``lock_timeout``, not by the timeout of reads.
            "postgresql": "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = "
            f"{engine.get_execution_options().get('lock_timeout', 0)}",
        }.get(self.dialect, "BEGIN")

    def begin(self, connection: sa.Connection) -> None:
        """Start a transaction."""
        connection.exec_driver_sql(self._begin)

    def commit(self, connection: sa.Connection) -> None:
        """End the transaction with its changes.

        :raises glance_py.domain.errors.OutcomeUnknown: no answer, or one that does not tell
            whether it was committed.  Running the transaction again could apply it twice.
        """
        try:
            connection.exec_driver_sql("COMMIT")
        except BaseException as error:
            connection.invalidate()
            if errors.is_outcome_unknown(error, self.dialect):
                LOG.error("The outcome of a COMMIT is unknown: %s", errors.first_line(error))
                raise domain.OutcomeUnknown() from error
            raise

    def run(self, connection: sa.Connection, work: Work[T]) -> T:
        """Run ``work(connection)`` as one transaction and return what it returns."""
        self.begin(connection)
        try:
            result = work(connection)
        except BaseException:
            roll_back(connection)
            raise
        self.commit(connection)
        return result

    def run_locked(self, connection: sa.Connection, work: Work[T], name: str) -> T:
        """As :meth:`run`, while no other transaction with a lock of the same name runs."""
        with contextlib.ExitStack() as stack:
            self.lock_before_begin(connection, name, stack)

            def locked(connection: sa.Connection) -> T:
                self.lock_after_begin(connection, name)
                return work(connection)

            return self.run(connection, locked)

    def lock_before_begin(
        self, connection: sa.Connection, name: str, stack: contextlib.ExitStack
    ) -> None:
        """Take the named lock on MySQL, whose transaction sees what was there at its first read.

        SQLite has one writer at a time and needs no lock.

        :param stack: gives the lock back.
        """
        if self.dialect == "mysql":
            stack.enter_context(locks.session_lock(connection, name, self._lock_wait))

    def lock_after_begin(self, connection: sa.Connection, name: str) -> None:
        """Take the named lock on PostgreSQL, until the end of the transaction."""
        if self.dialect == "postgresql":
            locks.lock_transaction(connection, name)
