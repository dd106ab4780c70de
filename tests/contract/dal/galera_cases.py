"""What belongs to an image or a namespace is written together with a change that Galera certifies.

A node compares transactions by the rows that they really changed.  Whether a
row was changed is counted by any MariaDB, so no cluster is needed here.
"""

import uuid

import sqlalchemy as sa

from glance_py.db import engine, galera, migrations
from glance_py.db.database import Database
from glance_py.db.repositories import sql_repositories
from glance_py.db.tables import images, metadef_namespaces
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.metadef import Namespace, Tag
from tests.contract.dal.backends import caller

CTX = caller("p1")


class GaleraCases:
    def setUp(self):
        super().setUp()
        made = engine.create_engine(self.url, pool_size=1, max_overflow=0)
        self.node = Database(made)
        self.addCleanup(self.node.dispose)

        @sa.event.listens_for(made, "connect")
        def pretend(connection, record):
            self.assertFalse(record.info["galera"])
            record.info["galera"] = True

        # Everything happens in one second.
        now = self.node.now()
        self.patch(self.node, "now", lambda: now)
        self.through = sql_repositories(self.node)

    def changed(self, work):
        """How many rows ``work`` changed that were there before."""

        def count():
            return self.node.read(
                lambda connection: int(
                    connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_update'").one()[1]
                )
            )

        before = count()
        work()
        return count() - before

    def test_what_is_added_to_an_image_changes_its_row(self):
        image = self.through.images.create(CTX, Image(str(uuid.uuid4()), owner="p1"))
        update = self.through.images.update
        for change in (
            ImageChange(add_tags=("a",)),
            ImageChange(tags=("a", "b")),
            ImageChange(set_properties={"k": "v"}),
            ImageChange(add_locations=(Location("file:///a"),)),
        ):
            self.assertGreaterEqual(self.changed(lambda c=change: update(CTX, image, c)), 2)
        self.assertGreaterEqual(
            self.changed(lambda: self.through.members.create(CTX, image.id, "p2")), 2
        )
        [(created, updated)] = self.execute(
            sa.select(images.c.created_at, images.c.updated_at).where(images.c.id == image.id)
        )
        self.assertEqual((image.created_at, image.updated_at), (created, updated))

    def test_what_is_added_to_a_namespace_changes_its_row(self):
        space = self.through.namespaces.create(CTX, Namespace(f"n-{uuid.uuid4()}", "p1"))
        create_all = self.through.definitions.create_all
        for append in (False, True):
            self.assertGreaterEqual(
                self.changed(
                    lambda a=append: create_all(CTX, space, Tag, [Tag(f"t{a}")], append=a)
                ),
                2,
            )
        [(created,)] = self.execute(
            sa.select(metadef_namespaces.c.created_at).where(metadef_namespaces.c.id == space.id)
        )
        self.assertEqual(space.created_at, created)

    def test_a_schema_that_another_node_makes_is_not_to_be_marked(self):
        with self.node.engine.connect() as connection:
            connection.exec_driver_sql("DELETE FROM alembic_version")
        self.addCleanup(migrations.stamp, self.database, "heads")
        self.patch(self.node, "with_long_timeouts", lambda: self.node)
        error = self.assertRaises(migrations.MigrationError, migrations.upgrade, self.node)
        self.assertIn("wait until it has ended", str(error))

    def test_two_that_change_the_same_tables_are_told(self):
        def meanwhile(connection):
            connection.exec_driver_sql("CREATE TABLE images (id INTEGER)")

        self.patch(
            migrations.command,
            "upgrade",
            lambda config, revision: meanwhile(config.attributes["connection"]),
        )
        error = self.assertRaises(migrations.MigrationError, migrations.upgrade, self.database)
        self.assertIn("Another process changes the tables", str(error))

    def test_other_servers_are_spared(self):
        with self.database.engine.connect() as connection:
            self.assertFalse(connection.info["galera"])
            statements = []
            sa.event.listen(
                connection, "before_cursor_execute", lambda *args: statements.append(args[2])
            )
            galera.certify(connection, images, "x")
            self.assertEqual([], statements)
