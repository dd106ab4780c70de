"""Locks by name, which a database server keeps beside its tables.

They make writes follow each other that have no row in common.  A server forgets
the locks of a connection that goes away.  What is done under a lock is not
known here.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import sqlalchemy as sa

from glance_py.domain import errors

T = TypeVar("T")

_LOCK = sa.text("SELECT pg_advisory_xact_lock(:key)")
_TRY = sa.text("SELECT pg_try_advisory_lock(:key)")
_GET = sa.text("SELECT GET_LOCK(:name, :seconds)")
_RELEASE = sa.text("SELECT RELEASE_LOCK(:name)")


def with_transaction_lock(
    name: str, work: Callable[[sa.Connection], T]
) -> Callable[[sa.Connection], T]:
    """``work`` of a transaction of PostgreSQL that holds the lock to its end.

    PostgreSQL itself bounds the wait: see ``lock_timeout`` in ``engine``.
    """

    def locked(connection: sa.Connection) -> T:
        connection.execute(_LOCK, {"key": _key(name)})
        return work(connection)

    return locked


@contextlib.contextmanager
def session_lock(connection: sa.Connection, name: str, seconds: float) -> Iterator[None]:
    """Hold a lock of MySQL, whose locks belong to connections and not to transactions.

    :raises errors.DatabaseUnavailable: somebody else held it for too long.
    """
    # Names are those of the whole server, at most 64 characters long.
    bound = {
        "name": hashlib.sha256(f"{connection.engine.url.database} {name}".encode()).hexdigest()
    }
    if connection.scalar(_GET, {**bound, "seconds": int(seconds)}) != 1:
        raise errors.DatabaseUnavailable()
    try:
        yield
    finally:
        try:
            if not connection.invalidated:
                connection.execute(_RELEASE, bound)
        except Exception:
            # The lock is gone together with the connection.
            connection.invalidate()


@contextlib.contextmanager
def try_session_lock(connection: sa.Connection, name: str) -> Iterator[None]:
    """Hold a lock outside of transactions, or do not wait for it.

    On PostgreSQL it is held until the connection closes.  SQLite has one writer anyway.

    :raises errors.Conflict: somebody else holds it.
    """
    busy = errors.Conflict("Another process is at this very work on the database.")
    if connection.dialect.name == "mysql":
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(session_lock(connection, name, 0))
            except errors.DatabaseUnavailable:
                raise busy from None
            yield
        return
    if connection.dialect.name == "postgresql" and not connection.scalar(_TRY, {"key": _key(name)}):
        raise busy
    yield


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
