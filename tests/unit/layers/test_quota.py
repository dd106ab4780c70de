"""The quota layers: what counts, and when a size is refused."""

import types
import unittest

from glance_py import streams
from glance_py.domain import errors
from glance_py.domain.change import Change
from glance_py.domain.image import Image, Location
from glance_py.domain.member import Member
from glance_py.domain.ports import Upload
from glance_py.layers.quota import MemberQuotaProxy, QuotaProxy
from tests.unit.layers.fake import Images, Members, Usage, services
from tests.unit.setting import conf, member


class QuotaCase(unittest.TestCase):

    def setUp(self):
        self.below = Images()
        self.usage = Usage()

    def layer(self, limits=None, **values):
        return QuotaProxy.build(self.below, services(
            conf=conf(**values), records=types.SimpleNamespace(usage=self.usage), limits=limits))

    def refused(self, act, *arguments, error=errors.QuotaExceeded):
        before = len(self.below.calls)
        with self.assertRaises(error):
            act(member(), *arguments)
        self.assertEqual(before, len(self.below.calls))

    def pump(self):
        """Let the upload that arrived below run dry."""
        _, _, upload = self.below.calls[-1]
        return sum(len(chunk) for chunk in streams.stream(upload.source, upload.filters))


class CountsTest(QuotaCase):

    def test_properties(self):
        layer = self.layer(image_property_quota=3)
        full = {"p0": "", "p1": "", "p2": ""}
        image = Image(id="i", properties=full)
        layer.create(member(), image)
        self.refused(layer.create, Image(id="i", properties={**full, "p3": ""}))
        layer.create(member(), Image(id="i", properties={**full, "os_glance_import_task": ""}))
        self.refused(layer.update, image, Change(set_properties={"p3": ""}))
        layer.update(member(), image, Change(set_properties={"p1": "x"}))
        layer.update(member(), image, Change(set_properties={"p3": ""}, remove_properties={"p1"}))

    def test_a_lowered_quota_does_not_freeze_an_image(self):
        layer = self.layer(image_property_quota=1, image_tag_quota=1)
        image = Image(id="i", properties={"a": "", "b": ""}, tags=["x", "y"])
        layer.update(member(), image, Change(set_properties={"a": "new"}))
        layer.update(member(), image, Change(add_tags=("x",)))
        layer.update(member(), image, Change(remove_tags=("y",)))

    def test_tags(self):
        layer = self.layer(image_tag_quota=2)
        self.refused(layer.create, Image(id="i", tags=["a", "b", "b"]))
        image = Image(id="i", tags=["a", "b"])
        layer.create(member(), image)
        self.refused(layer.update, image, Change(add_tags=("c",)))
        self.refused(layer.update, image, Change(tags=["x", "y", "z"]))
        layer.update(member(), image, Change(add_tags=("c",), remove_tags=("a",)))

    def test_locations(self):
        layer = self.layer(image_location_quota=1)
        there, more = Location("file:///a", id=1), Location("file:///b")
        image = Image(id="i", locations=[there])
        self.refused(layer.update, image, Change(add_locations=(more,)))
        layer.update(member(), image, Change(add_locations=(more,), remove_locations=(there,)))

    def test_a_negative_quota_is_none(self):
        layer = self.layer(image_property_quota=-1, image_tag_quota=-1, image_location_quota=-1)
        layer.create(member(), Image(id="i", tags=["t"] * 500, properties=dict.fromkeys("ab", "")))

    def test_members(self):
        image = Image(id="i")
        build = MemberQuotaProxy.build
        layer = build(Members(Member("i", "p2")), services(conf=conf(image_member_quota=2)))
        layer.create(member(), image, "p3")
        for project in ("p4", "p2"):
            with self.assertRaises(errors.QuotaExceeded):
                layer.create(member(), image, project)
        below = Members()
        self.assertIs(below, build(below, services(conf=conf(image_member_quota=-1))))


class SizesTest(QuotaCase):

    def test_cap(self):
        layer = self.layer(image_size_cap=10)
        image = Image(id="i")
        for verb in (layer.upload, layer.stage):
            self.refused(verb, image, Upload([], size=11), error=errors.ImageTooLarge)
            verb(member(), image, Upload([b"x" * 10], size=10))
            self.assertEqual(10, self.pump())
            for size in (None, 10):
                verb(member(), image, Upload([b"x" * 6, b"x" * 6], size=size))
                with self.assertRaises(errors.ImageTooLarge):
                    self.pump()

    def test_storage_of_a_project(self):
        layer = self.layer(user_storage_quota="1KB")
        self.usage.used["storage"] = 1000
        image = Image(id="i", owner="p1")
        self.refused(layer.upload, image, Upload([], size=25))
        layer.upload(member(), image, Upload([b"x" * 24], size=24))
        self.assertEqual(24, self.pump())
        layer.upload(member(), image, Upload([b"x" * 20, b"x" * 5]))
        with self.assertRaises(errors.QuotaExceeded):
            self.pump()
        self.usage.used["storage"] = 1024
        self.refused(layer.upload, image, Upload([]))
        layer.upload(member(), image, Upload([], size=0))
        layer.stage(member(), image, Upload([], size=2000))

    def test_storage_that_others_filled_meanwhile(self):
        layer = self.layer(user_storage_quota="1KB")
        layer.upload(member(), Image(id="i", owner="p1"), Upload([b"x" * 100], size=100))
        self.usage.used["storage"] = 1000
        with self.assertRaises(errors.QuotaExceeded):
            self.pump()

    def test_another_copy_counts_again(self):
        layer = self.layer(user_storage_quota="100")
        image = Image(id="i", size=60, locations=[Location("file:///a", id=1)])
        self.refused(layer.update, image, Change(add_locations=(Location("file:///b"),)))

    def test_off_by_default(self):
        self.usage.used["storage"] = 10 ** 15
        self.layer().upload(member(), Image(id="i"), Upload([b"x"], size=1))
        self.assertEqual(1, self.pump())

    def test_an_image_that_takes_no_data_is_refused_for_that_below(self):
        layer = self.layer(image_size_cap=10)
        layer.upload(member(), Image(id="i", status="active"), Upload([], size=11))
        layer.stage(member(), Image(id="i", status="active"), Upload([], size=11))
        self.assertEqual(2, len(self.below.calls))


class UnifiedLimitsTest(QuotaCase):

    class Limits:
        full: tuple = ()

        def __init__(self):
            self.asked = []

        def check(self, ctx, deltas):
            self.asked.append(deltas)
            if set(deltas) & set(self.full):
                raise errors.QuotaExceeded()

    def test_each_verb_asks_for_its_resources(self):
        limits = self.Limits()
        layer = self.layer(limits)
        image = Image(id="i")
        layer.create(member(), image)
        layer.upload(member(), image, Upload([], size=5 * 1024 ** 2 + 1))
        layer.upload(member(), image, Upload([]))
        layer.stage(member(), image, Upload([], size=1024 ** 2))
        self.assertEqual([
            {"image_count_total": 1},
            {"image_size_total": 5, "image_count_uploading": 0},
            {"image_size_total": 0, "image_count_uploading": 0},
            {"image_stage_total": 1, "image_count_uploading": 0}], limits.asked)

    def test_refusal(self):
        limits = self.Limits()
        limits.full = ("image_count_uploading",)
        layer = self.layer(limits)
        self.refused(layer.upload, Image(id="i"), Upload([]))
        self.refused(layer.stage, Image(id="i"), Upload([]))

    def test_they_take_the_place_of_the_storage_quota(self):
        self.usage.used["storage"] = 100
        layer = self.layer(self.Limits(), user_storage_quota="1")
        layer.upload(member(), Image(id="i"), Upload([b"xx"], size=2))
        self.assertEqual(2, self.pump())
