"""Rows as they are in databases that have lived: read as their owners know them."""

import datetime
import uuid

import sqlalchemy as sa

from glance_py.db.tables import image_properties, image_tags, images
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from tests.contract.dal.backends import caller

THEN = datetime.datetime(2015, 3, 4, 5, 6, 7)
AUDIT = {"created_at": THEN, "deleted": False}


class LegacyRowCases:
    def setUp(self):
        super().setUp()
        self.execute(
            images.insert(),
            {"id": "odd", "status": "active", "min_disk": 0, "min_ram": 0, "owner": "p", **AUDIT},
        )

    def image(self):
        return self.repositories.images.get(caller("p"), "odd")

    def test_an_image_that_was_never_changed_has_a_time_all_the_same(self):
        self.assertEqual(THEN, self.image().updated_at)

    def test_a_tag_that_is_there_twice_is_one(self):
        for _ in range(2):
            self.execute(image_tags.insert(), {"image_id": "odd", "value": "t", **AUDIT})
        self.assertEqual(["t"], self.image().tags)

    def test_a_property_without_a_value_is_an_empty_text(self):
        self.execute(
            image_properties.insert(), {"image_id": "odd", "name": "k", "value": None, **AUDIT}
        )
        self.assertEqual({"k": ""}, self.image().properties)

    def test_what_was_deleted_beside_is_not_seen(self):
        gone = {**AUDIT, "deleted": True, "deleted_at": THEN}
        self.execute(
            image_properties.insert(), {"image_id": "odd", "name": "k", "value": "v", **gone}
        )
        self.execute(image_tags.insert(), {"image_id": "odd", "value": "t", **gone})
        self.assertEqual(({}, []), (self.image().properties, self.image().tags))

    def twice(self, *tags):
        for tag in tags * 2:
            self.execute(image_tags.insert(), {"image_id": "odd", "value": tag, **AUDIT})
        return self.image()

    def test_a_tag_that_is_there_twice_is_removed_whole(self):
        image = self.twice("a", "b")
        self.repositories.images.update(caller("p"), image, ImageChange(remove_tags=("a",)))
        self.assertEqual(["b"], self.image().tags)

    def test_a_tag_that_is_there_twice_is_so_no_more_after_a_change(self):
        image = self.twice("a")
        self.repositories.images.update(caller("p"), image, ImageChange(add_tags=("b",)))
        self.assertEqual(["a", "b"], self.image().tags)
        live = sa.select(image_tags.c.value).where(
            image_tags.c.image_id == image.id, image_tags.c.deleted == sa.false()
        )
        self.assertEqual(["a", "b"], sorted(row[0] for row in self.execute(live)))

    def test_all_of_unicode_is_stored_and_told_apart(self):
        smile, laugh = "\U0001f600", "\U0001f602"
        image = self.repositories.images.create(
            caller("p"),
            Image(
                str(uuid.uuid4()),
                owner="p",
                name=f"a {smile}",
                tags=[smile, laugh],
                properties={smile: laugh, laugh: smile},
            ),
        )
        found = self.repositories.images.get(caller("p"), image.id)
        self.assertEqual(
            (image.name, image.tags, image.properties), (found.name, found.tags, found.properties)
        )
        image = self.repositories.images.update(
            caller("p"), image, ImageChange(remove_tags=(smile,))
        )
        self.assertEqual([laugh], self.repositories.images.get(caller("p"), image.id).tags)
        for name, number in ((f"a {smile}", 1), (f"a {laugh}", 0)):
            self.assertEqual(
                number, len(self.execute(sa.select(images.c.id).where(images.c.name == name)))
            )
