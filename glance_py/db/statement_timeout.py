"""A bound on how long a database server works on one read.

A client that goes away does not end the statement that its request sent: the
server goes on.  The bound is the server's own, and holds for reads only: a write
is bounded by locks, and a COMMIT that is interrupted could have happened.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import event

#: What servers say: PostgreSQL, MariaDB, MySQL.
_MESSAGES = ("statement timeout", "max_statement_time", "maximum statement execution time")


def limit_select_time(engine: sa.Engine, seconds: float) -> None:
    """Have the server end each SELECT of ``engine`` that takes longer than ``seconds``.

    SQLite works in this process and has no such bound.  Behind a pooler of PostgreSQL the
    operator sets ``statement_timeout`` for the role of the service.
    """
    if engine.dialect.name == "postgresql":
        _set_session_timeout(engine, seconds)
    elif engine.dialect.name == "mysql":
        _limit_each_select(engine, seconds)


def is_timeout(error: BaseException) -> bool:
    """Did the server end a statement because it took too long?"""
    return any(sign in str(getattr(error, "orig", None) or error) for sign in _MESSAGES)


def _set_session_timeout(engine: sa.Engine, seconds: float) -> None:
    """``Database`` lifts the bound in every transaction."""

    @event.listens_for(engine, "connect")
    def prepare(connection, record) -> None:
        if record.info.get("pooled"):
            return  # The session is not ours: others would be bound by it.
        cursor = connection.cursor()
        cursor.execute(f"SET statement_timeout = {int(seconds * 1000)}")
        cursor.close()


def _limit_each_select(engine: sa.Engine, seconds: float) -> None:
    """MariaDB's variable would hold for writes, too; so each statement says it."""
    mariadb = f"SET STATEMENT max_statement_time = {seconds:g} FOR "
    mysql = f"SELECT /*+ MAX_EXECUTION_TIME({int(seconds * 1000)}) */"

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def rewrite(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith("SELECT"):
            if connection.dialect.is_mariadb:
                statement = mariadb + statement
            else:
                statement = mysql + statement.removeprefix("SELECT")
        return statement, parameters
