"""Databases of older releases reach the newest schema, whole.

What a revision added is taken away from a database of today, which leaves one as
that release had it; then it goes the way back.
"""

import contextlib
import datetime
import pathlib
import tempfile
from unittest import mock

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from glance_py.db import migrations, schema_check, tables
from glance_py.db.migrations import schema_2024_1 as snapshot
from glance_py.db.tables import (
    image_locations,
    image_members,
    image_properties,
    images,
    metadata,
    tasks,
)
from glance_py.domain import errors

THEN = datetime.datetime(2016, 1, 2, 3, 4, 5)
IDS = ("public", "with-member", "alone")
OLD_METADATA, NEW_METADATA = '{"backend": "fast", "x": "é"}', {"store": "fast", "x": "é"}


def _before_2024_1(op):
    op.drop_table("cached_images")
    op.drop_table("node_reference")


def _before_wallaby(op):
    op.drop_index("ix_tasks_image_id", "tasks")
    for name in ("image_id", "request_id", "user_id"):
        op.drop_column("tasks", name)


def _before_rocky(op):
    op.drop_index("os_hidden_image_idx", "images")
    op.drop_index("os_hash_value_image_idx", "images")
    for name in ("os_hidden", "os_hash_algo", "os_hash_value"):
        op.drop_column("images", name)


def _before_ocata(op):
    op.add_column(
        "images", sa.Column("is_public", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute("UPDATE images SET is_public = (visibility = 'public')")
    op.drop_index("visibility_image_idx", "images")
    op.drop_column("images", "visibility")
    sa.Enum(name="image_visibility").drop(op.get_bind(), checkfirst=True)
    op.create_index("ix_images_is_public", "images", ["is_public"])
    op.create_table("artifacts", sa.Column("id", sa.String(36), primary_key=True))


#: What to take away to get before each of these, the youngest first.
STEPS = (
    ("2023_1_contract01", _before_2024_1),
    ("ussuri_contract01", _before_wallaby),
    ("queens_contract01", _before_rocky),
    ("mitaka02", _before_ocata),
)

#: The phases of a release after the newest one.
FURTHER = {
    "further_expand01": """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "further_expand01", "{expand_head}"
def upgrade():
    op.add_column("images", sa.Column("further", sa.String(10)))
""",
    "further_contract01": """
revision, down_revision = "further_contract01", "{contract_head}"
depends_on = "further_expand01"
def upgrade():
    pass
""",
}


@contextlib.contextmanager
def further_release(*names):
    """The chain with these revisions of FURTHER, which add the column ``further`` to images."""
    make = migrations._config
    heads = {
        "expand_head": migrations.expand_head(),
        "contract_head": migrations.contract_head(),
    }
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            pathlib.Path(directory, f"{name}.py").write_text(FURTHER[name].format(**heads))

        def config(connection):
            made = make(connection)
            made.set_main_option("path_separator", "os")
            own = pathlib.Path(made.get_main_option("script_location"), "versions")
            made.set_main_option("version_locations", f"{own}:{directory}")
            return made

        with mock.patch.object(migrations, "_config", config):
            migrations._scripts.cache_clear()
            try:
                yield
            finally:
                migrations._scripts.cache_clear()


def describe(connection):
    """The tables of the snapshot in a database, column by column and index by index."""
    inspector = sa.inspect(connection)
    return {table: _describe_table(inspector, table) for table in snapshot.metadata.tables}


def _describe_table(inspector, table):
    dialect = inspector.bind.dialect
    return {
        "columns": {
            column["name"]: (
                # MySQL tells BOOLEAN and the collation in no other way.
                column["type"].compile(dialect),
                column["nullable"],
                column["default"],
            )
            for column in inspector.get_columns(table)
        },
        "primary key": inspector.get_pk_constraint(table)["constrained_columns"],
        "indexes": {
            index["name"]: (index["column_names"], bool(index["unique"]))
            for index in inspector.get_indexes(table)
        },
        "unique": {
            constraint["name"]: constraint["column_names"]
            for constraint in inspector.get_unique_constraints(table)
        },
        "foreign keys": sorted(
            (key["constrained_columns"], key["referred_table"], key["referred_columns"])
            for key in inspector.get_foreign_keys(table)
        ),
    }


class UpgradeCases:
    # Tables come and go here.
    starts_empty = False

    def setUp(self):
        super().setUp()
        self.addCleanup(self.start_over)
        self.database.write(self.fill)

    def start_over(self):
        self.database.write(lambda connection: metadata.drop_all(connection))
        migrations.upgrade(self.database)

    @staticmethod
    def fill(connection):
        audit = {"created_at": THEN, "deleted": False}
        for image_id in IDS:
            connection.execute(
                images.insert().values(
                    id=image_id,
                    name=f"näme of {image_id}",
                    status="active",
                    size=5,
                    owner="p",
                    visibility="public" if image_id == "public" else "private",
                    min_disk=0,
                    min_ram=0,
                    **audit,
                )
            )
            connection.execute(
                image_locations.insert().values(
                    image_id=image_id,
                    value=f"file:///x/{image_id}",
                    meta_data=OLD_METADATA,
                    **audit,
                )
            )
            connection.execute(
                image_properties.insert().values(image_id=image_id, name="k", value="v", **audit)
            )
        connection.execute(
            image_members.insert().values(
                image_id="with-member", member="m", can_share=False, **audit
            )
        )
        connection.execute(
            tasks.insert().values(id="t", type="import", status="success", owner="p", **audit)
        )

    def grow_old(self, mark):
        """Make the database one of the release whose last revision is ``mark``."""

        def work(connection):
            op = Operations(MigrationContext.configure(connection))
            for name, take_away in STEPS:
                take_away(op)
                if name == mark:
                    return

        self.database.write(work)
        migrations.stamp(self.database, mark)

    def check_newest(self, mark):
        self.assertEqual(migrations.newest_revisions(), migrations.current_revisions(self.database))
        with self.database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            self.assertEqual([], compare_metadata(context, metadata))
            has_old_tables = sa.inspect(connection).has_table("artifacts")
        self.assertFalse(has_old_tables)
        self.check_data(mark)

    def check_data(self, mark):
        ctx = _Admin()
        for image_id in IDS:
            image = self.repositories.images.get(ctx, image_id)
            self.assertEqual(
                (f"näme of {image_id}", 5, {"k": "v"}, THEN, False),
                (image.name, image.size, image.properties, image.created_at, image.os_hidden),
            )
            moved = mark in ("queens_contract01", "mitaka02")
            self.assertEqual("fast", image.locations[0].metadata["store" if moved else "backend"])
        if mark == "mitaka02":
            self.assertEqual(
                ["public", "shared", "private"],
                [self.repositories.images.get(ctx, image_id).visibility for image_id in IDS],
            )

    def test_all_at_once(self):
        for mark, _step in STEPS:
            self.grow_old(mark)
            self.assertEqual("expand", migrations.next_phase(self.database))
            migrations.upgrade(self.database)
            self.check_newest(mark)
            self.start_over()
            self.database.write(self.fill)

    def test_what_an_older_schema_lacks(self):
        """It is named; requests that need it get an error that says so, without SQL."""
        schema_check.SchemaCheck(self.database).check()
        for (mark, _step), lacking in zip(
            STEPS,
            (
                "table cached_images",
                "column tasks.image_id",
                "column images.os_hidden",
                "column images.visibility",
            ),
            strict=True,
        ):
            self.grow_old(mark)
            error = self.assertRaises(
                errors.DatabaseNotReady, schema_check.SchemaCheck(self.database).check
            )
            for words in (lacking, mark, "glance-manage db sync"):
                self.assertIn(words, str(error))
            if mark in ("queens_contract01", "mitaka02"):
                with self.assertLogs("glance_py.db.errors", "ERROR") as logs:
                    error = self.assertRaises(
                        errors.DatabaseNotReady, self.repositories.images.get, _Admin(), IDS[0]
                    )
                self.assertNotIn("os_hidden", str(error))
                self.assertIn("glance-manage db sync", logs.output[0])
            self.start_over()
            self.database.write(self.fill)

    def test_a_database_without_tables(self):
        self.database.write(
            lambda connection: (
                metadata.drop_all(connection),
                connection.exec_driver_sql("DROP TABLE alembic_version"),
            )
        )
        error = self.assertRaises(
            errors.DatabaseNotReady, schema_check.SchemaCheck(self.database).check
        )
        self.assertIn("without a revision", str(error))
        for table in metadata.tables:
            self.assertIn(f"table {table}", str(error))
        with self.assertLogs("glance_py.db.errors", "ERROR"):
            self.assertRaises(
                errors.DatabaseNotReady, self.repositories.images.get, _Admin(), IDS[0]
            )

    def test_in_phases(self):
        for mark, _step in STEPS:
            self.grow_old(mark)
            phases = []
            while phase := migrations.next_phase(self.database):
                phases.append(phase)
                {
                    "expand": lambda: migrations.upgrade(self.database, migrations.expand_head()),
                    "migrate": lambda: migrations.migrate(self.database),
                    "contract": lambda: migrations.upgrade(
                        self.database, migrations.contract_head()
                    ),
                }[phase]()
            needs_data = mark in ("queens_contract01", "mitaka02")
            self.assertEqual(["expand", *(["migrate"] if needs_data else []), "contract"], phases)
            self.check_newest(mark)
            self.start_over()
            self.database.write(self.fill)

    def test_an_interrupted_step_is_done_again(self):
        """MySQL keeps what a step did before the power went."""
        self.grow_old("ussuri_contract01")
        self.database.write(
            lambda connection: connection.exec_driver_sql(
                "ALTER TABLE tasks ADD COLUMN request_id VARCHAR(64)"
            )
        )
        migrations.upgrade(self.database)
        self.check_newest("ussuri_contract01")

    def test_marks_of_early_releases(self):
        self.grow_old("queens_contract01")
        self.execute(sa.text("UPDATE alembic_version SET version_num = 'pike01'"))
        self.assertEqual("expand", migrations.next_phase(self.database))
        migrations.upgrade(self.database)
        self.check_newest("queens_contract01")

    def test_tables_without_a_mark_are_a_clear_error(self):
        self.execute(sa.text("DELETE FROM alembic_version"))
        error = self.assertRaises(migrations.MigrationError, migrations.upgrade, self.database)
        self.assertIn("version_control", str(error))

    # --- A release after the snapshot that an empty database begins with ------------------------

    def empty(self):
        self.database.write(lambda connection: metadata.drop_all(connection))
        self.database.write(
            lambda connection: connection.exec_driver_sql("DROP TABLE alembic_version") and None
        )

    def in_phases(self):
        while phase := migrations.next_phase(self.database):
            yield phase
            {
                "expand": lambda: migrations.upgrade(self.database, migrations.expand_head()),
                "migrate": lambda: migrations.migrate(self.database),
                "contract": lambda: migrations.upgrade(self.database, migrations.contract_head()),
            }[phase]()

    def check_further(self):
        self.assertEqual(migrations.newest_revisions(), migrations.current_revisions(self.database))
        self.assertIsNone(migrations.next_phase(self.database))
        self.assertIn("further", self.columns("images"))

    def columns(self, table):
        return {
            column["name"]
            for column in self.database.read(
                lambda connection: sa.inspect(connection).get_columns(table)
            )
        }

    def further_release(self, *names):
        self.addCleanup(migrations.stamp, self.database, "heads")
        meanwhile = contextlib.ExitStack()
        self.addCleanup(meanwhile.close)
        meanwhile.enter_context(further_release(*(names or FURTHER)))

    def test_a_further_release_reaches_an_empty_database(self):
        self.empty()
        self.further_release()
        migrations.upgrade(self.database)
        self.check_further()

    def test_a_further_release_reaches_an_empty_database_in_phases(self):
        self.empty()
        self.further_release()
        self.assertEqual(["expand", "contract"], list(self.in_phases()))
        self.check_further()

    def test_a_further_release_reaches_databases_of_today(self):
        self.further_release()
        self.assertEqual(["expand", "contract"], list(self.in_phases()))
        self.check_further()

    def test_the_heads_of_a_further_release_are_those_of_its_scripts(self):
        self.further_release()
        self.assertEqual("further_expand01", migrations.expand_head())
        self.assertEqual("further_contract01", migrations.contract_head())
        self.assertEqual(("further_contract01",), migrations.newest_revisions())

    def test_an_expansion_alone_is_a_release(self):
        """One file in ``versions`` suffices for a new column."""
        contracted = migrations.contract_head()
        for make_database in (self.empty, self.start_over):
            make_database()
            with further_release("further_expand01"):
                self.assertEqual("expand", migrations.next_phase(self.database))
                migrations.upgrade(self.database)
                self.check_further()
                self.assertEqual(
                    (contracted, "further_expand01"), migrations.current_revisions(self.database)
                )
            self.empty()
            migrations.upgrade(self.database)

    # --- The snapshot ----------------------------------------------------------------------------

    def test_the_snapshot_is_the_schema_that_the_chain_makes(self):
        self.empty()
        migrations.upgrade(self.database, snapshot.CONTRACTED)
        expected = self.database.read(describe)
        self.grow_old("mitaka02")
        migrations.upgrade(self.database, snapshot.CONTRACTED)
        self.assertEqual(expected, self.database.read(describe))
        self.assertEqual((snapshot.CONTRACTED,), migrations.current_revisions(self.database))

    # --- Tables of our own -----------------------------------------------------------------------

    def own_table(self):
        """Meanwhile there is a table of our own, with an index."""
        table = sa.Table(
            "own",
            sa.MetaData(),
            sa.Column("id", sa.String(36), primary_key=True),
            sa.Column("at", sa.DateTime),
            sa.Index("own_at", "at"),
            **tables.OWN_TABLE_OPTIONS,
        )
        patch = mock.patch.object(tables, "OWN_TABLES", [table])
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(
            self.database.write, lambda connection: table.drop(connection, checkfirst=True)
        )
        return table

    def check_own_table(self, table):
        self.assertIsNone(migrations.next_phase(self.database))
        self.assertEqual({"id", "at"}, self.columns("own"))
        indexes = self.database.read(lambda connection: sa.inspect(connection).get_indexes("own"))
        self.assertEqual(["own_at"], [index["name"] for index in indexes])
        # What the original knows, so that it takes the database back.
        self.assertEqual(migrations.newest_revisions(), migrations.current_revisions(self.database))
        self.execute(table.insert().values(id="x"))
        migrations.upgrade(self.database)
        self.assertEqual(1, len(self.execute(table.select())))

    def test_an_empty_database_gets_tables_of_our_own(self):
        self.empty()
        table = self.own_table()
        migrations.upgrade(self.database)
        self.check_own_table(table)

    def test_a_database_of_an_old_release_gets_tables_of_our_own_first(self):
        """Expansion is when processes of the new release may be started."""
        self.grow_old("ussuri_contract01")
        table = self.own_table()
        phases = self.in_phases()
        self.assertEqual(["expand", "contract"], [next(phases), next(phases)])
        self.assertEqual({"id", "at"}, self.columns("own"))
        self.assertEqual([], list(phases))
        self.check_own_table(table)

    def test_a_database_of_the_newest_revision_gets_tables_of_our_own(self):
        """Such as the original leaves it."""
        table = self.own_table()
        self.assertEqual(["expand"], list(self.in_phases()))
        self.check_own_table(table)

    def test_tables_of_our_own_stand_alone(self):
        """The original, which does not know them, has to go on removing rows of its own."""
        for table in tables.OWN_TABLES:
            self.assertEqual(set(), table.foreign_keys, table.name)
            self.assertIs(metadata, table.metadata)


class _Admin:
    is_admin, project_id = True, None
