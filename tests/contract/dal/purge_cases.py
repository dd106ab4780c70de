"""What purging must remove and what it must leave."""

import datetime
import uuid

import sqlalchemy as sa

from glance_py.db import purge
from glance_py.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
    task_info,
    tasks,
)
from glance_py.domain import errors
from glance_py.domain.image import Image, Location
from tests.contract.dal.backends import caller


class PurgeCases:
    def deleted_image(self, days):
        image = self.repositories.images.create(
            caller("p1"),
            Image(str(uuid.uuid4()), owner="p1", tags=["a", "b"], properties={"k": "v"}),
        )
        self.repositories.images.delete(caller("p1"), image)
        when = self.database.now() - datetime.timedelta(days=days)
        for table in (images, image_tags, image_properties):
            key = table.c.id if table is images else table.c.image_id
            self.execute(table.update().where(key == image.id), {"deleted_at": when})
        return image

    def count(self, table):
        return self.execute(sa.select(sa.func.count()).select_from(table))[0][0]

    def test_only_old_rows_go_and_images_stay(self):
        for days in (100, 100, 10):
            self.deleted_image(days)
        self.assertEqual(6, purge.purge(self.database, 30, 100))
        self.assertEqual((3, 2, 1), tuple(map(self.count, (images, image_tags, image_properties))))

    def test_live_rows_stay(self):
        image = self.repositories.images.create(
            caller("p1"), Image(str(uuid.uuid4()), owner="p1", tags=["a"])
        )
        self.assertEqual(0, purge.purge(self.database, 0, -1))
        self.assertEqual(0, purge.purge_images(self.database, 0, -1))
        self.assertEqual(["a"], self.repositories.images.get(caller("p1"), image.id).tags)

    def test_the_limit_is_per_table(self):
        for _ in range(4):
            self.deleted_image(100)
        self.assertEqual(3 + 3, purge.purge(self.database, 30, 3))
        self.assertEqual(5 + 1, purge.purge(self.database, 30, -1))
        self.assertEqual(0, purge.purge(self.database, 30, 0))

    def test_images_go_after_what_belongs_to_them(self):
        image = self.deleted_image(200)
        self.assertRaises(errors.Conflict, purge.purge_images, self.database, 180, 100)
        purge.purge(self.database, 30, -1)
        self.assertEqual(1, purge.purge_images(self.database, 180, 100))
        self.assertEqual(0, self.count(images))
        self.repositories.images.create(caller("p1"), Image(image.id))

    def located_image(self, days, status="deleted"):
        image = self.repositories.images.create(
            caller("p1"),
            Image(
                str(uuid.uuid4()),
                owner="p1",
                status="active",
                tags=["a"],
                locations=[Location("file:///a"), Location("file:///b")],
            ),
        )
        self.repositories.images.delete(caller("p1"), image, status)
        when = self.database.now() - datetime.timedelta(days=days)
        for table in (images, image_tags, image_locations):
            key = table.c.id if table is images else table.c.image_id
            self.execute(table.update().where(key == image.id), {"deleted_at": when})
        return image

    def test_a_location_stays_until_its_bytes_are_gone(self):
        for status in ("deleted", "pending_delete"):
            image = self.located_image(200, status)
            self.assertEqual(1, purge.purge(self.database, 30, -1))  # the tag
            self.assertEqual(0, purge.purge_images(self.database, 30, -1))
            self.assertEqual(2, purge.count_pending_locations(self.database))
            self.assertEqual(2, len(self.repositories.pending.find(0)))
            self.repositories.pending.mark_deleted(image.locations[:1])
            self.assertEqual(1, purge.purge(self.database, 30, -1))
            self.assertEqual(0, purge.purge_images(self.database, 30, -1))
            self.repositories.pending.mark_deleted(image.locations)
            self.assertEqual(0, purge.count_pending_locations(self.database))
            self.assertEqual(1, purge.purge(self.database, 30, -1))
            self.assertEqual(1, purge.purge_images(self.database, 30, -1))

    def test_what_belongs_to_a_deleted_image_goes_whatever_it_says_of_itself(self):
        """Nodes of a Galera cluster could write it while another one deleted the image."""
        image, kept = (
            self.deleted_image(200),
            self.repositories.images.create(
                caller("p1"), Image(str(uuid.uuid4()), owner="p1", tags=["a"])
            ),
        )
        now, common = self.database.now(), {"image_id": image.id, "deleted": False}
        self.repositories.members.create(caller("p1"), kept.id, "p2")
        for table, row in (
            (image_members, {"member": "p2", "can_share": False, "status": "pending"}),
            (image_tags, {"value": "x"}),
            (image_properties, {"name": "x", "value": "y"}),
        ):
            self.execute(table.insert(), {**common, **row, "created_at": now, "updated_at": now})
        self.execute(
            image_locations.insert(),
            {
                **common,
                "value": "file:///x",
                "meta_data": "{}",
                "status": "active",
                "created_at": now,
                "updated_at": now,
            },
        )
        self.assertEqual(2, purge.purge(self.database, 30, 1) - 1)
        self.assertEqual(3, purge.purge(self.database, 30, -1))
        # Its bytes come first.
        self.assertEqual(0, purge.purge_images(self.database, 180, -1))
        [pending] = self.repositories.pending.find(0)
        self.assertEqual((image.id, "file:///x"), (pending.image_id, pending.location.url))
        self.repositories.pending.mark_deleted([pending.location])
        self.execute(image_locations.update(), {"deleted_at": datetime.datetime(2020, 1, 1)})
        self.assertEqual(1, purge.purge(self.database, 30, -1))
        self.assertEqual(1, purge.purge_images(self.database, 180, -1))
        self.assertEqual(["a"], self.repositories.images.get(caller("p1"), kept.id).tags)
        self.assertEqual(1, len(self.repositories.members.find(caller("p1"), kept.id)))

    def test_tasks_go_with_their_details(self):
        old = self.database.now() - datetime.timedelta(days=100)
        for number, deleted_at in enumerate((old, None)):
            self.execute(
                tasks.insert(),
                {
                    "id": str(number),
                    "type": "import",
                    "status": "success",
                    "owner": "p1",
                    "created_at": old,
                    "deleted_at": deleted_at,
                    "deleted": deleted_at is not None,
                },
            )
            self.execute(task_info.insert(), {"task_id": str(number), "input": "{}"})
        self.assertEqual(1, purge.purge(self.database, 30, 100))
        self.assertEqual((1, 1), (self.count(tasks), self.count(task_info)))

    def test_numbers_must_make_sense(self):
        for age, rows in ((-1, 1), (10**6, 1), (1, -2), (1, 2**31)):
            self.assertRaises(errors.Invalid, purge.purge, self.database, age, rows)
            self.assertRaises(errors.Invalid, purge.purge_images, self.database, age, rows)
