"""Connections and transactions: what is retried, what is bounded, what is said."""

import os
import tempfile

import sqlalchemy as sa
import testtools
from oslo_config import cfg
from oslo_db import exception as db_exc
from oslo_db import options as oslo_db_options

from glance_py.db import engine
from glance_py.db import errors as db_errors
from glance_py.db.database import Database, open_database
from glance_py.db.settings import DatabaseSettings
from glance_py.domain import errors


def options(**values):
    """A configuration with these options in [database]."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    conf.register_opts(oslo_db_options.database_opts, group="database")
    for name, value in values.items():
        conf.set_override(name, value, group="database")
    return conf


class EngineCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.url = f"sqlite:///{directory.name}/test.sqlite"
        self.database = Database(engine.create_engine(self.url))
        self.addCleanup(self.database.dispose)
        self.database.write(lambda c: c.exec_driver_sql("CREATE TABLE t (x INTEGER)"))

    def insert(self, connection):
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")

    def count(self):
        return self.database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM t").scalar())


class TestWrite(EngineCase):
    def test_a_contended_write_runs_again_from_its_start(self):
        attempts = []

        def work(connection):
            attempts.append(1)
            self.insert(connection)
            if len(attempts) < 4:
                raise db_exc.DBDeadlock()
            return "done"

        self.assertEqual("done", self.database.write(work))
        self.assertEqual((4, 1), (len(attempts), self.count()))

    def test_contention_without_end_is_given_up(self):
        database = Database(self.database.engine, retry_timeout=0)

        def work(connection):
            raise db_exc.DBDeadlock()

        # Without a limit this would never return.
        self.assertRaises(errors.DatabaseUnavailable, database.write, work)

    def test_a_commit_that_may_have_happened_is_not_repeated(self):
        attempts = []

        @sa.event.listens_for(self.database.engine, "before_cursor_execute")
        def lose(connection, cursor, statement, parameters, context, many):
            if statement == "COMMIT":
                raise db_exc.DBConnectionError()

        self.assertRaises(
            errors.DatabaseUnavailable, self.database.write, lambda connection: attempts.append(1)
        )
        self.assertEqual([1], attempts)

    def test_a_connection_lost_before_is_replaced_once(self):
        attempts = []

        def work(connection):
            attempts.append(1)
            raise db_exc.DBConnectionError()

        self.assertRaises(errors.DatabaseUnavailable, self.database.write, work)
        self.assertEqual(2, len(attempts))

    def test_an_error_of_the_domain_passes_and_nothing_is_written(self):
        def work(connection):
            self.insert(connection)
            raise errors.ImageNotFound("x")

        self.assertRaises(errors.ImageNotFound, self.database.write, work)
        self.assertEqual(0, self.count())

    def test_a_reader_does_not_wait_for_a_writer(self):
        def work(connection):
            self.insert(connection)
            return self.count()

        self.assertEqual(0, self.database.write(work))
        self.assertEqual(1, self.count())


class TestRead(EngineCase):
    def test_a_read_is_one_statement(self):
        statements = []
        sa.event.listen(
            self.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
        )
        self.count()
        self.assertEqual(["SELECT count(*) FROM t"], statements)

    def test_lists_are_read_from_the_replica_and_nothing_else(self):
        other = engine.create_engine("sqlite://")
        database = Database(self.database.engine, other)

        def where(connection):
            return connection.engine

        self.assertIs(other, database.read(where, replica=True))
        self.assertIs(self.database.engine, database.read(where))
        self.assertIs(self.database.engine, database.write(where))

    def test_a_child_process_makes_its_own_connections(self):
        self.count()
        child = os.fork()
        if child == 0:
            os._exit(self.database.engine.pool.checkedin())
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        self.assertEqual(1, self.database.engine.pool.checkedin())


class TestErrors(testtools.TestCase):
    """What servers say, as oslo.db passes it on."""

    def failing(self, statement, number, text, dialect="mysql"):
        """A database where one statement fails as a MySQL server lets it fail."""
        database = Database(engine.create_engine("sqlite://"))
        self.addCleanup(database.dispose)
        database._transactions.dialect = dialect
        driver = type("OperationalError", (Exception,), {})

        @sa.event.listens_for(database.engine, "before_cursor_execute")
        def fail(connection, cursor, asked, parameters, context, many):
            if asked == statement:
                raise db_exc.DBError(sa.exc.OperationalError(asked, {}, driver(number, text)))

        return database

    def test_a_node_without_quorum_is_away(self):
        for number, text in (
            (1180, 'Got error 6 "No such device or address" during COMMIT'),
            (
                1105,
                "Error while appending streaming replication fragment(provider status: "
                "Not connected to Primary Component)",
            ),
        ):
            database = self.failing("SELECT 1", number, text)
            self.assertRaises(errors.DatabaseUnavailable, database.ping)
            database = self.failing("COMMIT", number, text)
            self.assertRaises(errors.OutcomeUnknown, database.write, lambda connection: None)

    def test_what_mysql_says_after_it_committed_may_be_nothing(self):
        database = self.failing("COMMIT", 1317, "Query execution was interrupted")
        self.assertRaises(errors.OutcomeUnknown, database.write, lambda connection: None)

    def test_what_surely_rolled_back_is_not_unknown(self):
        for error, expected in (
            (db_exc.DBDuplicateEntry(), errors.Duplicate),
            (db_exc.DBDeadlock(), errors.DatabaseUnavailable),
            (db_exc.DBDataError(), errors.Invalid),
        ):
            self.assertFalse(db_errors.is_outcome_unknown(error, "mysql"))
            self.assertIs(expected, type(db_errors.to_domain(error)))
        refused = db_exc.DBError(sa.exc.OperationalError("COMMIT", {}, Exception("no")))
        self.assertFalse(db_errors.is_outcome_unknown(refused, "postgresql"))
        self.assertTrue(db_errors.is_outcome_unknown(refused, "mysql"))


class TestConnect(testtools.TestCase):
    def test_the_connection_must_be_named(self):
        error = self.assertRaises(ValueError, open_database, options())
        self.assertIn("connection", str(error))

    def test_a_wrong_url_is_refused_without_showing_it(self):
        error = self.assertRaises(
            ValueError, open_database, options(connection="mysql//root:secret@host")
        )
        self.assertNotIn("secret", str(error))

    def test_an_unreachable_server_is_a_clear_error(self):
        database = open_database(
            options(connection="postgresql+psycopg2://root:secret@127.0.0.1:1/none")
        )
        for operation in (database.ping, lambda: database.write(lambda c: None)):
            error = self.assertRaises(errors.DatabaseUnavailable, operation)
            self.assertNotIn("secret", str(error))

    def test_options_reach_the_pool(self):
        database = open_database(
            options(
                connection="mysql+pymysql://root@localhost/x",
                max_pool_size=7,
                max_overflow=3,
                pool_timeout=2,
                use_db_reconnect=True,
                db_max_retries=4,
                db_retry_interval=3,
            )
        )
        pool = database.engine.pool
        self.assertEqual((7, 3, 2), (pool.size(), pool._max_overflow, pool._timeout))
        self.assertEqual(
            (4, 3), (database._settings.max_reconnects, database._settings.reconnect_interval)
        )

    def test_no_connections_beyond_the_pool_are_a_choice(self):
        pool = open_database(
            options(connection="mysql+pymysql://root@localhost/x", max_overflow=0)
        ).engine.pool
        self.assertEqual(0, pool._max_overflow)

    def test_the_url_may_decide_for_itself(self):
        url = sa.make_url("mysql+pymysql://root@localhost/x?charset=utf8&read_timeout=3")
        arguments = engine.driver_arguments(url, DatabaseSettings.from_conf(options()))
        self.assertNotIn("charset", arguments)
        self.assertNotIn("read_timeout", arguments)
        self.assertEqual("TRADITIONAL", arguments["sql_mode"])

    def test_a_url_with_half_of_unicode_gets_all_of_it(self):
        made = [
            engine.create_engine(f"mysql+pymysql://root@localhost/x{query}")
            for query in ("?charset=utf8", "?charset=utf8mb3", "", "?charset=latin1")
        ]
        self.assertEqual(
            [None, None, None, "latin1"], [each.url.query.get("charset") for each in made]
        )

    def test_psycopg_prepares_no_statements(self):
        """A pooler gives the next statement to another connection, which has not prepared it."""
        url = sa.make_url("postgresql+psycopg://root@localhost/x")
        arguments = engine.driver_arguments(url, DatabaseSettings.from_conf(options()))
        self.assertIn("prepare_threshold", arguments)
        self.assertIsNone(arguments["prepare_threshold"])
        self.assertNotIn(
            "prepare_threshold",
            engine.driver_arguments(
                sa.make_url("postgresql+psycopg2://root@localhost/x"),
                DatabaseSettings.from_conf(options()),
            ),
        )

    def test_connection_parameters_are_added(self):
        database = open_database(
            options(connection="mysql+pymysql://root@localhost/x", connection_parameters="a=b")
        )
        self.assertEqual({"a": "b"}, dict(database.engine.url.query))

    def test_sqlite_keeps_foreign_keys_true_and_readers_free(self):
        with tempfile.TemporaryDirectory() as directory:
            database = open_database(options(connection=f"sqlite:///{directory}/x"))
            read = [
                database.read(lambda c, name=name: c.exec_driver_sql(f"PRAGMA {name}").scalar())
                for name in ("foreign_keys", "journal_mode", "busy_timeout")
            ]
            database.dispose()
        self.assertEqual([1, "wal", 20000], read)
