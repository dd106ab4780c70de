"""What a DAL must remember of data that is to be removed."""

import dataclasses
import uuid

import sqlalchemy as sa

from glance_py.db import location_index
from glance_py.db.cipher import UrlCipher
from glance_py.db.database import Database
from glance_py.db.repositories import sql_repositories
from glance_py.db.tables import image_locations, images, location_digests
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from tests.contract.dal.backends import caller


class PendingCases:
    def active(self, *urls, **more):
        return self.repositories.images.create(
            caller("p1"),
            Image(
                str(uuid.uuid4()),
                **{
                    "status": "active",
                    "owner": "p1",
                    "tags": ["a"],
                    "properties": {"k": "v"},
                    "locations": [Location(url, {"store": "s"}) for url in urls],
                    **more,
                },
            ),
        )

    def delete(self, image, status="deleted"):
        self.repositories.images.delete(caller("p1"), image, status)

    def pending(self, **more):
        return [
            (x.image_id, x.image_status, x.location.url)
            for x in self.repositories.pending.find(0, **more)
        ]

    def statuses(self, image):
        return [
            tuple(row)
            for row in self.execute(
                image_locations.select()
                .with_only_columns(image_locations.c.status, image_locations.c.deleted)
                .where(image_locations.c.image_id == image.id)
                .order_by(image_locations.c.id)
            )
        ]

    def test_data_of_a_deleted_image_is_pending_until_it_is_forgotten(self):
        image = self.active("file:///a", "file:///b")
        self.delete(image)
        self.assertEqual(
            [(image.id, "deleted", "file:///a"), (image.id, "deleted", "file:///b")], self.pending()
        )
        found = self.repositories.pending.find(0, limit=1)[0].location
        self.assertEqual((image.locations[0].id, {"store": "s"}), (found.id, found.metadata))
        self.assertEqual(1, len(self.pending(after=found.id)))
        self.assertEqual([], self.repositories.pending.find(60))
        self.repositories.pending.mark_deleted(image.locations[:1])
        self.assertEqual([("deleted", True), ("pending_delete", True)], self.statuses(image))
        self.repositories.pending.mark_deleted(image.locations)
        self.assertEqual([], self.pending())

    def test_data_that_waits_for_the_scrubber_is_not_stray(self):
        kept, left = self.active("file:///a"), self.active("file:///b")
        self.delete(kept, "pending_delete")
        self.delete(left)
        self.assertEqual([(left.id, "deleted", "file:///b")], self.pending(orphaned=True))
        self.assertEqual(2, len(self.pending()))

    def test_an_image_is_finished_when_nothing_of_it_is_left(self):
        image = self.active("file:///a", "file:///b")
        self.delete(image, "pending_delete")
        self.repositories.pending.mark_deleted(image.locations[:1])
        self.assertFalse(self.repositories.pending.complete_deletion(image.id))
        self.repositories.pending.mark_deleted(image.locations)
        self.assertTrue(self.repositories.pending.complete_deletion(image.id))
        self.assertEqual(
            [("deleted",)],
            [
                tuple(row)
                for row in self.execute(
                    images.select()
                    .with_only_columns(images.c.status)
                    .where(images.c.id == image.id)
                )
            ],
        )

    def test_a_removed_location_comes_back(self):
        image = self.active("file:///a", "file:///b")
        first = dataclasses.replace(image.locations[0], status="pending_delete")
        self.repositories.images.update(caller("p1"), image, ImageChange(remove_locations=(first,)))
        self.assertEqual([(image.id, "active", "file:///a")], self.pending(orphaned=True))
        self.repositories.pending.unmark([first])
        self.assertEqual(
            image.locations, self.repositories.images.get(caller("p1"), image.id).locations
        )

    def test_a_deletion_is_undone_with_what_was_deleted_by_it(self):
        image = self.active("file:///a", "file:///b", properties={"k": "v", "old": "x"})
        self.repositories.members.create(caller("p1"), image.id, "p2")
        image = self.repositories.images.update(
            caller("p1"), image, ImageChange(remove_tags=("a",), add_tags=("b",))
        )
        self.delete(image, "pending_delete")
        self.repositories.pending.mark_deleted(image.locations[:1])
        self.repositories.pending.restore(image.id, "active")
        back = self.repositories.images.get(caller("p1"), image.id)
        self.assertEqual(
            ("active", {"k": "v", "old": "x"}, ["file:///b"]),
            (back.status, back.properties, [x.url for x in back.locations]),
        )
        self.assertIn("b", back.tags)
        self.assertEqual(1, len(self.repositories.members.find(caller("p1"), image.id)))
        self.assertEqual([], self.pending())

    def test_no_image_comes_back_without_its_data(self):
        image = self.active("file:///a")
        self.delete(image, "pending_delete")
        pending = self.repositories.pending
        self.assertEqual([image.locations[0].id], list(pending.begin_removal(image.locations)))
        # A scrubber that was stopped goes on where it was.
        self.assertEqual([image.locations[0].id], list(pending.begin_removal(image.locations)))
        self.assertRaises(errors.CorruptImageData, pending.restore, image.id, "active")
        self.assertEqual([(image.id, "pending_delete", "file:///a")], self.pending())
        pending.cancel_removal(image.locations)
        pending.restore(image.id, "active")
        self.assertEqual(
            image.locations, self.repositories.images.get(caller("p1"), image.id).locations
        )
        self.assertEqual([], list(pending.begin_removal(image.locations)))
        pending.mark_deleted(image.locations)
        self.assertEqual([("active", False)], self.statuses(image))

    def test_only_copies_that_nobody_removes_come_back(self):
        image = self.active("file:///a", "file:///b")
        self.delete(image, "pending_delete")
        self.repositories.pending.begin_removal(image.locations[:1])
        self.repositories.pending.restore(image.id, "active")
        self.assertEqual(
            ["file:///b"],
            [each.url for each in self.repositories.images.get(caller("p1"), image.id).locations],
        )
        self.assertEqual([(image.id, "active", "file:///a")], self.pending(orphaned=True))

    def test_only_a_deletion_is_undone(self):
        image = self.active("file:///a")
        for image_id in (image.id, str(uuid.uuid4())):
            self.assertRaises(
                errors.ImageNotFound, self.repositories.pending.restore, image_id, "active"
            )
        self.delete(image)
        self.assertRaises(
            errors.ImageNotFound, self.repositories.pending.restore, image.id, "active"
        )
        self.repositories.pending.restore(image.id, "active", was="deleted")
        self.assertEqual("active", self.repositories.images.get(caller("p1"), image.id).status)

    def test_whose_data_it_is(self):
        mine, other = self.active("s3://h/b/x"), self.active("s3://h/b/y")
        shared = self.repositories.pending.is_shared
        self.assertFalse(shared(mine.id, "s3://h/b/x"))
        self.assertTrue(shared(mine.id, "s3://h/b/y"))
        self.assertTrue(self.repositories.pending.any_exist([str(uuid.uuid4()), other.id]))
        self.assertFalse(self.repositories.pending.any_exist([str(uuid.uuid4())]))
        self.assertFalse(self.repositories.pending.any_exist([]))
        self.delete(other, "pending_delete")
        self.assertTrue(shared(mine.id, "s3://h/b/y"))
        self.repositories.pending.mark_deleted(other.locations)
        self.repositories.pending.complete_deletion(other.id)
        self.assertFalse(shared(mine.id, "s3://h/b/y"))
        self.assertFalse(self.repositories.pending.any_exist([other.id]))

    def test_whose_data_it_is_in_a_large_catalogue(self):
        """Most locations are found by a digest of their address, new ones by reading them."""
        self.patch(location_index, "MAX_UNINDEXED_ROWS", 0)
        self.patch(location_index, "BATCH", 4)
        self.patch(location_index, "CLEANUP_INTERVAL_ROWS", 1)
        for cipher in (None, UrlCipher("0123456789abcdef"), UrlCipher("another key, 24 bytes...")):
            dal = sql_repositories(Database(self.database.engine, cipher=cipher))
            self.patch(location_index, "SETTLED_SECONDS", 3600)
            urls = [f"cinder://store/{uuid.uuid4()}" for _ in range(10)]
            made = [
                dal.images.create(
                    caller("p1"),
                    Image(
                        str(uuid.uuid4()), status="active", owner="p1", locations=[Location(url)]
                    ),
                )
                for url in urls
            ]
            shared = dal.pending.is_shared

            def check(made=made, urls=urls, shared=shared):
                for image, url in zip(made, urls, strict=True):
                    self.assertTrue(shared("other", url))
                    self.assertFalse(shared(image.id, url))
                self.assertFalse(shared("other", "cinder://store/none"))

            check()
            self.assertIn(self.digests(), (0, 1))  # they are too new
            self.patch(location_index, "SETTLED_SECONDS", -3600)
            check()
            check()
            if self.database.dialect != "sqlite":
                self.assertEqual(1 + len(urls), self.digests())
            # What lies behind, and the same address again.
            late = dal.images.create(
                caller("p1"),
                Image(
                    str(uuid.uuid4()), status="active", owner="p1", locations=[Location(urls[0])]
                ),
            )
            self.assertTrue(shared(made[0].id, urls[0]))
            self.assertTrue(shared(late.id, urls[0]))
            for image in (made[0], late):
                dal.images.delete(caller("p1"), image)
                dal.pending.mark_deleted(image.locations)
            self.assertFalse(shared("other", urls[0]))
            self.execute(image_locations.delete())

    def digests(self):
        [[count]] = self.execute(sa.select(sa.func.count()).select_from(location_digests))
        return count

    def test_whose_data_it_is_without_a_table_of_digests(self):
        """Of a database that was not expanded yet."""
        image = self.active("cinder://store/a")
        self.database.write(location_digests.drop)
        self.addCleanup(self.database.write, location_digests.create)
        self.assertTrue(self.repositories.pending.is_shared("other", "cinder://store/a"))
        self.assertFalse(self.repositories.pending.is_shared(image.id, "cinder://store/a"))

    def test_two_cannot_each_remove_one_of_two_copies(self):
        image = self.active("file:///a", "file:///b")
        for place, error in ((0, None), (1, errors.LastLocation)):
            change = ImageChange(remove_locations=(image.locations[place],))
            if error is None:
                self.repositories.images.update(caller("p1"), image, change)
            else:
                self.assertRaises(
                    error, self.repositories.images.update, caller("p1"), image, change
                )
        self.assertEqual([("deleted", True), ("active", False)], self.statuses(image))
        self.repositories.images.update(
            caller("p1"),
            image,
            ImageChange(fields={"status": "queued"}, remove_locations=(image.locations[1],)),
        )

    def test_sealed_addresses(self):
        database = Database(self.database.engine, cipher=UrlCipher("0123456789abcdef"))
        plain = self.active("s3://h/b/plain")
        encrypted = sql_repositories(database)
        image = encrypted.images.create(
            caller("p1"),
            Image(
                str(uuid.uuid4()), status="active", owner="p1", locations=[Location("s3://h/b/x")]
            ),
        )
        encrypted.images.update(
            caller("p1"), image, ImageChange(add_locations=(Location("s3://h/b/y"),))
        )
        self.assertEqual(
            ["s3://h/b/x", "s3://h/b/y"],
            [x.url for x in encrypted.images.get(caller("p1"), image.id).locations],
        )
        self.assertNotIn(
            "s3://h/b/x",
            {x.url for x in self.repositories.images.get(caller("p1"), image.id).locations},
        )
        self.assertEqual(
            "s3://h/b/plain", encrypted.images.get(caller("p1"), plain.id).locations[0].url
        )
        self.assertTrue(encrypted.pending.is_shared(plain.id, "s3://h/b/y"))
        self.assertFalse(encrypted.pending.is_shared(plain.id, "s3://h/b/z"))
        encrypted.images.delete(caller("p1"), encrypted.images.get(caller("p1"), image.id))
        self.assertEqual(
            ["s3://h/b/x", "s3://h/b/y"], [x.location.url for x in encrypted.pending.find(0)]
        )

    def test_what_an_image_has_at_an_address(self):
        image = self.repositories.images.create(
            caller("p1"),
            Image(
                str(uuid.uuid4()),
                status="active",
                owner="p1",
                locations=[Location("file:///a"), Location("file:///b"), Location("file:///c")],
            ),
        )
        gone = dataclasses.replace(image.locations[0], status="pending_delete")
        self.repositories.images.update(
            caller("p1"),
            image,
            ImageChange(
                remove_locations=(gone, image.locations[2]), add_locations=(Location("file:///a"),)
            ),
        )
        self.assertEqual(
            [{"active", "pending_delete"}, {"active"}, set()],
            [
                set(self.repositories.pending.statuses_at(image.id, f"file:///{name}"))
                for name in "abc"
            ],
        )
