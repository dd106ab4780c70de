"""Databases derived from another one, settings, locks, and the transaction that writes share."""

import contextlib
import logging
import os
import tempfile
from unittest import mock

import sqlalchemy as sa
import testtools
from oslo_config import cfg
from oslo_db import exception as db_exc

from glance_py import data_access
from glance_py.db import locks, statement_timeout, timeouts
from glance_py.db.database import Database, open_database
from glance_py.db.engine import create_engine, driver_arguments
from glance_py.db.settings import DatabaseSettings
from glance_py.db.timeouts import Timeouts
from glance_py.domain import errors
from tests.unit.db.test_engine import options


class DatabaseCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.database = Database(create_engine(f"sqlite:///{directory.name}/x"))
        self.addCleanup(self.database.dispose)
        self.database.write(lambda c: c.exec_driver_sql("CREATE TABLE t (x INTEGER)"))

    @staticmethod
    def insert(connection):
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")

    @staticmethod
    def count(connection):
        return connection.exec_driver_sql("SELECT count(*) FROM t").scalar()


class TestChildProcess(DatabaseCase):
    def test_a_child_does_not_use_or_close_the_connections_of_its_parent(self):
        self.database.read(self.count)
        parent = self.database.engine.pool
        child = os.fork()
        if child == 0:
            is_new = self.database.engine.pool is not parent and parent.checkedin() == 1
            os._exit(0 if is_new and self.database.read(self.count) == 0 else 1)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        self.assertIs(parent, self.database.engine.pool)

    def test_hooks_of_the_interpreter_are_not_needed(self):
        """uWSGI forks in C and does not run them."""
        self.database.read(self.count)
        parent = self.database.engine.pool
        with mock.patch("os.getpid", return_value=os.getpid() + 1):
            self.assertIsNot(parent, self.database.engine.pool)
            self.assertEqual(1, parent.checkedin())


class TestHeartbeats(testtools.TestCase):
    def test_a_database_in_memory_is_shared(self):
        database = Database(create_engine("sqlite://"))
        self.addCleanup(database.dispose)
        database.write(lambda c: c.exec_driver_sql("CREATE TABLE t (x INTEGER)"))
        copy = database.for_heartbeats()
        self.assertIs(database.engine, copy.engine)
        copy.dispose()
        self.assertEqual(0, copy.read(DatabaseCase.count))

    def test_they_try_once_more_whatever_requests_do(self):
        settings = DatabaseSettings(max_reconnects=7, reconnect_interval=9)
        database = Database(create_engine("mysql+pymysql://root@localhost/x"), settings=settings)
        self.addCleanup(database.dispose)
        copy = database.for_heartbeats()
        self.assertEqual(1, copy._settings.max_reconnects)
        self.assertEqual(0, copy._settings.reconnect_interval)
        self.assertEqual(1, copy.engine.pool.size())
        self.assertEqual(timeouts.HEARTBEAT.lock, copy._retry_timeout)


class TestSharedTransaction(DatabaseCase):
    def both(self, work):
        """(rows seen inside, rows seen after) of ``work`` in one transaction."""
        seen = []

        def run():
            work()
            seen.append(self.database.read(self.count))

        with contextlib.suppress(errors.GlanceError):
            self.database.in_one_transaction(run, lambda connection, _: None)
        return seen, self.database.read(self.count)

    def test_writes_are_one_transaction_and_reads_see_them(self):
        def work():
            self.database.write(self.insert)
            self.database.write(self.insert, lock="name")

        self.assertEqual(([2], 2), self.both(work))

    def test_an_error_that_was_caught_rolls_everything_back(self):
        def fail(connection):
            raise errors.ImageNotFound("x")

        def work():
            self.database.write(self.insert)
            with contextlib.suppress(errors.ImageNotFound):
                self.database.write(fail)

        self.assertEqual(([0], 0), self.both(work))

    def test_an_error_before_any_write_may_be_caught(self):
        def fail(connection):
            raise errors.ImageNotFound("x")

        def work():
            with contextlib.suppress(errors.ImageNotFound):
                self.database.write(fail)
            self.database.write(self.insert)

        self.assertEqual(([1], 1), self.both(work))

    def test_a_collision_runs_the_whole_again(self):
        attempts = []

        def collide(connection):
            attempts.append(1)
            self.insert(connection)
            if len(attempts) < 3:
                raise db_exc.DBDeadlock()

        self.assertEqual(([1], 1), self.both(lambda: self.database.write(collide)))
        self.assertEqual(3, len(attempts))

    def test_an_unknown_error_passes(self):
        def fail(connection):
            raise ZeroDivisionError

        self.assertRaises(
            ZeroDivisionError,
            self.database.in_one_transaction,
            lambda: self.database.write(fail),
            lambda connection, _: None,
        )

    def test_without_a_write_there_is_no_transaction(self):
        finished = []
        self.database.in_one_transaction(
            lambda: self.database.read(self.count), lambda connection, _: finished.append(1)
        )
        self.assertEqual([], finished)


class TestSettings(testtools.TestCase):
    def test_defaults_are_those_of_the_options(self):
        self.assertEqual(DatabaseSettings(), DatabaseSettings.from_conf(options()))

    def test_reconnects_are_options_only_with_use_db_reconnect(self):
        read = DatabaseSettings.from_conf(options(db_max_retries=5, db_retry_interval=2))
        self.assertEqual((1, 0.0), (read.max_reconnects, read.reconnect_interval))
        read = DatabaseSettings.from_conf(
            options(db_max_retries=5, db_retry_interval=2, use_db_reconnect=True)
        )
        self.assertEqual((5, 2), (read.max_reconnects, read.reconnect_interval))

    def test_zero_is_a_value(self):
        read = DatabaseSettings.from_conf(options(max_overflow=0, pool_timeout=0))
        self.assertEqual((0, 0), (read.max_overflow, read.pool_timeout))

    def test_urls_and_the_key_are_not_shown(self):
        shown = repr(
            DatabaseSettings(url="a://u:s1@h", replica_url="s2", metadata_encryption_key="s3")
        )
        for secret in ("s1", "s2", "s3"):
            self.assertNotIn(secret, shown)

    def test_a_replica_and_a_cipher(self):
        conf = options(connection="sqlite://", slave_connection="sqlite://")
        conf.register_opt(cfg.StrOpt("metadata_encryption_key"))
        conf.set_override("metadata_encryption_key", "0123456789abcdef")
        database = open_database(conf)
        self.addCleanup(database.dispose)
        self.assertIsNot(
            database.engine, database.read(lambda connection: connection.engine, replica=True)
        )
        self.assertIsNotNone(database.cipher)

    def test_options_of_mysql_reach_the_session(self):
        url = sa.make_url("mysql+pymysql://root@localhost/x")
        found = driver_arguments(
            url, DatabaseSettings(mysql_sql_mode=None, mysql_wsrep_sync_wait=7)
        )
        self.assertNotIn("sql_mode", found)
        self.assertIn("SESSION wsrep_sync_wait = 7", found["init_command"])

    def test_connection_debug_sets_the_level_of_a_logger(self):
        logger = logging.getLogger("sqlalchemy.engine")
        self.addCleanup(logger.setLevel, logger.level)
        for debug, level in ((50, logging.INFO), (100, logging.DEBUG)):
            create_engine("sqlite://", DatabaseSettings(connection_debug=debug)).dispose()
            self.assertEqual(level, logger.level)

    def test_sqlite_need_not_be_synchronous(self):
        with tempfile.TemporaryDirectory() as directory:
            database = Database(
                create_engine(
                    f"sqlite:///{directory}/x", DatabaseSettings(sqlite_synchronous=False)
                )
            )
            self.addCleanup(database.dispose)
            mode = database.read(lambda c: c.exec_driver_sql("PRAGMA synchronous").scalar())
        self.assertEqual(0, mode)


class TestTimeouts(testtools.TestCase):
    def test_waits_for_locks_are_whole_seconds_within_the_time_of_retries(self):
        self.assertEqual(
            [1, 1, 4, 30, timeouts.REQUEST.lock],
            [timeouts.lock_wait(seconds) for seconds in (0, 1.9, 4, 100, None)],
        )

    def test_each_driver_has_its_own_names(self):
        limits = Timeouts(connect=3, response=None, lock=1)
        self.assertEqual({}, timeouts.connect_args(sa.make_url("sqlite://"), limits))
        mysql = timeouts.connect_args(sa.make_url("mysql+pymysql://h/x"), limits)
        self.assertEqual((3, 6 * 3600), (mysql["connect_timeout"], mysql["read_timeout"]))
        postgresql = timeouts.connect_args(sa.make_url("postgresql+psycopg2://h/x"), limits)
        self.assertEqual(3000, postgresql["tcp_user_timeout"])

    def test_a_silent_server_is_given_up(self):
        def silent():
            while True:
                yield "wanted"

        limited = timeouts._limited(silent(), 5, RuntimeError)
        clock = iter((0, 4, 6))
        with mock.patch("time.monotonic", lambda: next(clock)):
            self.assertEqual("wanted", next(limited))
            self.assertEqual("wanted", limited.send(False))
            self.assertRaises(RuntimeError, limited.send, False)

    def test_a_server_that_answers_is_not(self):
        def answer():
            self.assertEqual("ready", (yield "wanted"))
            return "result"

        limited = timeouts._limited(answer(), 5, RuntimeError)
        next(limited)
        end = self.assertRaises(StopIteration, limited.send, "ready")
        self.assertEqual("result", end.value)

    def test_messages_about_the_time_of_a_statement(self):
        for text, expected in (
            ("canceling statement due to statement timeout", True),
            ("Query execution was interrupted (max_statement_time exceeded)", True),
            ("Query execution was interrupted", False),
        ):
            self.assertIs(expected, statement_timeout.is_timeout(Exception(text)))


class TestLocks(DatabaseCase):
    def test_sqlite_needs_none(self):
        with (
            self.database.engine.connect() as connection,
            locks.try_session_lock(connection, "x"),
            locks.try_session_lock(connection, "x"),
        ):
            pass

    def test_keys_of_postgresql_are_64_bits_and_differ(self):
        keys = {locks._key(name) for name in ("a", "b", "c")}
        self.assertEqual(3, len(keys))
        for key in keys:
            self.assertTrue(-(2**63) <= key < 2**63)


class TestDataAccess(testtools.TestCase):
    def conf(self, data_api):
        conf = options(connection="sqlite://")
        conf.register_opt(cfg.StrOpt("data_api"))
        conf.set_override("data_api", data_api)
        return conf

    def test_a_database_is_opened_here(self):
        conf = self.conf("glance.db.sqlalchemy.api")
        self.assertFalse(data_access.is_remote(conf))
        self.assertEqual("SqlImages", type(data_access.open_repositories(conf).images).__name__)
