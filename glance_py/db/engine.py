"""Connections and transactions.

A read costs one round trip: connections are in autocommit, so nothing begins
or ends around it.  A write is a function that runs between BEGIN and COMMIT
and is run again from its start when another transaction was in the way or the
connection went away; both are bounded in time.  What is read or written stands
elsewhere.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import logging
import os
import random
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TypeVar

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_db import options
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import event, pool
from sqlalchemy import exc as sa_exc

from glance_py.db import errors, galera, locks, statement_timeout
from glance_py.db import timeouts as limits
from glance_py.db.cipher import UrlCipher
from glance_py.db.timeouts import Timeouts
from glance_py.domain import errors as domain

LOG = logging.getLogger(__name__)
# It logs a traceback for what a caller can cause with a wrong value; errors.py decides here.
logging.getLogger("oslo_db.sqlalchemy.exc_filters").setLevel(logging.ERROR)

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

#: A connection that nobody used for so long is tested before it is used, in seconds.
PING_AFTER_IDLE = 5.0
#: How long a write keeps trying against other transactions, in seconds.
RETRY_TIMEOUT = 30.0
#: The bound of a list's window comes from a subquery.  MariaDB plans with its value only when it
#: believes it cheap, and its belief ignores the subquery's LIMIT.  Other servers see a comment.
_MARIADB = " /*M!100000 , SESSION expensive_subquery_limit = 1000000000 */"


class Database:
    """One database, and perhaps a replica of it for lists.

    :param engine: where everything is written and read.
    :param replica: where lists are read, when it is another server.
    :param max_reconnects: how often to try again when the connection was lost, at least once.
    :param reconnect_interval: seconds between two such attempts after the first.
    :param cipher: seals the addresses of data, when they are kept sealed.
    :param options: the group of options from which the engine was made; None for defaults.
    :param retry_timeout: how long a write keeps trying against other transactions, in seconds;
        None for ``RETRY_TIMEOUT``.
    """

    def __init__(
        self,
        engine: sa.Engine,
        replica: sa.Engine | None = None,
        max_reconnects: int = 1,
        reconnect_interval: float = 0.0,
        cipher: UrlCipher | None = None,
        options=None,
        retry_timeout: float | None = None,
    ) -> None:
        self.engine = engine
        self.replica = replica or engine
        self.dialect: str = engine.dialect.name
        self.cipher = cipher
        self._max_reconnects = max_reconnects
        self._reconnect_interval = reconnect_interval
        self._options = options
        self._retry_timeout = retry_timeout
        self._heartbeat_databases: list[Database] = []
        self._begin_statement = {
            "sqlite": "BEGIN IMMEDIATE",
            # For this transaction only: behind a pooler the session is somebody else's, too.
            # Writes are bounded by locks, and not by the bound of reads.
            "postgresql": "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = "
            f"{engine.get_execution_options().get('lock_timeout', 0)}",
        }.get(self.dialect, "BEGIN")

    def now(self) -> datetime.datetime:
        """The present, naive UTC, as precise as the database keeps it."""
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        # DATETIME of MySQL has whole seconds and rounds to the nearest, perhaps into the future.
        return now.replace(microsecond=0) if self.dialect == "mysql" else now

    def read(self, work: Work[T], replica: bool = False) -> T:
        """Run ``work(connection)``, which only reads; each statement stands for itself.

        :raises glance_py.domain.errors.DatabaseUnavailable: the server is away.
        """
        engine = self.replica if replica else self.engine
        shared = _SHARED_TRANSACTION.get()
        if shared is not None and shared.database is self and shared.connection is not None:
            # What was written so far is seen there only.
            return shared.read(shared.connection, work)

        def attempt() -> T:
            with _connect(engine) as connection:
                return work(connection)

        return self._retry(attempt)

    def write(self, work: Work[T], lock: str | None = None) -> T:
        """Run ``work(connection)`` as one transaction and return what it returns.

        ``work`` may run several times and must have no other effects.

        :param lock: writes with the same text here follow each other, and each sees
            what those before it did.
        :raises glance_py.domain.errors.OutcomeUnknown: the answer to COMMIT was lost or
            late; everything may have been written, or nothing.
        :raises glance_py.domain.errors.DatabaseUnavailable: the server is away, or
            other transactions were in the way for too long; nothing was written.
        """
        shared = _SHARED_TRANSACTION.get()
        if shared is not None and shared.database is self:
            return shared.write(work, lock)
        if lock is None:
            return self._retry(lambda: self._transact(work))
        return self._retry(lambda: self._transact_locked(work, lock))

    def in_one_transaction(
        self, run: Callable[[], T], finish: Callable[[sa.Connection, T], None]
    ) -> T:
        """Call ``run`` and make one transaction of all that it writes through this database.

        Without a write there is no transaction.  ``run`` may be called several times and
        must have no other effects.

        :param finish: called at the end of the transaction with what ``run`` returned.
        :returns: what ``run`` returned.
        :raises glance_py.domain.errors.GlanceError: what ``run`` and :meth:`write` raise.
        """

        def attempt() -> T:
            with contextlib.closing(_SharedTransaction(self)) as shared:
                token = _SHARED_TRANSACTION.set(shared)
                try:
                    result = run()
                finally:
                    _SHARED_TRANSACTION.reset(token)
                shared.check()
                if (connection := shared.connection) is not None:
                    finish(connection, result)
                    shared.commit(connection)
                return result

        return self._retry(attempt)

    def run_ddl(self, work: Work[T]) -> T:
        """Run ``work(connection)``, which changes tables, when nobody else does.

        One transaction where the database has those for tables (not on MySQL).
        ``work`` may run several times.

        :raises glance_py.domain.errors.DatabaseUnavailable: the server is away, or
            other transactions were in the way for too long.
        """
        if self.dialect == "sqlite":
            return self._retry(lambda: self._transact_without_foreign_keys(work))
        maintenance = self.with_long_timeouts()
        try:
            return maintenance.write(work, lock="tables")
        finally:
            maintenance.dispose()

    def with_long_timeouts(self) -> Database:
        """The same database through connections of its own, which wait for large tables.

        Whoever asks for it disposes of it.
        """
        return Database(self._engine(limits.MAINTENANCE), cipher=self.cipher, options=self._options)

    def for_heartbeats(self) -> Database:
        """The same database through one connection of its own that soon gives up.

        A heartbeat neither waits behind requests for a connection nor for an answer that
        does not come: a call ends within some 20 seconds, retry included.  Connections wait
        for one another: it is for one thread.  It is disposed of together with this one.
        """
        if _is_in_memory(self.engine.url):
            # There is no second way into it; disposing of the copy must not empty it.
            return _SharedEngineDatabase(self.engine, cipher=self.cipher)
        made = Database(
            self._engine(
                limits.HEARTBEAT, pool_size=1, max_overflow=0, pool_timeout=limits.HEARTBEAT.connect
            ),
            cipher=self.cipher,
            options=self._options,
            retry_timeout=limits.HEARTBEAT.lock,
        )
        self._heartbeat_databases.append(made)
        return made

    def _engine(self, timeouts: Timeouts, **pool_options) -> sa.Engine:
        """Another engine for the same database, with time-outs that the URL does not change."""
        url = self.engine.url
        url = url.difference_update_query(limits.connect_args(url, timeouts))
        return create_engine(url, self._options, timeouts, **pool_options)

    def ping(self) -> None:
        """Ask the database for a sign of life.

        :raises glance_py.domain.errors.DatabaseUnavailable: there was none.
        """
        self.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()
        self.replica.dispose()
        for database in self._heartbeat_databases:
            database.dispose()

    def _transact(self, work: Work[T]) -> T:
        with _connect(self.engine) as connection:
            return self._transact_on(connection, work)

    def _transact_locked(self, work: Work[T], name: str) -> T:
        """A lock of the server keeps others away; SQLite has one writer anyway."""
        with _connect(self.engine) as connection:
            if self.dialect == "postgresql":
                return self._transact_on(connection, locks.with_transaction_lock(name, work))
            if self.dialect == "mysql":
                # Before the transaction, which sees what was there when it first looked.
                with locks.session_lock(connection, name, _lock_wait(self._retry_timeout)):
                    return self._transact_on(connection, work)
            return self._transact_on(connection, work)

    def _transact_without_foreign_keys(self, work: Work[T]) -> T:
        """SQLite changes a table by making another, which must not concern foreign keys."""
        with _connect(self.engine) as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            try:
                return self._transact_on(connection, work)
            finally:
                connection.exec_driver_sql("PRAGMA foreign_keys = ON")

    def _transact_on(self, connection: sa.Connection, work: Work[T]) -> T:
        connection.exec_driver_sql(self._begin_statement)
        try:
            result = work(connection)
        except BaseException:
            _roll_back(connection)
            raise
        self._commit(connection)
        return result

    def _commit(self, connection: sa.Connection) -> None:
        try:
            connection.exec_driver_sql("COMMIT")
        except BaseException as error:
            connection.invalidate()
            if errors.is_outcome_unknown(error, self.dialect):
                # Running it again could do it twice.
                LOG.error("The outcome of a COMMIT is unknown: %s", errors.first_line(error))
                raise domain.OutcomeUnknown() from error
            raise

    def _retry(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt`` until it neither meets another transaction nor a dead connection."""
        deadline = time.monotonic() + (
            RETRY_TIMEOUT if self._retry_timeout is None else self._retry_timeout
        )
        lost, delay = 0, 0.01
        while True:
            try:
                return attempt()
            except Exception as error:
                if errors.is_connection_lost(error) and lost < self._max_reconnects:
                    wait = self._reconnect_interval if lost else 0.0
                    lost += 1
                elif errors.is_contended(error) and time.monotonic() < deadline:
                    # Two that collided must not wait equally long.
                    wait = random.uniform(0, delay)
                    delay = min(delay * 2, 0.5)
                else:
                    translated = errors.to_domain(error)
                    if translated is error:
                        raise
                    raise translated from error
            time.sleep(wait)


class _SharedTransaction:
    """The transaction of :meth:`Database.in_one_transaction`; it begins with the first write."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection: sa.Connection | None = None
        self._stack = contextlib.ExitStack()
        self._has_written = False
        self._error: BaseException | None = None

    def write(self, work: Work[T], lock: str | None) -> T:
        """As :meth:`Database.write`, but for the end of the transaction and for retries."""
        with self._translate_errors():
            connection = self.connection
            if connection is None:
                connection = self._begin(lock)
            elif lock is not None:
                self._lock(connection, lock)
            result = work(connection)
        self._has_written = True
        return result

    def read(self, connection: sa.Connection, work: Work[T]) -> T:
        """As :meth:`Database.read`, in the transaction on ``connection``."""
        with self._translate_errors():
            return work(connection)

    def check(self) -> None:
        """Raise what made an earlier write be taken back, also when that was caught."""
        if self._error is not None:
            raise self._error

    def commit(self, connection: sa.Connection) -> None:
        """End the transaction on ``connection``; locks are released by ``close``."""
        self.connection = None
        self.database._commit(connection)

    def close(self) -> None:
        """Take back what was not committed, and give up connection and locks."""
        if self.connection is not None:
            _roll_back(self.connection)
            self.connection = None
        self._stack.close()

    def _begin(self, lock: str | None) -> sa.Connection:
        connection = self._stack.enter_context(_connect(self.database.engine))
        if lock is not None and self.database.dialect == "mysql":
            # Before the transaction, which sees what was there when it first looked.
            self._lock(connection, lock)
        connection.exec_driver_sql(self.database._begin_statement)
        self.connection = connection
        if lock is not None and self.database.dialect == "postgresql":
            self._lock(connection, lock)
        return connection

    def _lock(self, connection: sa.Connection, name: str) -> None:
        if self.database.dialect == "mysql":
            self._stack.enter_context(
                locks.session_lock(connection, name, _lock_wait(self.database._retry_timeout))
            )
        elif self.database.dialect == "postgresql":
            locks.with_transaction_lock(name, lambda _: None)(connection)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Take everything back when it fails; a later write begins anew."""
        try:
            yield
        except BaseException as error:
            self.close()
            self._stack = contextlib.ExitStack()
            if errors.is_connection_lost(error) or errors.is_contended(error):
                # The whole is to be run again.
                self._error = error
                raise
            translated = errors.to_domain(error)
            if self._has_written:
                self._error = translated
            if translated is error:
                raise
            raise translated from error


#: The transaction that this thread's writes belong to.
_SHARED_TRANSACTION: contextvars.ContextVar[_SharedTransaction | None] = contextvars.ContextVar(
    "shared_transaction", default=None
)


class _SharedEngineDatabase(Database):
    """A database through the engine of another one."""

    def dispose(self) -> None:
        """Leave the connections to their owner."""


def _connect(engine: sa.Engine) -> sa.Connection:
    try:
        return engine.connect()
    except sa_exc.OperationalError as error:
        # Whatever the server said, there is no connection.
        raise db_exc.DBConnectionError(error) from error


def _roll_back(connection: sa.Connection) -> None:
    try:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
    except Exception:
        # The server forgets the transaction together with the connection.
        connection.invalidate()


def open_database(conf, timeouts: Timeouts = limits.REQUEST) -> Database:
    """The database that the group ``[database]`` of ``conf`` names.

    Nothing is contacted before the first use.

    :param conf: an oslo.config ConfigOpts.
    :param timeouts: how long to wait, unless the URL says otherwise.
    :raises ValueError: ``connection`` is missing or cannot be understood, or
        ``metadata_encryption_key`` is no key.
    """
    conf.register_opts(options.database_opts, group="database")
    group = conf.database
    if not group.connection:
        raise ValueError("The option connection in the group [database] is not set.")
    replica = (
        create_engine(_url(group.slave_connection, group.connection_parameters), group, timeouts)
        if group.slave_connection
        else None
    )
    persistent = group.use_db_reconnect
    key = conf.metadata_encryption_key if "metadata_encryption_key" in conf else None
    return Database(
        create_engine(_url(group.connection, group.connection_parameters), group, timeouts),
        replica,
        max_reconnects=max(1, group.db_max_retries) if persistent else 1,
        reconnect_interval=group.db_retry_interval if persistent else 0.0,
        cipher=UrlCipher(key) if key else None,
        options=group,
    )


def _url(url: str | sa.URL, parameters: str = "") -> sa.URL:
    """The URL with more parameters, as ``connection_parameters`` has them.

    :raises ValueError: the URL cannot be understood.
    """
    try:
        parsed = sa.make_url(url)
    except sa_exc.ArgumentError:
        # The URL itself may hold a password.
        raise ValueError("The database connection is not a SQLAlchemy URL.") from None
    return parsed.update_query_string(parameters, append=True) if parameters else parsed


def create_engine(
    url: str | sa.URL, group=None, timeouts: Timeouts = limits.REQUEST, **pool_options
) -> sa.Engine:
    """An engine in autocommit whose errors are those of oslo.db.

    :param url: SQLAlchemy URL.
    :param group: the options of oslo.db; None for their defaults.
    :param timeouts: how long to wait, unless the URL says otherwise.
    :param pool_options: of the pool, instead of what ``group`` says.
    :raises ValueError: the URL cannot be understood.
    """
    parsed = _url(url)
    if parsed.get_backend_name() == "mariadb":
        # The same server; everything here speaks of it by one name.
        parsed = parsed.set(drivername=parsed.drivername.replace("mariadb", "mysql", 1))
    if parsed.get_backend_name() == "mysql" and parsed.query.get("charset") in ("utf8", "utf8mb3"):
        # MySQL's names for a part of UTF-8; the default, utf8mb4, is all of it.
        parsed = parsed.difference_update_query(["charset"])
    sqlite = parsed.get_backend_name() == "sqlite"
    engine = sa.create_engine(
        parsed,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        connect_args=_connect_args(parsed, group, timeouts),
        # In milliseconds, as PostgreSQL has it; see Database.
        execution_options={"lock_timeout": _lock_wait(timeouts.lock) * 1000},
        **{**(_sqlite_pool(parsed) if sqlite else _server_pool(group)), **pool_options},
    )
    exc_filters.register_engine(engine)
    if sqlite:
        _prepare_sqlite(engine, synchronous=getattr(group, "sqlite_synchronous", True))
    else:
        _ping_idle_connections(engine)
    if engine.dialect.name == "postgresql":
        _prepare_postgresql(engine)
        limits.limit_response_time(engine, timeouts)
    if timeouts.read is not None:
        statement_timeout.limit_select_time(engine, timeouts.read)
    if engine.dialect.name == "mysql":
        galera.detect_node(engine)
    _dispose_after_fork(engine)
    _log_statements(getattr(group, "connection_debug", 0))
    return engine


def _sqlite_pool(url: sa.URL) -> dict:
    if _is_in_memory(url):
        return {"poolclass": pool.StaticPool}
    return {"poolclass": pool.QueuePool, "pool_size": 5, "max_overflow": 50}


def _is_in_memory(url: sa.URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _server_pool(group) -> dict:
    def option(name: str, default: int) -> int:
        # 0 is a choice, too.
        value = getattr(group, name, None)
        return default if value is None else value

    return {
        "pool_size": option("max_pool_size", 5),
        "max_overflow": option("max_overflow", 50),
        "pool_timeout": option("pool_timeout", 30),
        "pool_recycle": option("connection_recycle_time", 3600),
        # The one used last is the one least likely to have been closed.
        "pool_use_lifo": True,
    }


def _connect_args(url: sa.URL, group, timeouts: Timeouts = limits.REQUEST) -> dict:
    """What the driver shall do when it connects, unless the URL says otherwise."""
    driver = url.get_driver_name()
    wanted = limits.connect_args(url, timeouts)
    lock = _lock_wait(timeouts.lock)
    if url.get_backend_name() == "sqlite":
        wanted |= {"timeout": min(RETRY_TIMEOUT, lock), "check_same_thread": False}
    elif url.get_backend_name() == "postgresql" and driver.startswith("psycopg"):
        wanted["client_encoding"] = "utf8"
        if driver == "psycopg":
            # A pooler gives the next statement to a server that has not prepared it.
            wanted["prepare_threshold"] = None
    elif driver in ("pymysql", "mysqldb"):
        wanted["charset"] = "utf8mb4"
        mode = getattr(group, "mysql_sql_mode", "TRADITIONAL")
        if mode is not None:
            wanted["sql_mode"] = mode
        wait = getattr(group, "mysql_wsrep_sync_wait", None)
        session = [f"SESSION innodb_lock_wait_timeout = {lock}"]
        if wait is not None:
            session.append(f"SESSION wsrep_sync_wait = {int(wait)}")
        wanted["init_command"] = f"SET {', '.join(session)}{_MARIADB}"
    return {name: value for name, value in wanted.items() if name not in url.query}


def _lock_wait(seconds: float | None) -> int:
    """Whole seconds to wait for a lock."""
    return max(1, int(min(RETRY_TIMEOUT, seconds if seconds is not None else limits.REQUEST.lock)))


def _prepare_sqlite(engine: sa.Engine, synchronous: bool) -> None:
    """Let readers and one writer work at once, and keep foreign keys true."""

    @event.listens_for(engine, "connect")
    def prepare(connection, record) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        with contextlib.suppress(sqlite3.OperationalError):
            # Another process may be changing it to the same at this moment.
            cursor.execute("PRAGMA journal_mode = WAL")
        if not synchronous:
            cursor.execute("PRAGMA synchronous = OFF")
        cursor.close()


#: Is there no pooler between the server and the client, who believes that its process is the
#: parameter?  Only then a setting is the client's own.  Compiling one page's plan takes longer
#: than reading a hundred thousand rows.
_JIT_OFF = """
    SELECT pg_backend_pid() <> %s,
           CASE WHEN pg_backend_pid() = %s THEN set_config('jit', 'off', false) END
"""


def _prepare_postgresql(engine: sa.Engine) -> None:
    """Find out whether a pooler lends out the connection; see :func:`is_behind_pooler`.

    Settings are no options of the connection, since poolers refuse those.
    """

    @event.listens_for(engine, "connect")
    def prepare(connection, record) -> None:
        process = connection.info.backend_pid
        cursor = connection.cursor()
        cursor.execute(_JIT_OFF, (process, process))
        record.info["pooled"] = cursor.fetchone()[0]
        cursor.close()


def is_behind_pooler(connection: sa.Connection) -> bool:
    """Does a pooler such as PgBouncer lend out the connections of PostgreSQL?

    Then neither locks nor settings of a session belong to this client.
    """
    return bool(connection.info.get("pooled"))


def _ping_idle_connections(engine: sa.Engine) -> None:
    """Test a connection before use only when it lay idle: not once per request."""

    @event.listens_for(engine, "checkin")
    def remember(connection, record) -> None:
        record.info["idle since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def test(connection, record, proxy) -> None:
        since = record.info.get("idle since")
        if since is None or time.monotonic() - since < PING_AFTER_IDLE:
            return
        try:
            alive = engine.dialect.do_ping(connection)
        except Exception:
            alive = False
        if not alive:
            raise sa_exc.DisconnectionError("the connection was closed while it was idle")


def _dispose_after_fork(engine: sa.Engine) -> None:
    """A child process must not talk over the sockets of its parent."""
    reference = weakref.ref(engine)

    def dispose_inherited() -> None:
        if (inherited := reference()) is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=dispose_inherited)


def _log_statements(connection_debug: int) -> None:
    if connection_debug >= 50:
        level = logging.DEBUG if connection_debug >= 100 else logging.INFO
        logging.getLogger("sqlalchemy.engine").setLevel(level)
