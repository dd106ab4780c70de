"""Translates database errors into errors of the domain.

oslo.db recognises the messages of each driver; this module translates its exceptions.  Texts of
drivers are not passed on, since they have SQL and values.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator

from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from glance_py.db import statement_timeout
from glance_py.domain import errors

LOG = logging.getLogger(__name__)

#: Codes of PostgreSQL and MySQL for a table or column that does not exist; texts of SQLite.
_UNDEFINED = frozenset({"42P01", "42703", 1146, 1054})
_UNDEFINED_TEXTS = ("no such table", "no such column", "has no column named")

_OUT_OF_RANGE = "A value is too long, out of range or holds characters that cannot be stored."


def is_connection_lost(error: BaseException) -> bool:
    """True when the connection was lost, so that the work may succeed on another one."""
    return isinstance(error, db_exc.DBConnectionError)


def is_contended(error: BaseException) -> bool:
    """True when another transaction was in the way, so that the work may succeed later."""
    if isinstance(error, db_exc.DBDeadlock):
        return True
    return isinstance(error, sa_exc.OperationalError) and any(
        sign in str(error.orig) for sign in ("is locked", "lock timeout")
    )


def is_outcome_unknown(error: BaseException, dialect: str) -> bool:
    """True when a COMMIT that failed with ``error`` may have committed.

    :param dialect: postgresql, mysql or sqlite.
    """
    if is_connection_lost(error) or _is_without_quorum(error):
        return True
    if isinstance(
        error,
        (
            db_exc.DBDeadlock,
            db_exc.DBDuplicateEntry,
            db_exc.DBReferenceError,
            db_exc.DBConstraintError,
            db_exc.DBDataError,
        ),
    ) or is_contended(error):
        return False
    # An ERROR of PostgreSQL at COMMIT, like one of SQLite, is a rollback; MySQL's errors also
    # report what happens after a transaction became durable (replication, KILL QUERY).
    return dialect == "mysql" and isinstance(error, (db_exc.DBError, sa_exc.DBAPIError))


def _is_without_quorum(error: BaseException) -> bool:
    """True when a Galera node has lost its cluster (error 1180 of MariaDB)."""
    number, text = _driver_error(error)
    return number == 1180 or "Primary Component" in text


def is_schema_conflict(error: BaseException) -> bool:
    """True when another process changed the same tables of a MySQL server meanwhile."""
    # Table, column or index exists; table, column or index does not exist; table is changed.
    return _driver_error(error)[0] in (1050, 1060, 1061, 1051, 1091, 1684)


def _driver_error(error: BaseException) -> tuple[object, str]:
    """The number and the text of an error of a MySQL driver; the number is None for others."""
    inner = getattr(error, "inner_exception", None) or error
    args = getattr(getattr(inner, "orig", None), "args", None) or (None,)
    return args[0], str(args[-1])


def to_domain(error: BaseException) -> BaseException:
    """The error of the domain for ``error``, or ``error`` itself when there is none.  Logs."""
    if isinstance(error, db_exc.DBDuplicateEntry):
        return errors.Duplicate("An object with these identifiers exists already.")
    if isinstance(
        error,
        (db_exc.DBDataError, db_exc.DBInvalidUnicodeParameter, sa_exc.DataError, OverflowError),
    ):
        return errors.Invalid(_OUT_OF_RANGE)
    if isinstance(
        error,
        (
            db_exc.DBConnectionError,
            db_exc.DBNonExistentDatabase,
            db_exc.DBDeadlock,
            sa_exc.TimeoutError,
        ),
    ) or (is_contended(error) or _is_without_quorum(error)):
        LOG.error("The database did not answer: %s", first_line(error))
        return errors.DatabaseUnavailable()
    if isinstance(error, (db_exc.DBError, sa_exc.DBAPIError)) and statement_timeout.is_timeout(
        error
    ):
        LOG.error("The database took too long for a read, which was ended: %s", first_line(error))
        return errors.DatabaseUnavailable()
    inner = getattr(error, "inner_exception", None)
    original = getattr(inner or error, "orig", None)
    if original is not None and _is_undefined(original):
        LOG.error(
            "The schema of the database is not the one of this release (%s). Run "
            "'glance-manage db sync'.",
            first_line(original),
        )
        return errors.DatabaseNotReady()
    if isinstance(inner, (sa_exc.DataError, ValueError, OverflowError)):
        return errors.Invalid(_OUT_OF_RANGE)
    if isinstance(inner, sa_exc.TimeoutError):
        return errors.DatabaseUnavailable()
    return error


def _is_undefined(original: BaseException) -> bool:
    """True when an error of a driver means that a table or a column does not exist."""
    first = original.args[0] if original.args else None
    if {getattr(original, "sqlstate", None), getattr(original, "pgcode", None)} & _UNDEFINED:
        return True
    if isinstance(original, sqlite3.Error):
        return any(text in str(first) for text in _UNDEFINED_TEXTS)
    return first in _UNDEFINED


@contextlib.contextmanager
def translate_duplicates(message: str) -> Iterator[None]:
    """Raise violations of unique constraints in the block with ``message``.

    :raises errors.Duplicate: there was one.
    """
    try:
        yield
    except db_exc.DBDuplicateEntry:
        raise errors.Duplicate(message) from None


def first_line(error: BaseException) -> str:
    """The first line of ``error``, for a log: further lines have the statement and values."""
    return str(error).partition("\n")[0]
