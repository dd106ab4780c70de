"""The schema that migrations make is the one that the code expects."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from glance_py.db import migrations
from glance_py.db.tables import metadata


class SchemaCases:
    def test_migrations_and_tables_say_the_same(self):
        with self.database.engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": False}
            )
            self.assertEqual([], compare_metadata(context, metadata))

    def test_a_new_database_is_at_the_head_of_the_chain(self):
        self.assertEqual(migrations.newest_revisions(), migrations.current_revisions(self.database))
        self.assertIsNone(migrations.next_phase(self.database))

    def test_upgrading_again_is_harmless(self):
        migrations.upgrade(self.database)
        self.assertEqual(migrations.newest_revisions(), migrations.current_revisions(self.database))

    def test_phases_follow_each_other(self):
        migrations.stamp(self.database, migrations.expand_head())
        self.assertEqual("contract", migrations.next_phase(self.database))
        migrations.upgrade(self.database, migrations.contract_head())
        self.assertIsNone(migrations.next_phase(self.database))

    def test_a_revision_from_elsewhere_is_a_clear_error(self):
        with self.database.engine.connect() as connection:
            connection.exec_driver_sql("DELETE FROM alembic_version")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('zz_contract01')")
        self.addCleanup(migrations.stamp, self.database, "heads")
        error = self.assertRaises(migrations.MigrationError, migrations.upgrade, self.database)
        self.assertIn("zz_contract01", str(error))
        self.assertRaises(migrations.MigrationError, migrations.next_phase, self.database)

    def test_an_unknown_revision_is_a_clear_error(self):
        self.assertRaises(migrations.MigrationError, migrations.stamp, self.database, "nonsense")
