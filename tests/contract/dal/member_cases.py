"""What a DAL must do with members, and how it counts what a project occupies."""

import uuid

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from tests.contract.dal.backends import caller


class MemberCases:
    def setUp(self):
        super().setUp()
        self.image = self.repositories.images.create(
            caller("p1"), Image(str(uuid.uuid4()), owner="p1")
        )

    def ids(self):
        return [m.member_id for m in self.repositories.members.find(caller("p1"), self.image.id)]

    def test_a_member_is_added_changed_and_removed(self):
        members = self.repositories.members
        created = members.create(caller("p1"), self.image.id, "p2")
        self.assertEqual("pending", created.status)
        self.assertEqual([created], members.find(caller("p1"), self.image.id, "p2"))
        accepted = members.update(caller("p2"), created, "accepted")
        self.assertEqual([accepted], members.find(caller("p1"), self.image.id))
        self.assertEqual("accepted", accepted.status)
        members.delete(caller("p1"), accepted)
        self.assertEqual([], members.find(caller("p1"), self.image.id))

    def test_find_names_all_or_one_in_order(self):
        for project in ("b", "a", "c"):
            self.repositories.members.create(caller("p1"), self.image.id, project)
        self.assertEqual(["b", "a", "c"], self.ids())
        self.assertEqual([], self.repositories.members.find(caller("p1"), self.image.id, "d"))
        self.assertEqual([], self.repositories.members.find(caller("p1"), "unknown"))

    def test_a_project_id_that_does_not_fit_is_refused_or_kept_whole(self):
        project = "m" * 256
        try:
            self.repositories.members.create(caller("p1"), self.image.id, project)
        except errors.Invalid:
            self.assertEqual([], self.ids())
        else:
            self.assertEqual([project], self.ids())

    def test_a_member_cannot_be_added_twice(self):
        self.repositories.members.create(caller("p1"), self.image.id, "p2")
        self.assertRaises(
            errors.Duplicate, self.repositories.members.create, caller("p1"), self.image.id, "p2"
        )

    def test_a_member_can_come_back_at_once_and_has_to_accept_again(self):
        members = self.repositories.members
        for _ in range(3):
            member = members.create(caller("p1"), self.image.id, "p2")
            self.assertEqual("pending", member.status)
            member = members.update(caller("p2"), member, "accepted")
            members.delete(caller("p1"), member)
        self.assertEqual([], self.ids())

    def test_who_is_no_member_is_not_found(self):
        members = self.repositories.members
        member = members.create(caller("p1"), self.image.id, "p2")
        members.delete(caller("p1"), member)
        self.assertRaises(errors.MemberNotFound, members.update, caller("p2"), member, "accepted")
        self.assertRaises(errors.MemberNotFound, members.delete, caller("p1"), member)

    def test_an_image_that_is_gone_gets_no_members(self):
        self.repositories.members.create(caller("p1"), self.image.id, "p2")
        self.repositories.images.delete(caller("p1"), self.image)
        self.assertEqual([], self.ids())
        for image_id in (self.image.id, "unknown"):
            self.assertRaises(
                errors.ImageNotFound, self.repositories.members.create, caller("p1"), image_id, "p3"
            )


class UsageCases:
    def create(self, **fields):
        locations = [Location(f"file:///{n}") for n in range(fields.pop("copies", 1))]
        owner = fields.pop("owner", "p1")
        return self.repositories.images.create(
            caller(owner), Image(str(uuid.uuid4()), locations=locations, owner=owner, **fields)
        )

    def test_storage_counts_every_copy(self):
        usage = self.repositories.usage
        self.assertEqual(0, usage.storage("p1"))
        twice = self.create(size=2**40, copies=2, status="active")
        once = self.create(size=5, status="deactivated")
        self.create(size=7, copies=0)
        self.create(size=100, status="killed")
        self.create(size=1000, owner="p2", status="active")
        self.assertEqual(2**41 + 5, usage.storage("p1"))
        self.assertEqual(5, usage.storage("p1", without=twice.id))
        self.repositories.images.update(
            caller("p1"), twice, ImageChange(remove_locations=(twice.locations[0],))
        )
        self.assertEqual(2**40 + 5, usage.storage("p1"))
        self.repositories.images.delete(caller("p1"), once, "pending_delete")
        self.assertEqual(2**40, usage.storage("p1"))
        self.assertEqual(0, usage.storage(None))

    def test_images_and_what_is_arriving(self):
        usage = self.repositories.usage
        for status in ("queued", "saving", "uploading", "importing", "active", "killed"):
            self.create(status=status, size=1)
        copied = self.create(
            status="active", size=10, properties={"os_glance_importing_to_stores": "fast"}
        )
        self.create(status="active", size=100, properties={"os_glance_importing_to_stores": ""})
        self.assertEqual(
            (7, 12, 4), (usage.images("p1"), usage.staging("p1"), usage.uploading("p1"))
        )
        self.repositories.images.update(
            caller("p1"), copied, ImageChange(remove_properties={"os_glance_importing_to_stores"})
        )
        self.assertEqual((2, 3), (usage.staging("p1"), usage.uploading("p1")))
        self.assertEqual(
            (0, 0, 0), (usage.images("p2"), usage.staging("p2"), usage.uploading("p2"))
        )
