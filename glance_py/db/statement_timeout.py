"""Limits how long a database server works on one read.

When a client goes away, the server does not end the statement that its request sent.  Therefore
the server itself has a limit.  It is for reads only: a write is bounded by waits for locks, and
a COMMIT that is interrupted could have happened.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import (
    DBAPIConnection,
    DBAPICursor,
    ExecutionContext,
    _DBAPIAnyExecuteParams,
)
from sqlalchemy.pool import ConnectionPoolEntry

from glance_py.db import connection_setup

#: Parts of the error messages of PostgreSQL, MariaDB and MySQL.
_MESSAGES = ("statement timeout", "max_statement_time", "maximum statement execution time")


def limit_select_time(engine: sa.Engine, seconds: float) -> None:
    """Make the server end each SELECT of ``engine`` that takes longer than ``seconds``.

    SQLite works in this process and has no such limit.  Behind a pooler of PostgreSQL the
    operator sets ``statement_timeout`` for the role of the service.
    """
    if engine.dialect.name == "postgresql":
        _set_session_timeout(engine, seconds)
    elif engine.dialect.name == "mysql":
        _limit_each_select(engine, seconds)


def is_timeout(error: BaseException) -> bool:
    """True when the server ended a statement because it took too long."""
    return any(sign in str(getattr(error, "orig", None) or error) for sign in _MESSAGES)


def _set_session_timeout(engine: sa.Engine, seconds: float) -> None:
    """``transactions`` lifts the limit in every transaction."""

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        if connection_setup.is_pooled(record):
            return  # Other clients of the pooler would have the limit, too.
        cursor = connection.cursor()
        cursor.execute(f"SET statement_timeout = {int(seconds * 1000)}")
        cursor.close()


def _limit_each_select(engine: sa.Engine, seconds: float) -> None:
    """Say the limit in each SELECT: as a variable of the session it would hold for writes."""
    mariadb = f"SET STATEMENT max_statement_time = {seconds:g} FOR "
    mysql = f"SELECT /*+ MAX_EXECUTION_TIME({int(seconds * 1000)}) */"

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def rewrite(
        connection: sa.Connection,
        cursor: DBAPICursor,
        statement: str,
        parameters: _DBAPIAnyExecuteParams,
        context: ExecutionContext | None,
        executemany: bool,
    ) -> tuple[str, _DBAPIAnyExecuteParams]:
        if statement.startswith("SELECT"):
            if getattr(connection.dialect, "is_mariadb", False):
                statement = mariadb + statement
            else:
                statement = mysql + statement.removeprefix("SELECT")
        return statement, parameters
