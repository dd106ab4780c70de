"""Ownership: who sees, who changes, who shares."""

from __future__ import annotations

import unittest

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.member import Member
from glance_py.domain.ports import Download, Upload
from glance_py.layers.authorization import AuthorizationProxy, MemberAuthorizationProxy
from glance_py.layers.ownership import OwnershipProxy
from tests.unit.factories import make_caller, make_conf, make_member
from tests.unit.layers.fake import Images, Members, deps

OWNER, STRANGER, ADMIN = (
    make_member("p1"),
    make_member("p2"),
    make_caller("admin", project="p9", is_admin=True),
)


def image(visibility: str = "private", **more) -> Image:
    return Image(**{"id": visibility, "owner": "p1", "visibility": visibility, **more})


class SeeingTest(unittest.TestCase):
    def sees(self, ctx, seen: Image) -> bool:
        layer = AuthorizationProxy.build(Images(seen), deps())
        answers = []
        for operation in (layer.get, layer.resolve):
            try:
                answers.append(operation(ctx, seen.id).id == seen.id)
            except errors.ImageNotFound:
                answers.append(False)
        self.assertEqual(answers[0], answers[1])
        return answers[0]

    def test_who_sees_what(self):
        for visibility, stranger in (
            ("private", False),
            ("shared", False),
            ("community", True),
            ("public", True),
        ):
            with self.subTest(visibility):
                seen = image(visibility)
                self.assertEqual(
                    (True, stranger, True),
                    tuple(self.sees(ctx, seen) for ctx in (OWNER, STRANGER, ADMIN)),
                )

    def test_a_membership_counts_only_while_the_image_is_shared(self):
        self.assertTrue(self.sees(STRANGER, image("shared", caller_membership="p2")))
        self.assertFalse(self.sees(STRANGER, image("private", caller_membership="p2")))

    def test_an_image_without_owner_is_seen_by_all_and_changed_by_administrators(self):
        orphan = image(owner=None)
        self.assertTrue(self.sees(STRANGER, orphan))
        layer = OwnershipProxy.build(Images(orphan), deps())
        nobody = make_caller("member", project=None)
        with self.assertRaises(errors.Forbidden):
            layer.delete(nobody, orphan)
        layer.delete(ADMIN, orphan)


class ChangingTest(unittest.TestCase):
    def setUp(self):
        self.inner = Images()
        self.layer = AuthorizationProxy.build(OwnershipProxy.build(self.inner, deps()), deps())

    def test_only_owner_and_administrator_reach_the_room_below(self):
        public = image("public")
        for operation, arguments in (
            ("update", (ImageChange(fields={"name": "n"}),)),
            ("delete", ()),
            ("upload", (Upload([]),)),
            ("stage", (Upload([]),)),
            ("set_status", ("deactivated",)),
        ):
            with self.subTest(operation):
                with self.assertRaises(errors.Forbidden):
                    getattr(self.layer, operation)(STRANGER, public, *arguments)
                self.assertEqual([], self.inner.calls)
                getattr(self.layer, operation)(OWNER, public, *arguments)
                getattr(self.layer, operation)(ADMIN, public, *arguments)
                self.inner.calls.clear()

    def test_an_image_is_created_for_ones_own_project(self):
        self.layer.create(OWNER, image())
        self.layer.create(ADMIN, image())
        for owner in ("p1", None, ""):
            with self.assertRaises(errors.Forbidden):
                self.layer.create(STRANGER, image(owner=owner))

    def test_a_member_cannot_give_an_image_away(self):
        for owner in ("p2", None):
            with self.assertRaises(errors.Forbidden):
                self.layer.update(OWNER, image(), ImageChange(fields={"owner": owner}))
        self.assertEqual([], self.inner.calls)
        self.layer.update(OWNER, image(), ImageChange(fields={"owner": "p1"}))
        self.layer.update(ADMIN, image(), ImageChange(fields={"owner": "p2"}))

    def test_a_protected_image_outlives_administrators(self):
        for ctx in (OWNER, ADMIN):
            with self.assertRaises(errors.ImageProtected):
                self.layer.delete(ctx, image(protected=True))
        self.assertEqual([], self.inner.calls)


class ReadingTest(unittest.TestCase):
    def test_only_administrators_read_what_is_deactivated(self):
        layer = AuthorizationProxy.build(Images(), deps())
        layer.download(OWNER, image(), Download())
        with self.assertRaises(errors.Forbidden):
            layer.download(OWNER, image(status="deactivated"), Download())
        layer.download(ADMIN, image(status="deactivated"), Download())


class SharingTest(unittest.TestCase):
    def setUp(self):
        self.share, self.other = Member("shared", "p2"), Member("shared", "p3")
        self.layer = self.build(make_conf())
        self.shared = image("shared")

    def build(self, options):
        return MemberAuthorizationProxy.build(Members(self.share, self.other), deps(conf=options))

    def test_only_shared_images_have_members(self):
        for visibility in ("private", "public", "community"):
            alone = image(visibility)
            for act in (
                lambda of: self.layer.list(ADMIN, of),
                lambda of: self.layer.get(ADMIN, of, "p2"),
                lambda of: self.layer.create(ADMIN, of, "p4"),
                lambda of: self.layer.update(ADMIN, of, self.share, "accepted"),
                lambda of: self.layer.delete(ADMIN, of, self.share),
            ):
                with self.assertRaises(errors.Forbidden):
                    act(alone)

    def test_a_member_sees_itself_and_the_owner_sees_all(self):
        self.assertEqual([self.share, self.other], self.layer.list(OWNER, self.shared))
        self.assertEqual([self.share], self.layer.list(STRANGER, self.shared))
        self.assertEqual(self.share, self.layer.get(STRANGER, self.shared, "p2"))
        with self.assertRaises(errors.MemberNotFound):
            self.layer.get(STRANGER, self.shared, "p3")

    def test_the_member_decides_whether_it_accepts(self):
        accepted = self.layer.update(STRANGER, self.shared, self.share, "accepted")
        self.assertEqual("accepted", accepted.status)
        self.layer.update(ADMIN, self.shared, self.share, "rejected")
        for ctx in (OWNER, make_member("p3")):
            with self.assertRaises(errors.Forbidden):
                self.layer.update(ctx, self.shared, self.share, "accepted")

    def test_an_owner_does_not_even_answer_for_its_own_row(self):
        own = Member("shared", "p1")
        with self.assertRaises(errors.Forbidden):
            self.layer.update(OWNER, self.shared, own, "accepted")
        self.layer.update(ADMIN, self.shared, own, "accepted")

    def test_the_owner_decides_who_is_a_member(self):
        self.layer.create(STRANGER, self.shared, "p5")  # as far as no policy forbids it
        old = make_conf()
        old.set_override("enforce_new_defaults", False, group="oslo_policy")
        with self.assertRaises(errors.Forbidden):
            self.build(old).create(STRANGER, self.shared, "p4")
        with self.assertRaises(errors.Forbidden):
            self.layer.delete(STRANGER, self.shared, self.share)
        self.layer.delete(OWNER, self.shared, self.share)
        self.assertEqual("p4", self.layer.create(OWNER, self.shared, "p4").member_id)
