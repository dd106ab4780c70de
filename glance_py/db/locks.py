"""Advisory locks of the database server: they serialise writes that do not share a row.

A server releases the locks of a connection that is closed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import sqlalchemy as sa

from glance_py.domain import errors

_LOCK = sa.text("SELECT pg_advisory_xact_lock(:key)")
_TRY = sa.text("SELECT pg_try_advisory_lock(:key)")
_GET = sa.text("SELECT GET_LOCK(:name, :seconds)")
_RELEASE = sa.text("SELECT RELEASE_LOCK(:name)")


def lock_transaction(connection: sa.Connection, name: str) -> None:
    """Take a lock of PostgreSQL until the end of the transaction.

    ``lock_timeout``, which each transaction sets, limits the wait (``transactions``).
    """
    connection.execute(_LOCK, {"key": _key(name)})


@contextlib.contextmanager
def session_lock(connection: sa.Connection, name: str, seconds: float) -> Iterator[None]:
    """Hold a lock of MySQL, whose locks belong to connections and not to transactions.

    :param seconds: how long to wait for it.
    :raises errors.DatabaseUnavailable: another connection held it for longer.
    """
    # A name is valid in the whole server and has at most 64 characters.
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
            # Closing the connection releases the lock.
            connection.invalidate()


@contextlib.contextmanager
def try_session_lock(connection: sa.Connection, name: str) -> Iterator[None]:
    """Hold a lock outside of transactions; do not wait for it.

    On PostgreSQL it is held until the connection closes.  SQLite has one writer at a time and
    takes no lock.

    :raises errors.Conflict: another connection holds it.
    """
    busy = errors.Conflict("Another process does the same work on this database at this moment.")
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
    """The 64-bit number that stands for ``name`` in PostgreSQL."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
