"""Stores that judge readers themselves hear of every change of who may read."""

from __future__ import annotations

import types
import unittest

from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.member import Member
from glance_py.domain.ports import Upload
from glance_py.layers.acls import MemberStoreAclProxy, StoreAclProxy
from glance_store_py import errors

URL = "swift+https://swift/v1/AUTH_p/glance_i/i"


class Stores:
    has_acl_stores = True

    def __init__(self):
        self.told = []

    def set_acls(self, url, store_id, public, readers, caller=None):
        self.told.append((url, store_id, public, readers, caller))


class Innermost:
    """Operations that do what is asked of them at once."""

    def __getattr__(self, operation):
        return lambda *args: None

    def update(self, ctx, image, change):
        return Image(
            "i",
            "active",
            visibility=change.fields.get("visibility", "shared"),
            locations=[Location(URL, {"store": "s"})],
        )

    def upload(self, ctx, image, upload):
        return self.update(ctx, image, ImageChange())

    def create(self, ctx, image, member_id):
        return Member("i", member_id)


class TestReaders(unittest.TestCase):
    def setUp(self):
        self.stores = Stores()
        members = types.SimpleNamespace(
            find=lambda ctx, image_id: [Member("i", "a"), Member("i", "b")]
        )
        self.deps = types.SimpleNamespace(
            stores=self.stores, repositories=types.SimpleNamespace(members=members)
        )
        self.images = StoreAclProxy.build(Innermost(), self.deps)
        self.members = MemberStoreAclProxy.build(Innermost(), self.deps)
        self.image = Innermost().update("ctx", None, ImageChange())

    def told(self):
        return [(public, readers) for _, _, public, readers, _ in self.stores.told]

    def test_without_such_a_store_there_is_no_layer(self):
        self.stores.has_acl_stores = False
        inner = Innermost()
        self.assertIs(inner, StoreAclProxy.build(inner, self.deps))
        self.assertIs(inner, MemberStoreAclProxy.build(inner, self.deps))

    def test_visibility_decides(self):
        for visibility, expected in (
            ("public", (True, [])),
            ("community", (True, [])),
            ("shared", (False, ["a", "b"])),
            ("private", (False, [])),
        ):
            self.stores.told.clear()
            self.images.update("ctx", self.image, ImageChange(fields={"visibility": visibility}))
            self.assertEqual([expected], self.told(), visibility)

    def test_other_changes_are_no_business_of_the_store(self):
        self.images.update("ctx", self.image, ImageChange(fields={"name": "x"}))
        self.assertEqual([], self.stores.told)

    def test_data_and_members_are_told_as_the_caller(self):
        self.images.upload("ctx", self.image, Upload([]))
        self.members.create("ctx", self.image, "b")
        self.members.delete("ctx", self.image, Member("i", "b"))
        self.assertEqual([(URL, "s", False, ["a", "b"], "ctx")] * 3, self.stores.told)

    def test_a_store_that_does_not_listen_stops_nobody(self):
        def deaf(*args):
            raise errors.StoreForbidden()

        self.stores.set_acls = deaf
        with self.assertLogs("glance_py.layers.acls", "ERROR"):
            self.assertEqual("b", self.members.create("ctx", self.image, "b").member_id)
