"""Reads and writes of one database, with retries that are bounded in time.

A write is a function that runs between BEGIN and COMMIT.  It runs again from its start when
another transaction was in the way or the connection was lost.  The statements themselves are in
the modules of the repositories.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import random
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from oslo_config import cfg

from glance_py.db import errors, shared_transaction, timeouts
from glance_py.db.cipher import UrlCipher
from glance_py.db.engine import create_engine, is_in_memory, parse_url
from glance_py.db.settings import DatabaseSettings
from glance_py.db.shared_transaction import SharedTransaction
from glance_py.db.timeouts import RETRY_TIMEOUT, Timeouts
from glance_py.db.transactions import Transactions, Work, connect
from glance_py.domain.times import utc_now
from glance_store_py.process import PerProcess

T = TypeVar("T")

#: Seconds to wait after the first and at most after any collision with another transaction.
_MIN_BACKOFF, _MAX_BACKOFF = 0.01, 0.5


class Database:
    """One database, and perhaps a replica of it for lists.

    A child process that inherits it opens connections of its own.

    :param engine: the database that is written and read.
    :param replica: the database that lists are read from, None for ``engine``.
    :param settings: attempts after a lost connection, and the pool of further engines for the
        same database.
    :param cipher: encrypts the URLs of locations; None when they are stored as they are.
    :param retry_timeout: seconds for which a write is retried after collisions with other
        transactions, and for which it waits for a named lock at most.
    """

    def __init__(
        self,
        engine: sa.Engine,
        replica: sa.Engine | None = None,
        settings: DatabaseSettings | None = None,
        cipher: UrlCipher | None = None,
        retry_timeout: float | None = None,
    ) -> None:
        self._engine = _per_process(engine)
        self._replica = self._engine if replica is None else _per_process(replica)
        self.dialect: str = engine.dialect.name
        self.cipher = cipher
        self._settings = settings or DatabaseSettings()
        # Databases for one purpose try once more: what they wait for is bounded by their caller.
        self._settings_of_copies = dataclasses.replace(
            self._settings, max_reconnects=1, reconnect_interval=0.0
        )
        self._retry_timeout = RETRY_TIMEOUT if retry_timeout is None else retry_timeout
        self._transactions = Transactions(engine, timeouts.lock_wait(retry_timeout))
        self._heartbeat_databases: list[Database] = []

    @property
    def engine(self) -> sa.Engine:
        """The engine that is written and read."""
        return self._engine.get()

    def now(self) -> datetime.datetime:
        """The present, naive UTC, with the precision of the database's columns."""
        now = utc_now()
        # DATETIME of MySQL has whole seconds and rounds to the nearest, perhaps into the future.
        return now.replace(microsecond=0) if self.dialect == "mysql" else now

    def read(self, work: Work[T], replica: bool = False) -> T:
        """Run ``work(connection)``, which only reads; each statement is a transaction of its own.

        :param replica: read from the replica, which may be some time behind.
        :raises glance_py.domain.errors.DatabaseUnavailable: the server does not answer.
        """
        engine = (self._replica if replica else self._engine).get()
        shared = shared_transaction.CURRENT.get()
        if shared is not None and shared.connection is not None and shared.is_on(self.engine):
            # Only this connection sees what the transaction has written.
            return shared.read(shared.connection, work)

        def attempt() -> T:
            with connect(engine) as connection:
                return work(connection)

        return self._retry(attempt)

    def write(self, work: Work[T], lock: str | None = None) -> T:
        """Run ``work(connection)`` as one transaction and return what it returns.

        ``work`` may run several times and must have no other effects.

        :param lock: a name; writes with the same name run one after the other, and each sees
            what those before it wrote.
        :raises glance_py.domain.errors.OutcomeUnknown: the answer to COMMIT was lost or
            late; everything may have been written, or nothing.
        :raises glance_py.domain.errors.DatabaseUnavailable: the server does not answer, or
            other transactions were in the way for too long; nothing was written.
        """
        engine = self._engine.get()
        shared = shared_transaction.CURRENT.get()
        if shared is not None and shared.is_on(engine):
            return shared.write(work, lock)

        def attempt() -> T:
            with connect(engine) as connection:
                if lock is None:
                    return self._transactions.run(connection, work)
                return self._transactions.run_locked(connection, work, lock)

        return self._retry(attempt)

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
            shared = SharedTransaction(self.engine, self._transactions)
            with contextlib.closing(shared):
                token = shared_transaction.CURRENT.set(shared)
                try:
                    result = run()
                finally:
                    shared_transaction.CURRENT.reset(token)
                shared.check()
                if (connection := shared.connection) is not None:
                    finish(connection, result)
                    shared.commit(connection)
                return result

        return self._retry(attempt)

    def run_ddl(self, work: Work[T]) -> T:
        """Run ``work(connection)``, which changes tables, while no other process does.

        It is one transaction where the database has transactions for tables (not on MySQL).
        ``work`` may run several times.

        :raises glance_py.domain.errors.DatabaseUnavailable: the server does not answer, or
            other transactions were in the way for too long.
        """
        if self.dialect == "sqlite":
            return self._retry(lambda: self._run_without_foreign_keys(work))
        maintenance = self.with_long_timeouts()
        try:
            return maintenance.write(work, lock="tables")
        finally:
            maintenance.dispose()

    def with_long_timeouts(self) -> Database:
        """The same database through connections of its own, with time for large tables.

        The caller must dispose of it.
        """
        return Database(
            self._create_engine(timeouts.MAINTENANCE),
            settings=self._settings_of_copies,
            cipher=self.cipher,
        )

    def for_heartbeats(self) -> Database:
        """The same database through one connection of its own with short timeouts.

        A heartbeat does not wait until requests give a connection back, nor for an answer that
        does not come: a call ends within some 20 seconds, retry included
        (``tests/contract/dal/connection_loss_cases.py``).  For use by one thread.  It is
        disposed of together with this one.
        """
        if is_in_memory(self.engine.url):
            return _InMemoryCopy(self)
        limits = timeouts.HEARTBEAT
        made = Database(
            self._create_engine(limits, pool_size=1, max_overflow=0, pool_timeout=limits.connect),
            settings=self._settings_of_copies,
            cipher=self.cipher,
            retry_timeout=limits.lock,
        )
        self._heartbeat_databases.append(made)
        return made

    def _create_engine(self, limits: Timeouts, **pool_options: int) -> sa.Engine:
        """Another engine for the same database, whose timeouts the URL does not override."""
        url = self.engine.url
        url = url.difference_update_query(timeouts.connect_args(url, limits))
        return create_engine(url, self._settings, limits, **pool_options)

    def ping(self) -> None:
        """Check that the database answers.

        :raises glance_py.domain.errors.DatabaseUnavailable: it does not.
        """
        self.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())

    def dispose(self) -> None:
        """Close all pooled connections."""
        self._engine.get().dispose()
        self._replica.get().dispose()
        for database in self._heartbeat_databases:
            database.dispose()

    def _run_without_foreign_keys(self, work: Work[T]) -> T:
        """On SQLite a changed table is a copy, and dropping the original must not cascade."""
        with connect(self.engine) as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            try:
                return self._transactions.run(connection, work)
            finally:
                connection.exec_driver_sql("PRAGMA foreign_keys = ON")

    def _retry(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt`` until it neither collides with a transaction nor loses its connection.

        :raises glance_py.domain.errors.GlanceError: as :func:`errors.to_domain` translates it.
        """
        deadline = time.monotonic() + self._retry_timeout
        lost, backoff = 0, _MIN_BACKOFF
        while True:
            try:
                return attempt()
            except Exception as error:
                if errors.is_connection_lost(error) and lost < self._settings.max_reconnects:
                    wait = self._settings.reconnect_interval if lost else 0.0
                    lost += 1
                elif errors.is_contended(error) and time.monotonic() < deadline:
                    # Random, so that two transactions that collided do not collide again.
                    wait = random.uniform(0, backoff)
                    backoff = min(backoff * 2, _MAX_BACKOFF)
                else:
                    translated = errors.to_domain(error)
                    if translated is error:
                        raise
                    raise translated from error
            time.sleep(wait)


class _InMemoryCopy(Database):
    """A database of SQLite in memory, through the engine of ``original``.

    A further connection would open an empty database.
    """

    def __init__(self, original: Database) -> None:
        super().__init__(
            original.engine, settings=original._settings_of_copies, cipher=original.cipher
        )
        # One owner, so that a child process disposes of the pool once.
        self._engine = self._replica = original._engine

    def dispose(self) -> None:
        """Do nothing: ``original`` owns the connection."""


def _per_process(engine: sa.Engine) -> PerProcess[sa.Engine]:
    """``engine``; a child process forgets the connections of its parent without closing them."""
    return PerProcess(lambda: engine, lambda inherited: inherited.dispose(close=False))


def open_database(conf: cfg.ConfigOpts, limits: Timeouts = timeouts.REQUEST) -> Database:
    """The database that the group ``[database]`` names.  Does not connect.

    :param conf: the options of the service.
    :param limits: how long to wait, unless the URL says otherwise.
    :raises ValueError: ``connection`` is missing or cannot be parsed, or
        ``metadata_encryption_key`` is no key.
    """
    settings = DatabaseSettings.from_conf(conf)
    if settings.url is None:
        raise ValueError("The option connection in the group [database] is not set.")

    def make(url: str) -> sa.Engine:
        return create_engine(parse_url(url, settings.connection_parameters), settings, limits)

    key = settings.metadata_encryption_key
    return Database(
        make(settings.url),
        make(settings.replica_url) if settings.replica_url else None,
        settings=settings,
        cipher=UrlCipher(key) if key else None,
    )
