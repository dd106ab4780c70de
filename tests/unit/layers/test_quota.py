"""The quota layers: what counts, and when a size is refused."""

import unittest

from glance_py import streams
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.member import Member
from glance_py.domain.ports import Upload, UploadAttempt
from glance_py.domain.quota import MIB
from glance_py.domain.quota import QuotaReservation as Reserved
from glance_py.layers.quota import MemberQuotaProxy, QuotaProxy
from tests.unit.factories import make_conf, make_member
from tests.unit.layers.fake import Claim, Images, Members, deps


class QuotaCase(unittest.TestCase):
    def setUp(self):
        self.inner = Images()

    def layer(self, limits=None, **values):
        return QuotaProxy.build(self.inner, deps(conf=make_conf(**values), limits=limits))

    def refused(self, act, *arguments, error=errors.QuotaExceeded):
        before = len(self.inner.calls)
        with self.assertRaises(error):
            act(make_member(), *arguments)
        self.assertEqual(before, len(self.inner.calls))

    def pump(self):
        """Let the upload that arrived below run dry."""
        upload = next(
            call[2] for call in reversed(self.inner.calls) if call[0] in ("upload", "stage")
        )
        return sum(len(chunk) for chunk in streams.filtered(upload.source, upload.filters))


class CountsTest(QuotaCase):
    def test_properties(self):
        layer = self.layer(image_property_quota=3)
        full = {"p0": "", "p1": "", "p2": ""}
        image = Image(id="i", properties=full)
        layer.create(make_member(), image)
        self.refused(layer.create, Image(id="i", properties={**full, "p3": ""}))
        layer.create(make_member(), Image(id="i", properties={**full, "os_glance_import_task": ""}))
        self.refused(layer.update, image, ImageChange(set_properties={"p3": ""}))
        layer.update(make_member(), image, ImageChange(set_properties={"p1": "x"}))
        layer.update(
            make_member(), image, ImageChange(set_properties={"p3": ""}, remove_properties={"p1"})
        )

    def test_a_lowered_quota_does_not_freeze_an_image(self):
        layer = self.layer(image_property_quota=1, image_tag_quota=1)
        image = Image(id="i", properties={"a": "", "b": ""}, tags=["x", "y"])
        layer.update(make_member(), image, ImageChange(set_properties={"a": "new"}))
        layer.update(make_member(), image, ImageChange(add_tags=("x",)))
        layer.update(make_member(), image, ImageChange(remove_tags=("y",)))

    def test_tags(self):
        layer = self.layer(image_tag_quota=2)
        self.refused(layer.create, Image(id="i", tags=["a", "b", "b"]))
        image = Image(id="i", tags=["a", "b"])
        layer.create(make_member(), image)
        self.refused(layer.update, image, ImageChange(add_tags=("c",)))
        self.refused(layer.update, image, ImageChange(tags=["x", "y", "z"]))
        layer.update(make_member(), image, ImageChange(add_tags=("c",), remove_tags=("a",)))

    def test_locations(self):
        layer = self.layer(image_location_quota=1)
        there, more = Location("file:///a", id=1), Location("file:///b")
        image = Image(id="i", locations=[there])
        self.refused(layer.update, image, ImageChange(add_locations=(more,)))
        layer.update(
            make_member(), image, ImageChange(add_locations=(more,), remove_locations=(there,))
        )

    def test_a_negative_quota_is_none(self):
        layer = self.layer(image_property_quota=-1, image_tag_quota=-1, image_location_quota=-1)
        layer.create(
            make_member(), Image(id="i", tags=["t"] * 500, properties=dict.fromkeys("ab", ""))
        )

    def test_members(self):
        image = Image(id="i")
        build = MemberQuotaProxy.build
        layer = build(Members(Member("i", "p2")), deps(conf=make_conf(image_member_quota=2)))
        layer.create(make_member(), image, "p3")
        for project in ("p4", "p2"):
            with self.assertRaises(errors.QuotaExceeded):
                layer.create(make_member(), image, project)
        inner = Members()
        self.assertIs(inner, build(inner, deps(conf=make_conf(image_member_quota=-1))))


class SizesTest(QuotaCase):
    def test_cap(self):
        layer = self.layer(image_size_cap=10)
        image = Image(id="i")
        for operation in (layer.upload, layer.stage):
            self.refused(operation, image, Upload([], size=11), error=errors.ImageTooLarge)
            operation(make_member(), image, Upload([b"x" * 10], size=10))
            self.assertEqual(10, self.pump())
            for size in (None, 10):
                operation(make_member(), image, Upload([b"x" * 6, b"x" * 6], size=size))
                with self.assertRaises(errors.ImageTooLarge):
                    self.pump()

    def test_storage_is_claimed_before_the_first_byte(self):
        layer = self.layer(user_storage_quota="1KB")
        image = Image(id="i", owner="p1")
        layer.upload(make_member(), image, Upload([b"x" * 24], size=24))
        self.assertEqual(
            Reserved("p1", {"storage": 1024}, reserve=24), self.inner.calls[-1][2].reservation
        )
        self.assertEqual(24, self.pump())
        self.assertEqual(["upload"], self.inner.operations)
        layer.stage(make_member(), image, Upload([], size=2000))
        self.assertIsNone(self.inner.calls[-1][2].reservation)

    def test_what_was_not_announced_is_claimed_while_it_comes(self):
        self.inner = Project(room=10 * MIB)
        layer = self.layer(user_storage_quota="1TB")
        layer.upload(make_member(), Image(id="i", owner="p1"), Upload([b"x" * MIB] * 10))
        self.assertEqual(1, self.inner.calls[-1][2].reservation.reserve)
        self.assertEqual(10 * MIB, self.pump())
        self.assertEqual(10 * MIB, self.inner.held)
        self.inner.held = 0
        layer.upload(make_member(), Image(id="i", owner="p1"), Upload([b"x" * MIB] * 10 + [b"x"]))
        with self.assertRaises(errors.QuotaExceeded):
            self.pump()
        self.assertEqual(10 * MIB, self.inner.held)

    def test_a_large_upload_does_not_claim_for_every_chunk(self):
        self.inner = Project(room=MIB**2)
        layer = self.layer(user_storage_quota="2TB")
        layer.upload(make_member(), Image(id="i", owner="p1"), Upload([bytes(MIB // 4)] * 4000))
        self.pump()
        self.assertLess(self.inner.operations.count("update"), 60)
        self.assertLess(self.inner.held, 1.2 * 1000 * MIB)

    def test_more_than_was_announced_is_claimed_too(self):
        self.inner = Project(room=25)
        layer = self.layer(user_storage_quota="1TB")
        layer.upload(
            make_member(), Image(id="i", owner="p1"), Upload([b"x" * 20, b"x" * 6], size=10)
        )
        with self.assertRaises(errors.QuotaExceeded):
            self.pump()

    def test_an_image_that_went_away_gets_no_room(self):
        class Gone(Images):
            def update(self, ctx, image, change):
                raise errors.ImageNotFound(image.id)

        self.inner = Gone()
        layer = self.layer(user_storage_quota="1TB")
        layer.upload(make_member(), Image(id="i", owner="p1"), Upload([b"xx"]))
        with self.assertRaises(errors.ImageDeletedDuringUpload):
            self.pump()

    def test_another_copy_counts_again(self):
        layer = self.layer(user_storage_quota="100")
        image = Image(id="i", owner="p1", size=60, locations=[Location("file:///a", id=1)])
        layer.update(make_member(), image, ImageChange(add_locations=(Location("file:///b"),)))
        self.assertEqual(Reserved("p1", {"storage": 100}), self.inner.calls[-1][2].reservation)

    def test_a_copy_that_an_import_makes_is_claimed_first(self):
        layer = self.layer(user_storage_quota="100")
        image = Image(id="i", owner="p1", status="importing")
        layer.add_copy(
            make_member(), image, Upload([b"x" * 60], size=60, attempt=UploadAttempt(Claim())), None
        )
        self.assertEqual(["update", "add_copy"], self.inner.operations)
        self.assertEqual(
            Reserved("p1", {"storage": 100}, reserve=60), self.inner.calls[0][2].reservation
        )

    def test_number_of_images(self):
        layer = self.layer(image_count_quota=3)
        layer.create(make_member(), Image(id="i", owner="p1"))
        self.assertEqual(Reserved("p1", {"images": 3}), self.inner.calls[-1][2])
        self.layer().create(make_member(), Image(id="i", owner="p1"))
        self.assertIsNone(self.inner.calls[-1][2])

    def test_off_by_default(self):
        self.layer().upload(make_member(), Image(id="i"), Upload([b"x"], size=1))
        self.assertEqual(1, self.pump())

    def test_an_image_that_takes_no_data_is_refused_for_that_below(self):
        layer = self.layer(image_size_cap=10)
        layer.upload(make_member(), Image(id="i", status="active"), Upload([], size=11))
        layer.stage(make_member(), Image(id="i", status="active"), Upload([], size=11))
        self.assertEqual(2, len(self.inner.calls))


class Project(Images):
    """A project with ``room`` bytes of which one image holds some."""

    def __init__(self, room):
        super().__init__()
        self.room = room
        self.held = 0

    def update(self, ctx, image, change):
        self.calls.append(("update", image, change))
        beyond = max(0, change.reservation.limits["storage"] - self.limit)
        if change.reservation.reserve > self.room + beyond:
            raise errors.QuotaExceeded()
        self.held = change.reservation.reserve

    limit = 1024**4 * 2


class UnifiedLimitsTest(QuotaCase):
    class Limits:
        def __init__(self, **limits):
            self.asked = []
            self.limits = limits

        def check(self, project, deltas):
            self.asked.append((project, deltas))
            if "full" in self.limits:
                raise errors.QuotaExceeded()
            return dict(self.limits)

    def test_each_verb_asks_for_its_resources(self):
        limits = self.Limits()
        layer = self.layer(limits)
        image = Image(id="i", owner="p1")
        layer.create(make_member("p2"), image)
        layer.upload(make_member("p2"), image, Upload([], size=5))
        layer.upload(make_member("p2"), image, Upload([]))
        layer.stage(make_member("p2"), image, Upload([], size=1024))
        layer.add_copy(
            make_member("p2"), image, Upload([], size=7, attempt=UploadAttempt(Claim())), None
        )
        self.assertEqual(
            [
                ("p1", {"image_count_total": 1}),
                ("p1", {"image_size_total": 5, "image_count_uploading": 1}),
                ("p1", {"image_size_total": 0, "image_count_uploading": 1}),
                ("p1", {"image_stage_total": 1024, "image_count_uploading": 1}),
                ("p1", {"image_size_total": 0}),
            ],
            limits.asked,
        )

    def test_what_is_claimed(self):
        layer = self.layer(self.Limits(storage=100, uploading=2), image_count_quota=9)
        image = Image(id="i", owner="p1")
        layer.upload(make_member(), image, Upload([], size=5))
        self.assertEqual(
            Reserved("p1", {"storage": 100, "uploading": 2}, reserve=5),
            self.inner.calls[-1][2].reservation,
        )
        layer = self.layer(self.Limits(uploading=2))
        layer.upload(make_member(), image, Upload([], size=5))
        self.assertEqual(Reserved("p1", {"uploading": 2}), self.inner.calls[-1][2].reservation)
        for most, claimed in ((4, 4), (20, 9)):
            layer = self.layer(self.Limits(images=most), image_count_quota=9)
            layer.create(make_member(), image)
            self.assertEqual(Reserved("p1", {"images": claimed}), self.inner.calls[-1][2])

    def test_staging(self):
        layer = self.layer(self.Limits(staging=100, uploading=2))
        for size, most in ((5, {"staging": 100, "uploading": 2}), (None, {"uploading": 2})):
            layer.stage(make_member(), Image(id="i", owner="p1"), Upload([], size=size))
            self.assertEqual(Reserved("p1", most), self.inner.calls[-1][2].reservation)

    def test_refusal(self):
        layer = self.layer(self.Limits(full=0))
        self.refused(layer.upload, Image(id="i"), Upload([]))
        self.refused(layer.stage, Image(id="i"), Upload([]))

    def test_one_upload_that_was_not_announced_may_exceed_the_limit(self):
        self.inner = Project(room=MIB)
        layer = self.layer(self.Limits(storage=Project.limit, uploading=2))
        layer.upload(make_member(), Image(id="i", owner="p1"), Upload([b"x" * MIB] * 3))
        self.assertEqual(0, self.inner.calls[-1][2].reservation.reserve)
        self.assertEqual(3 * MIB, self.pump())
        self.assertEqual(2 * MIB, self.inner.held)

    def test_they_take_the_place_of_the_storage_quota(self):
        layer = self.layer(self.Limits(), user_storage_quota="1")
        layer.upload(make_member(), Image(id="i"), Upload([b"xx"], size=2))
        self.assertEqual(2, self.pump())
        self.assertIsNone(self.inner.calls[-1][2].reservation)
