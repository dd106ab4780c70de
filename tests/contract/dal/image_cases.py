"""What a DAL must do with single images."""

import dataclasses
import datetime
import uuid

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.query import ImageQuery
from tests.contract.dal.backends import caller

RICH = Image(
    "00000000-0000-0000-0000-000000000000",
    status="active",
    name="Ünïcode \u20ac",
    owner="p1",
    visibility="community",
    protected=True,
    os_hidden=True,
    disk_format="qcow2",
    container_format="bare",
    min_disk=3,
    min_ram=2**31 - 1,
    size=2**40,
    virtual_size=2**41,
    checksum="c" * 32,
    os_hash_algo="sha512",
    os_hash_value="h" * 128,
    tags=["one", "two"],
    properties={"os_distro": "debian", "empty": "", "long": "x" * 60000},
    locations=[
        Location("file:///a", {"store": "fast", "nested": {"a": [1]}}),
        Location("file:///b", {}),
    ],
)


class ImageCases:
    def create(self, **fields):
        return self.repositories.images.create(
            caller("p1"),
            Image(fields.pop("id", None) or str(uuid.uuid4()), **{"owner": "p1", **fields}),
        )

    def get(self, image_id, project="p1"):
        return self.repositories.images.get(caller(project), image_id)

    def update(self, image, **change):
        return self.repositories.images.update(caller("p1"), image, ImageChange(**change))

    def test_what_was_created_is_read(self):
        created = self.create(
            **{**dataclasses.asdict(RICH), "id": None, "locations": RICH.locations}
        )
        self.assertEqual(created, self.get(created.id))
        self.assertEqual(RICH.properties, created.properties)
        self.assertEqual([a.url for a in RICH.locations], [a.url for a in created.locations])

    def test_the_argument_of_create_is_not_touched(self):
        image = Image(
            str(uuid.uuid4()), owner="p1", tags=["a", "a"], locations=[Location("file:///a")]
        )
        self.repositories.images.create(caller("p1"), image)
        self.assertEqual(
            (["a", "a"], None, None), (image.tags, image.created_at, image.locations[0].id)
        )

    def test_times_are_naive_utc(self):
        created = self.create()
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        self.assertLess(abs((now - created.created_at).total_seconds()), 5)
        self.assertEqual(created.created_at, created.updated_at)

    def test_unknown_and_deleted_images_are_not_found(self):
        image = self.create()
        self.repositories.images.delete(caller("p1"), image)
        for image_id in (image.id, str(uuid.uuid4()), "", "x" * 300):
            self.assertRaises(errors.ImageNotFound, self.get, image_id)
        self.assertRaises(errors.ImageNotFound, self.update, image, fields={"name": "x"})
        self.assertRaises(
            errors.ImageNotFound, self.repositories.images.delete, caller("p1"), image
        )

    def test_an_id_is_never_used_twice(self):
        image = self.create()
        self.assertRaises(errors.Duplicate, self.create, id=image.id)
        self.repositories.images.delete(caller("p1"), image)
        self.assertRaises(errors.Duplicate, self.create, id=image.id, properties={"a": "b"})

    def test_a_failed_create_leaves_nothing(self):
        self.assertRaises(errors.Invalid, self.create, min_ram=2**31)
        self.assertRaises(errors.Invalid, self.create, size=2**63)
        self.assertEqual([], self.repositories.images.list(caller("p1"), ImageQuery()).images)

    def test_a_change_touches_only_what_it_names(self):
        read = self.create(name="a", properties={"k": "1", "l": "1"}, tags=["t"])
        self.update(read, fields={"min_disk": 1}, set_properties={"k": "2"})
        self.update(read, fields={"name": "b"}, set_properties={"m": "3"}, add_tags=("u",))
        now = self.get(read.id)
        self.assertEqual(("b", 1), (now.name, now.min_disk))
        self.assertEqual({"k": "2", "l": "1", "m": "3"}, now.properties)
        self.assertEqual({"t", "u"}, set(now.tags))

    def test_update_answers_with_the_image_as_it_is_then(self):
        image = self.create(
            properties={"k": "1", "l": "1"},
            tags=["a", "b"],
            locations=[Location("file:///a"), Location("file:///b")],
        )
        first, second = image.locations
        after = self.update(
            image,
            fields={"name": "n", "size": None},
            set_properties={"k": "2", "m": "1"},
            remove_properties={"l", "never"},
            tags=["b", "c"],
            remove_locations=(first,),
            update_locations=(dataclasses.replace(second, metadata={"store": "x"}),),
            add_locations=(Location("file:///c", {"store": "y"}),),
        )
        self.assertEqual(self.get(image.id), after)
        self.assertEqual({"k": "2", "m": "1"}, after.properties)
        self.assertEqual(["file:///b", "file:///c"], [a.url for a in after.locations])
        self.assertEqual(["x", "y"], [a.store for a in after.locations])
        self.assertEqual("1", image.properties["l"])

    def test_a_property_can_come_back(self):
        image = self.create(properties={"k": "1"})
        gone = self.update(image, remove_properties={"k"})
        self.assertEqual({}, self.get(image.id).properties)
        self.update(gone, set_properties={"k": "2"})
        self.assertEqual({"k": "2"}, self.get(image.id).properties)

    def test_setting_wins_over_removing(self):
        image = self.create(properties={"k": "1"})
        after = self.update(image, set_properties={"k": "2"}, remove_properties={"k"})
        self.assertEqual({"k": "2"}, after.properties)
        self.assertEqual({"k": "2"}, self.get(image.id).properties)

    def test_tags_are_a_set(self):
        image = self.create(tags=["b", "a", "b"])
        self.assertEqual(["a", "b"], sorted(self.get(image.id).tags))
        self.update(image, add_tags=("a", "c"), remove_tags=("b",))
        self.assertEqual(["a", "c"], sorted(self.get(image.id).tags))
        self.update(image, tags=["c", "d", "d"])
        self.assertEqual(["c", "d"], sorted(self.get(image.id).tags))
        self.update(image, tags=[])
        self.assertEqual([], self.get(image.id).tags)

    def test_removing_an_absent_tag_is_an_error_and_changes_nothing(self):
        image = self.create(tags=["a"], name="before")
        self.assertRaises(
            errors.TagNotFound,
            self.update,
            image,
            remove_tags=("b",),
            fields={"name": "after"},
            set_properties={"k": "v"},
        )
        self.assertEqual(image, self.get(image.id))

    def test_a_location_with_a_status_of_deletion_is_gone(self):
        image = self.create(locations=[Location("file:///a"), Location("file:///b")])
        first, second = image.locations
        self.update(image, update_locations=(dataclasses.replace(first, status="pending_delete"),))
        self.assertEqual([second], self.get(image.id).locations)

    def test_locations_of_another_image_stay(self):
        image, other = (self.create(locations=[Location("file:///a")]) for _ in range(2))
        self.update(image, remove_locations=tuple(other.locations))
        self.assertEqual(other, self.get(other.id))

    def test_a_guarded_change_needs_the_expected_state(self):
        image = self.create()
        change = ImageChange.status("saving", expected="queued", checksum="x")
        self.assertEqual(
            "saving", self.repositories.images.update(caller("p1"), image, change).status
        )
        self.assertRaises(
            errors.StatusConflict, self.repositories.images.update, caller("p1"), image, change
        )
        self.repositories.images.update(
            caller("p1"), image, ImageChange.status("active", expected=("queued", "saving"))
        )
        self.assertEqual("active", self.get(image.id).status)

    def test_a_refused_change_changes_nothing(self):
        image = self.create(tags=["a"])
        self.assertRaises(
            errors.StatusConflict,
            self.update,
            image,
            fields={"name": "n"},
            set_properties={"a": "b"},
            tags=[],
            add_locations=(Location("file:///x"),),
            expected=frozenset({"active"}),
        )
        self.assertEqual(image, self.get(image.id))

    def test_updated_at_moves_with_every_change(self):
        image = self.create(tags=["t"])
        past = image.updated_at - datetime.timedelta(days=1)
        for change in (
            {"set_properties": {"a": "b"}},
            {"remove_properties": {"a"}},
            {"add_tags": ("u",)},
            {"fields": {"name": "n"}},
        ):
            self.update(image, fields={"updated_at": past})
            after = self.update(image, **change)
            self.assertGreater(after.updated_at, past)
            self.assertEqual(after.updated_at, self.get(image.id).updated_at)

    def test_delete_needs_the_state_that_the_caller_saw(self):
        image = self.create()
        self.update(image, fields={"status": "active"})
        self.assertRaises(
            errors.StatusConflict, self.repositories.images.delete, caller("p1"), image
        )
        self.repositories.images.delete(caller("p1"), self.get(image.id), "pending_delete")
        self.assertRaises(errors.ImageNotFound, self.get, image.id)

    def test_numbers_out_of_range_are_refused(self):
        image = self.create()
        for field, value in (("min_disk", 2**31), ("min_ram", 2**70), ("size", 2**63)):
            self.assertRaises(errors.Invalid, self.update, image, fields={field: value})

    def test_what_cannot_be_stored_is_a_clear_error(self):
        for text in ("nul \0 here", "lone \ud800 surrogate", "\U0001f600"):
            try:
                image = self.create(name=text)
            except errors.Invalid:
                continue
            self.assertEqual(text, self.get(image.id).name)

    def test_the_caller_learns_of_its_membership(self):
        image = self.create(visibility="community")
        self.repositories.members.create(caller("p1"), image.id, "p2")
        self.assertEqual("p2", self.get(image.id, "p2").caller_membership)
        self.assertIsNone(self.get(image.id, "p3").caller_membership)
        self.assertIsNone(self.get(image.id, None).caller_membership)
        [member] = self.repositories.members.find(caller("p1"), image.id)
        self.repositories.members.delete(caller("p1"), member)
        self.assertIsNone(self.get(image.id, "p2").caller_membership)

    def test_another_spelling_of_the_id_does_no_harm(self):
        image = self.create(id=f"abcdef00-{str(uuid.uuid4())[9:]}")
        try:
            self.repositories.members.create(caller("p1"), image.id.upper(), "p2")
        except errors.ImageNotFound:
            return
        self.assertEqual("p2", self.get(image.id, "p2").caller_membership)

    def test_the_database_answers(self):
        self.assertIsNone(self.repositories.ping())
