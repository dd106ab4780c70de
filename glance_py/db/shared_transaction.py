"""One transaction for all writes that a function makes: ``Database.in_one_transaction``."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import TypeVar

import sqlalchemy as sa

from glance_py.db import errors
from glance_py.db.transactions import Transactions, Work, connect, roll_back

T = TypeVar("T")


class SharedTransaction:
    """A transaction that begins with the first write.

    :param engine: the database that is written.
    """

    def __init__(self, engine: sa.Engine, transactions: Transactions) -> None:
        self.connection: sa.Connection | None = None
        self._engine = engine
        self._transactions = transactions
        self._stack = contextlib.ExitStack()
        self._has_written = False
        self._error: BaseException | None = None

    def is_on(self, engine: sa.Engine) -> bool:
        """True when it writes through ``engine``."""
        return self._engine is engine

    def write(self, work: Work[T], lock: str | None) -> T:
        """As ``Database.write``, without COMMIT and without retries."""
        with self._roll_back_on_error():
            connection = self.connection
            if connection is None:
                connection = self._begin(lock)
            elif lock is not None:
                self._transactions.lock_before_begin(connection, lock, self._stack)
                self._transactions.lock_after_begin(connection, lock)
            result = work(connection)
        self._has_written = True
        return result

    def read(self, connection: sa.Connection, work: Work[T]) -> T:
        """As ``Database.read``, in the transaction on ``connection``."""
        with self._roll_back_on_error():
            return work(connection)

    def check(self) -> None:
        """Raise the error that rolled an earlier write back, also when the caller caught it."""
        if self._error is not None:
            raise self._error

    def commit(self, connection: sa.Connection) -> None:
        """End the transaction on ``connection``; ``close`` releases the locks."""
        self.connection = None
        self._transactions.commit(connection)

    def close(self) -> None:
        """Roll back what was not committed, and release the connection and its locks."""
        if self.connection is not None:
            roll_back(self.connection)
            self.connection = None
        self._stack.close()

    def _begin(self, lock: str | None) -> sa.Connection:
        connection = self._stack.enter_context(connect(self._engine))
        if lock is not None:
            self._transactions.lock_before_begin(connection, lock, self._stack)
        self._transactions.begin(connection)
        self.connection = connection
        if lock is not None:
            self._transactions.lock_after_begin(connection, lock)
        return connection

    @contextlib.contextmanager
    def _roll_back_on_error(self) -> Iterator[None]:
        """Roll the whole transaction back when the block fails; a later write begins a new one."""
        try:
            yield
        except BaseException as error:
            self.close()
            self._stack = contextlib.ExitStack()
            if errors.is_connection_lost(error) or errors.is_contended(error):
                # ``Database`` runs the whole function again.
                self._error = error
                raise
            translated = errors.to_domain(error)
            if self._has_written:
                self._error = translated
            if translated is error:
                raise
            raise translated from error


#: The transaction that the writes of this thread belong to.
CURRENT: contextvars.ContextVar[SharedTransaction | None] = contextvars.ContextVar(
    "shared_transaction", default=None
)
