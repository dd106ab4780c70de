"""Optional indexes come and go while the schema stays what it is."""

import threading

import sqlalchemy as sa

from glance_py.db import indexes, migrations
from glance_py.db.database import Database
from glance_py.db.engine import create_engine
from glance_py.db.indexes import IndexState
from glance_py.domain import errors


def quiet(progress):
    """Who does not want to know how far a build is."""


class IndexCases:
    def setUp(self):
        super().setUp()
        self.all = indexes.for_dialect(self.database.dialect)
        self.addCleanup(self.drop_all)

    def drop_all(self):
        for index in self.all:
            indexes.drop(self.database, index, quiet)

    def add_all(self):
        for index in self.all:
            indexes.add(self.database, index, quiet)

    def states(self):
        return {found.state for found in indexes.inspect_indexes(self.database)}

    def test_they_come_and_go_any_number_of_times(self):
        self.assertEqual({IndexState.MISSING}, self.states())
        for _ in range(2):
            self.add_all()
            self.assertEqual({IndexState.PRESENT}, self.states())
        for _ in range(2):
            self.drop_all()
            self.assertEqual({IndexState.MISSING}, self.states())

    def test_names_are_free_in_the_schema(self):
        with self.database.engine.connect() as connection:
            inspector = sa.inspect(connection)
            taken = {
                each["name"]
                for table in inspector.get_table_names()
                for each in inspector.get_indexes(table)
            }
        self.assertEqual(set(), taken & {index.name for index in indexes.INDEXES})

    def test_migrations_do_not_mind_them(self):
        self.add_all()
        migrations.upgrade(self.database)
        self.assertIsNone(migrations.next_phase(self.database))
        # Phases again, as after a return to the release before.
        migrations.stamp(self.database, migrations.expand_head())
        migrations.migrate(self.database)
        migrations.upgrade(self.database, migrations.contract_head())
        self.assertIsNone(migrations.next_phase(self.database))
        self.assertEqual({IndexState.PRESENT}, self.states())

    def test_another_index_of_that_name_is_told_and_left(self):
        index = next(each for each in self.all if each.name == "images_name")
        self.execute(sa.text("CREATE INDEX images_name ON images (status)"))
        end = " ON images" if self.database.dialect == "mysql" else ""
        self.addCleanup(self.execute, sa.text(f"DROP INDEX images_name{end}"))
        indexes.add(self.database, index, quiet)
        indexes.drop(self.database, index, quiet)
        [found] = [each for each in indexes.inspect_indexes(self.database) if each.index == index]
        self.assertEqual(IndexState.FOREIGN, found.state)
        self.assertIn("(status)", found.definition)


class ServerIndexCases(IndexCases):
    """What only a server can do."""

    def test_one_at_a_time(self):
        other = Database(create_engine(self.url))
        self.addCleanup(other.dispose)
        with (
            other.engine.connect() as connection,
            indexes.locks.try_session_lock(connection, "indexes"),
        ):
            self.assertRaises(errors.Conflict, indexes.add, self.database, self.all[0], quiet)
            connection.invalidate()
        indexes.add(self.database, self.all[0], quiet)

    def test_a_build_waits_and_can_be_interrupted(self):
        """A transaction that is open keeps the build waiting; the operator does not wait."""
        index = next(each for each in self.all if each.table == "images")
        held, done = threading.Event(), threading.Event()

        def hold():
            with self.database.engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                connection.exec_driver_sql("SELECT count(*) FROM images").scalar()
                connection.exec_driver_sql("UPDATE images SET min_disk = 0")
                held.set()
                done.wait(60)
                connection.exec_driver_sql("ROLLBACK")

        holder = threading.Thread(target=hold)
        holder.start()
        self.addCleanup(holder.join)
        self.addCleanup(done.set)
        self.assertTrue(held.wait(60))

        def interrupt(progress):
            raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, indexes.add, self.database, index, interrupt)
        self.assertFalse(done.is_set())
        done.set()
        holder.join()
        self.assertLessEqual(self.states(), {IndexState.MISSING, IndexState.INVALID})
        indexes.add(self.database, index, quiet)
        [found] = [each for each in indexes.inspect_indexes(self.database) if each.index == index]
        self.assertEqual(IndexState.PRESENT, found.state)
