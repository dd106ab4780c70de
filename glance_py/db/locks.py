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
_GET = sa.text("SELECT GET_LOCK(:name, :seconds)")
_RELEASE = sa.text("SELECT RELEASE_LOCK(:name)")


def until_commit(name: str, work: Callable[[sa.Connection], T]) -> Callable[[sa.Connection], T]:
    """``work`` of a transaction of PostgreSQL that holds the lock to its end.

    PostgreSQL itself bounds the wait: see ``lock_timeout`` in ``engine``.
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)

    def locked(connection: sa.Connection) -> T:
        connection.execute(_LOCK, {"key": key})
        return work(connection)

    return locked


@contextlib.contextmanager
def held(connection: sa.Connection, name: str, seconds: float) -> Iterator[None]:
    """Hold a lock of MySQL, whose locks belong to connections and not to transactions.

    :raises errors.DatabaseUnavailable: somebody else held it for too long.
    """
    # Names are those of the whole server, at most 64 characters long.
    bound = {"name": hashlib.sha256(f"{connection.engine.url.database} {name}".encode())
             .hexdigest()}
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
