"""The rules of ownership, and their messages, which layers and registry share."""

from __future__ import annotations

import unittest

from glance_py.domain import errors
from glance_py.domain import visibility as rules
from glance_py.domain.image import Image
from glance_py.domain.member import Member
from glance_py.domain.metadef import Namespace
from tests.unit.factories import make_caller, make_member

OWNER, OTHER = make_member("owner"), make_member("other")
NOBODYS = make_member(None)
ADMIN = make_caller("admin", project="admins", is_admin=True)


class ImageRulesTest(unittest.TestCase):
    def test_visible(self) -> None:
        for visibility, membership, seen in (
            ("private", None, False),
            ("private", "other", False),
            ("shared", None, False),
            ("shared", "other", True),
            ("community", None, True),
            ("public", None, True),
        ):
            image = Image("i", owner="owner", visibility=visibility, caller_membership=membership)
            self.assertEqual(seen, rules.is_visible(OTHER, image), (visibility, membership))
            for ctx in (OWNER, ADMIN):
                rules.require_visible(ctx, image)
            if not seen:
                with self.assertRaisesRegex(errors.ImageNotFound, "ID i$"):
                    rules.require_visible(OTHER, image)
        self.assertTrue(rules.is_visible(OTHER, Image("i", visibility="private")))

    def test_mutable(self) -> None:
        image = Image("i", owner="owner", visibility="public")
        for ctx in (OWNER, ADMIN):
            rules.require_mutable(ctx, image)
        for ctx, of in ((OTHER, image), (NOBODYS, Image("i")), (OWNER, Image("i"))):
            with self.assertRaisesRegex(errors.Forbidden, "You do not own image i."):
                rules.require_mutable(ctx, of)
        rules.require_mutable(ADMIN, Image("i"))

    def test_own_project(self) -> None:
        rules.require_own_project(OWNER, Image("i", owner="owner"))
        rules.require_own_project(ADMIN, Image("i", owner="owner"))
        rules.require_own_project(NOBODYS, Image("i"))
        with self.assertRaisesRegex(errors.Forbidden, "images owned by 'owner'"):
            rules.require_own_project(OTHER, Image("i", owner="owner"))

    def test_owner_change(self) -> None:
        image = Image("i", owner="owner")
        rules.check_owner_change(OWNER, image, "owner")
        rules.check_owner_change(ADMIN, image, "other")
        rules.check_owner_change(ADMIN, None, "other")
        for ctx, before, owner in (
            (OWNER, image, "other"),
            (OWNER, image, None),
            (OTHER, image, "owner"),
            (OTHER, image, "other"),
            (OWNER, None, "owner"),
            (NOBODYS, Image("i"), None),
        ):
            with self.assertRaisesRegex(errors.Forbidden, "Only an administrator may give"):
                rules.check_owner_change(ctx, before, owner)

    def test_own_membership(self) -> None:
        for ctx in (OTHER, ADMIN):
            rules.require_own_membership(ctx, Member("i", "other"))
        with self.assertRaisesRegex(errors.Forbidden, "Only the member itself"):
            rules.require_own_membership(OWNER, Member("i", "other"))


class NamespaceRulesTest(unittest.TestCase):
    def test_visible_and_mutable(self) -> None:
        for visibility, seen in (("private", False), ("public", True)):
            namespace = Namespace("n", "owner", visibility=visibility)
            for ctx in (OWNER, ADMIN):
                rules.require_namespace_visible(ctx, namespace)
                rules.require_namespace_mutable(ctx, namespace)
            with self.assertRaisesRegex(errors.Forbidden, "own the metadata namespace n."):
                rules.require_namespace_mutable(OTHER, namespace)
            if seen:
                rules.require_namespace_visible(OTHER, namespace)
            else:
                with self.assertRaisesRegex(errors.NamespaceNotFound, "namespace n "):
                    rules.require_namespace_visible(OTHER, namespace)


if __name__ == "__main__":
    unittest.main()
