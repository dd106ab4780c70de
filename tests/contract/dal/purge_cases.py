"""What purging must remove and what it must leave."""

import datetime
import uuid

import sqlalchemy as sa

from glance_py.db import purge
from glance_py.db.tables import image_properties, image_tags, images, task_info, tasks
from glance_py.domain import errors
from glance_py.domain.image import Image
from tests.contract.dal.backends import caller


class PurgeCases:

    def deleted_image(self, days):
        image = self.records.images.create(caller("p1"), Image(
            str(uuid.uuid4()), owner="p1", tags=["a", "b"], properties={"k": "v"}))
        self.records.images.delete(caller("p1"), image)
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
        image = self.records.images.create(caller("p1"), Image(
            str(uuid.uuid4()), owner="p1", tags=["a"]))
        self.assertEqual(0, purge.purge(self.database, 0, -1))
        self.assertEqual(0, purge.purge_images(self.database, 0, -1))
        self.assertEqual(["a"], self.records.images.get(caller("p1"), image.id).tags)

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
        self.records.images.create(caller("p1"), Image(image.id))

    def test_tasks_go_with_their_details(self):
        old = self.database.now() - datetime.timedelta(days=100)
        for number, deleted_at in enumerate((old, None)):
            self.execute(tasks.insert(), {
                "id": str(number), "type": "import", "status": "success", "owner": "p1",
                "created_at": old, "deleted_at": deleted_at, "deleted": deleted_at is not None})
            self.execute(task_info.insert(), {"task_id": str(number), "input": "{}"})
        self.assertEqual(1, purge.purge(self.database, 30, 100))
        self.assertEqual((1, 1), (self.count(tasks), self.count(task_info)))

    def test_numbers_must_make_sense(self):
        for age, rows in ((-1, 1), (10**6, 1), (1, -2), (1, 2**31)):
            self.assertRaises(errors.Invalid, purge.purge, self.database, age, rows)
            self.assertRaises(errors.Invalid, purge.purge_images, self.database, age, rows)
