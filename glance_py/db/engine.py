"""Creates SQLAlchemy engines: URL, arguments of the driver, and pool.

Connections are in autocommit, so that a read costs one round trip; ``database`` sends BEGIN and
COMMIT for writes.  Exceptions of drivers become those of oslo.db.  What is done on each new
connection is in ``connection_setup``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import sqlalchemy as sa
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import exc as sa_exc
from sqlalchemy import pool

from glance_py.db import connection_setup, galera, statement_timeout, timeouts
from glance_py.db.settings import DatabaseSettings
from glance_py.db.timeouts import Timeouts

# It logs a traceback for errors that a client causes with a wrong value; ``errors`` decides what
# is logged.
logging.getLogger("oslo_db.sqlalchemy.exc_filters").setLevel(logging.ERROR)

_DEFAULTS = DatabaseSettings()

#: MariaDB evaluates the subquery that bounds the window of a list while it plans, but only when
#: it estimates the subquery as cheap, and the estimate ignores LIMIT
#: (``doc/source/contributor/how-a-list-is-found.md``).  MySQL reads this as a comment.
_MARIADB = " /*M!100000 , SESSION expensive_subquery_limit = 1000000000 */"


def create_engine(
    url: str | sa.URL,
    settings: DatabaseSettings = _DEFAULTS,
    limits: Timeouts = timeouts.REQUEST,
    **pool_options: int,
) -> sa.Engine:
    """An engine in autocommit whose errors are those of oslo.db.  Does not connect.

    :param url: SQLAlchemy URL; arguments of the driver in its query win over all others.
    :param settings: of the pool and the driver; its URLs are not read.
    :param limits: how long to wait.
    :param pool_options: arguments of the pool that replace those of ``settings``.
    :raises ValueError: ``url`` cannot be parsed.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "mariadb":
        # The dialect of both servers has the name "mysql" in this package.
        parsed = parsed.set(drivername=parsed.drivername.replace("mariadb", "mysql", 1))
    if parsed.get_backend_name() == "mysql" and parsed.query.get("charset") in ("utf8", "utf8mb3"):
        # These stand for a part of UTF-8; the default, utf8mb4, is all of it.
        parsed = parsed.difference_update_query(["charset"])
    is_sqlite = parsed.get_backend_name() == "sqlite"
    engine = sa.create_engine(
        parsed,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        connect_args=driver_arguments(parsed, settings, limits),
        # In milliseconds, the unit of PostgreSQL; read by ``transactions``.
        execution_options={"lock_timeout": timeouts.lock_wait(limits.lock) * 1000},
        **{**(_sqlite_pool(parsed) if is_sqlite else _server_pool(settings)), **pool_options},
    )
    exc_filters.register_engine(engine)
    if is_sqlite:
        connection_setup.prepare_sqlite(engine, settings.sqlite_synchronous)
    else:
        connection_setup.ping_idle_connections(engine)
    if engine.dialect.name == "postgresql":
        connection_setup.prepare_postgresql(engine)
        timeouts.limit_response_time(engine, limits)
    if limits.read is not None:
        statement_timeout.limit_select_time(engine, limits.read)
    if engine.dialect.name == "mysql":
        galera.detect_node(engine)
    _log_statements(settings.connection_debug)
    return engine


def parse_url(url: str | sa.URL, parameters: str = "") -> sa.URL:
    """The URL with the parameters of the option ``connection_parameters`` added.

    :raises ValueError: it cannot be parsed.  The text does not show the URL, which may hold a
        password.
    """
    try:
        parsed = sa.make_url(url)
    except sa_exc.ArgumentError:
        raise ValueError("The database connection is not a SQLAlchemy URL.") from None
    return parsed.update_query_string(parameters, append=True) if parameters else parsed


def is_in_memory(url: sa.URL) -> bool:
    """True for a SQLite database that is lost with its connection."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _sqlite_pool(url: sa.URL) -> dict[str, object]:
    if is_in_memory(url):
        return {"poolclass": pool.StaticPool}
    return {"poolclass": pool.QueuePool, "pool_size": 5, "max_overflow": 50}


def _server_pool(settings: DatabaseSettings) -> dict[str, object]:
    return {
        "pool_size": settings.max_pool_size,
        "max_overflow": settings.max_overflow,
        "pool_timeout": settings.pool_timeout,
        "pool_recycle": settings.connection_recycle_time,
        # The connection used last is the one least likely to have been closed by the server.
        "pool_use_lifo": True,
    }


def driver_arguments(
    url: sa.URL, settings: DatabaseSettings = _DEFAULTS, limits: Timeouts = timeouts.REQUEST
) -> Mapping[str, object]:
    """The arguments for the driver's ``connect``, without those that the URL sets itself."""
    driver = url.get_driver_name()
    wanted = timeouts.connect_args(url, limits)
    lock = timeouts.lock_wait(limits.lock)
    if url.get_backend_name() == "sqlite":
        wanted |= {"timeout": lock, "check_same_thread": False}
    elif url.get_backend_name() == "postgresql" and driver.startswith("psycopg"):
        wanted["client_encoding"] = "utf8"
        if driver == "psycopg":
            # Behind a pooler the next statement may reach a server process that has not
            # prepared it (``tests/contract/dal/pooler_cases.py``).
            wanted["prepare_threshold"] = None
    elif driver in ("pymysql", "mysqldb"):
        wanted["charset"] = "utf8mb4"
        if settings.mysql_sql_mode is not None:
            wanted["sql_mode"] = settings.mysql_sql_mode
        session = [f"SESSION innodb_lock_wait_timeout = {lock}"]
        if settings.mysql_wsrep_sync_wait is not None:
            session.append(f"SESSION wsrep_sync_wait = {int(settings.mysql_wsrep_sync_wait)}")
        wanted["init_command"] = f"SET {', '.join(session)}{_MARIADB}"
    return {name: value for name, value in wanted.items() if name not in url.query}


def _log_statements(connection_debug: int) -> None:
    """``connection_debug``: from 50 on SQLAlchemy logs statements, from 100 on also rows."""
    if connection_debug >= 50:
        level = logging.DEBUG if connection_debug >= 100 else logging.INFO
        logging.getLogger("sqlalchemy.engine").setLevel(level)
