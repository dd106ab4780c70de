"""The innermost layer: staging, downloads, deletion, and the order of record and data."""

from __future__ import annotations

import dataclasses
import types
import unittest

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import STAGE_HOST
from glance_py.domain.ports import Download, Upload
from glance_py.domain.quota import QuotaReservation
from glance_py.layers.attempt import AttemptRecorder
from glance_py.layers.download import Downloader
from glance_py.layers.location import LocationProxy
from glance_py.layers.staging import StagingFlow
from glance_py.settings import DataSettings, HostSettings, Settings
from glance_store_py import errors as store_errors
from tests.unit.layers.data_fakes import CTX, DataStores, Deleter, FakeImages, HeldClaims, Pending

STAGING = "os_glance_staging_store"
DATA = b"0123456789"


class ClaimRows:
    def __init__(self, generation: int | None = None) -> None:
        self.generation = generation

    def get(self, image_id):
        return (
            None if self.generation is None else types.SimpleNamespace(generation=self.generation)
        )


class StagingTest(unittest.TestCase):
    def setUp(self) -> None:
        self.records = FakeImages(Image("i"))
        self.claims, self.stores, self.deleter = HeldClaims(), DataStores(), Deleter()
        self.steps: list[str] = []

    def flow(self, self_url: str | None = None, generation: int | None = None) -> StagingFlow:
        recorder = AttemptRecorder(self.records, self.claims, self.deleter)
        return StagingFlow(recorder, self.claims, ClaimRows(generation), self.stores, self_url)

    def stage(self, self_url: str | None = None, **more) -> Image:
        upload = Upload(
            [DATA], on_step=lambda step, image: self.steps.append(f"{step} {image.status}"), **more
        )
        return self.flow(self_url).stage(CTX, self.records.image, upload)

    def test_states_and_what_is_recorded(self) -> None:
        reservation = QuotaReservation("p1", {"staging": 20})
        after = self.stage(size=10, reservation=reservation)
        first, last = self.records.changes
        self.assertEqual(
            ({"status": "uploading"}, {}, {"queued"}, reservation, "stage"),
            (
                first.fields, first.set_properties, first.expected, first.reservation,
                first.acquire.kind,
            ),
        )  # fmt: skip
        self.assertEqual(
            ({"size": 10}, {"uploading"}, "token", reservation, True, None),
            (
                last.fields, last.expected, last.holder, last.reservation, last.release.forget,
                last.release.task_id,
            ),
        )  # fmt: skip
        self.assertEqual(("uploading", 10), (after.status, after.size))
        self.assertEqual([("add", STAGING, "i", 10)], self.stores.calls)
        self.assertEqual(["uploading uploading"], self.steps)

    def test_the_worker_that_has_the_data_is_recorded(self) -> None:
        self.stage("http://here")
        self.assertEqual({STAGE_HOST: "http://here"}, self.records.changes[0].set_properties)

    def test_what_refused_data_left_is_replaced(self) -> None:
        self.records.image.locations = [Location("mem://fast/old")]
        self.records.image.os_hash_value = "old"
        self.stage()
        self.assertIsNone(self.records.changes[0].fields["os_hash_value"])
        self.assertEqual([("delete", ["mem://fast/old"], frozenset())], self.deleter.deleted)

    def test_a_status_in_which_nothing_is_staged(self) -> None:
        self.records.image.status = "active"
        with self.assertRaises(errors.InvalidTransition):
            self.stage()
        self.assertEqual([], self.records.changes)

    def test_a_failure_of_the_store(self) -> None:
        self.stores.errors[STAGING] = store_errors.StorageFull()
        with self.assertRaises(errors.StoreFull):
            self.stage()
        self.assertEqual("queued", self.records.image.status)
        self.assertEqual("queued queued", self.steps[-1])

    def test_a_failure_to_record_deletes_the_data(self) -> None:
        for error, raised in (
            (errors.StatusConflict("i"), errors.StatusConflict),
            (errors.ImageNotFound("i"), errors.ImageDeletedDuringUpload),
        ):
            self.setUp()
            self.records.answers = [None, error]
            with self.assertRaises(raised):
                self.stage()
            self.assertEqual(("delete_attempt", "i", STAGING), self.stores.calls[-1])

    def test_an_unknown_outcome_keeps_the_data(self) -> None:
        self.records.answers = [None, errors.OutcomeUnknown()]
        self.claims.resolved = errors.OutcomeUnknown()
        with self.assertRaises(errors.OutcomeUnknown):
            self.stage()
        self.assertTrue(self.claims.claim.outcome_unknown)
        self.assertEqual(1, len(self.stores.calls))
        self.assertEqual("uploading", self.records.image.status)

    def test_an_image_that_shows_that_it_was_recorded(self) -> None:
        for status in ("uploading", "importing", "active"):
            self.setUp()
            self.records.answers = [None, errors.OutcomeUnknown()]
            self.claims.resolved = Image("i", status=status, size=10)
            self.assertIs(self.claims.resolved, self.stage())
        for image in (Image("i", status="queued", size=10), Image("i", status="active", size=9)):
            self.setUp()
            self.records.answers = [None, errors.OutcomeUnknown()]
            self.claims.resolved = image
            with self.assertRaises(AssertionError):  # of the fake: it does not show it
                self.stage()

    def test_staged_data_of_all_attempts_is_deleted(self) -> None:
        for generation, names in ((None, ["i"]), (1, ["i"]), (3, ["i", "i.2", "i.3"])):
            self.setUp()
            self.flow(generation=generation).delete_staged("i")
            self.assertEqual(names, [name for _, name, store in self.stores.calls])


class DownloadTest(unittest.TestCase):
    def setUp(self) -> None:
        self.stores = DataStores()
        self.stores.data = {"mem://fast/i": DATA, "mem://slow/i": DATA}
        self.image = Image(
            "i",
            status="active",
            size=10,
            locations=[
                Location("mem://fast/i", {"store": "fast"}),
                Location("mem://slow/i", {"store": "slow"}),
            ],
        )

    def read(self, **request) -> bytes | None:
        data = Downloader(self.stores).download(CTX, self.image, Download(**request))
        if data is None:
            return None
        content = b"".join(data.chunks)
        self.assertEqual(len(content), data.length)
        return content

    def urls(self) -> list[str]:
        return [call[1] for call in self.stores.calls if call[0] == "get"]

    def test_the_store_with_the_greatest_weight(self) -> None:
        self.assertEqual(DATA, self.read())
        self.assertEqual(["mem://slow/i"], self.urls())

    def test_preferred_stores_come_first_in_their_order(self) -> None:
        self.assertEqual(DATA, self.read(prefer=("fast",)))
        self.stores.errors["mem://slow/i"] = store_errors.StoreTimeout(5)
        with self.assertLogs("glance_py.layers.download", "ERROR"):
            self.assertEqual(DATA, self.read(prefer=("slow", "fast")))
        self.assertEqual(["mem://fast/i", "mem://slow/i", "mem://fast/i"], self.urls())

    def test_preferred_stores_must_exist(self) -> None:
        with self.assertRaisesRegex(errors.Invalid, "no store 'other'"):
            self.read(prefer=("fast", "other"))
        self.stores.multi = False
        with self.assertRaisesRegex(errors.Invalid, "one store only"):
            self.read(prefer=("fast",))
        self.assertEqual([], self.urls())

    def test_a_range(self) -> None:
        self.assertEqual(b"234", self.read(start=2, stop=5))
        self.assertEqual(b"789", self.read(start=7))

    def test_a_queued_image_has_no_data(self) -> None:
        self.image.status = "queued"
        self.assertIsNone(self.read())
        self.assertEqual([], self.urls())

    def test_data_that_no_store_has_is_no_error(self) -> None:
        self.stores.data = {}
        with self.assertLogs("glance_py.layers.download", "ERROR"):
            self.assertIsNone(self.read())
        self.image.locations = []
        self.assertIsNone(self.read())

    def test_the_first_error_is_raised_when_no_store_answers(self) -> None:
        self.stores.errors["mem://slow/i"] = store_errors.StoreTimeout(5)
        del self.stores.data["mem://fast/i"]
        with (
            self.assertLogs("glance_py.layers.download", "ERROR"),
            self.assertRaises(errors.StoreUnavailable),
        ):
            self.read()

    def test_other_errors_are_raised_at_once(self) -> None:
        self.stores.errors["mem://slow/i"] = store_errors.StoreForbidden()
        with self.assertRaises(errors.Forbidden):
            self.read()
        self.assertEqual(["mem://slow/i"], self.urls())

    def test_a_copy_with_too_few_bytes_is_closed_and_the_next_is_read(self) -> None:
        self.stores.data["mem://slow/i"] = DATA[:9]
        with self.assertLogs("glance_py.layers.download", "ERROR"):
            self.assertEqual(DATA, self.read())
        self.assertIn(("close", "mem://slow/i"), self.stores.calls)
        self.stores.calls.clear()
        self.assertEqual(DATA[:9], self.read(stop=9))
        self.assertEqual(["mem://slow/i"], self.urls())

    def test_an_image_whose_size_is_not_known(self) -> None:
        self.image.size = None
        self.stores.data["mem://slow/i"] = DATA[:9]
        self.assertEqual(DATA[:9], self.read())


class ProxyTest(unittest.TestCase):
    def build(self, image: Image, delayed: bool = False, *answers: Exception | None) -> None:
        self.records = FakeImages(image, *answers)
        self.stores, self.deleter, self.pending = DataStores(), Deleter(), Pending()
        claims = HeldClaims()
        recorder = AttemptRecorder(self.records, claims, self.deleter)
        self.layer = LocationProxy(
            self.records,
            None,
            StagingFlow(recorder, claims, ClaimRows(), self.stores, None),
            Downloader(self.stores),
            self.deleter,
            self.pending,
            delayed,
        )

    def image(self, status: str = "active") -> Image:
        return Image(
            "i", status=status, locations=[Location("mem://fast/i"), Location("mem://slow/i")]
        )

    def test_resolve_and_get_read_the_record(self) -> None:
        self.build(self.image())
        self.assertIs(self.records.image, self.layer.resolve(CTX, "i"))
        self.assertEqual(self.records.get, self.layer.get)

    def test_a_change_without_removed_locations_is_only_recorded(self) -> None:
        self.build(self.image())
        change = ImageChange(fields={"name": "n"})
        self.layer.update(CTX, self.records.image, change)
        self.assertEqual(([change], []), (self.records.changes, self.deleter.deleted))

    def test_data_at_removed_locations_is_deleted_after_the_record(self) -> None:
        for status, delayed, deletes in (
            ("active", False, True),
            ("active", True, False),
            ("queued", True, True),
            ("queued", False, True),
        ):
            self.build(self.image(status), delayed)
            image = self.records.image
            change = ImageChange(remove_locations=(image.locations[0],))
            after = self.layer.update(CTX, image, change)
            self.assertEqual(["mem://slow/i"], [each.url for each in after.locations])
            [recorded] = self.records.changes
            self.assertEqual("pending_delete", recorded.remove_locations[0].status)
            expected = [("delete", ["mem://fast/i"], frozenset({"mem://slow/i"}))]
            self.assertEqual(expected if deletes else [], self.deleter.deleted, (status, delayed))

    def test_data_in_use_stays_with_its_record(self) -> None:
        self.build(self.image())
        self.deleter.in_use = True
        image = self.records.image
        with self.assertRaises(errors.ImageInUse):
            self.layer.update(CTX, image, ImageChange(remove_locations=(image.locations[0],)))
        self.assertEqual([("unmark", ["mem://fast/i"])], self.pending.log)

    def test_remove_copy_deletes_later_what_is_in_use(self) -> None:
        self.build(self.image())
        image = self.records.image
        self.deleter.in_use = True
        with self.assertLogs("glance_py.layers.location", "WARNING"):
            after = self.layer.remove_copy(
                CTX, image, image.locations[1], ImageChange(fields={"name": "n"})
            )
        self.assertEqual(("n", ["mem://fast/i"]), (after.name, [x.url for x in after.locations]))
        self.assertEqual([("delete", ["mem://slow/i"], frozenset({"mem://fast/i"}))],
                         self.deleter.deleted)  # fmt: skip

    def test_an_image_is_deleted_before_its_data(self) -> None:
        for status, delayed, record, deletes in (
            ("active", False, "deleted", True),
            ("active", True, "pending_delete", False),
            ("deactivated", True, "deleted", True),
        ):
            self.build(self.image(status), delayed)
            self.layer.delete(CTX, self.records.image)
            self.assertEqual([f"delete {record}"], self.records.changes)
            data = [("delete", ["mem://fast/i", "mem://slow/i"], ())]
            self.assertEqual(data if deletes else [], self.deleter.deleted, (status, delayed))
            self.assertEqual([], self.stores.calls)

    def test_an_image_without_data_is_deleted_at_once(self) -> None:
        self.build(Image("i", status="active"), True)
        self.layer.delete(CTX, self.records.image)
        self.assertEqual((["delete deleted"], []), (self.records.changes, self.deleter.deleted))

    def test_staged_data_is_deleted_with_its_image(self) -> None:
        for status in ("uploading", "importing"):
            self.build(Image("i", status=status))
            self.layer.delete(CTX, self.records.image)
            self.assertEqual([("delete_attempt", "i", STAGING)], self.stores.calls)

    def test_an_image_whose_data_is_in_use_comes_back(self) -> None:
        self.build(self.image())
        self.deleter.in_use = True
        with self.assertRaises(errors.ImageInUse):
            self.layer.delete(CTX, self.records.image)
        self.assertEqual([("restore", "active", "deleted")], self.pending.log)

    def test_a_deleted_image_is_not_deleted(self) -> None:
        self.build(self.image("deleted"))
        with self.assertRaises(errors.InvalidTransition):
            self.layer.delete(CTX, self.records.image)
        self.assertEqual([], self.records.changes)

    def test_set_status(self) -> None:
        for status, to in (("active", "deactivated"), ("deactivated", "active")):
            self.build(self.image(status))
            self.assertEqual(to, self.layer.set_status(CTX, self.records.image, to).status)
            self.assertEqual({status}, self.records.changes[0].expected)
            self.layer.set_status(CTX, self.records.image, to)
            self.assertEqual(1, len(self.records.changes))
        for status, to in (("queued", "active"), ("active", "killed"), ("saving", "deactivated")):
            self.build(self.image(status))
            with self.assertRaises(errors.Forbidden):
                self.layer.set_status(CTX, self.records.image, to)
            self.assertEqual([], self.records.changes)

    def test_build_takes_the_settings(self) -> None:
        stores = DataStores()
        deps = types.SimpleNamespace(
            stores=stores,
            claims=HeldClaims(),
            settings=Settings(
                data=DataSettings(delayed_delete=True, hashing_algorithm="sha256"),
                host=HostSettings(worker_self_reference_url="http://me"),
            ),
            repositories=types.SimpleNamespace(pending=Pending(), claims=ClaimRows()),
        )
        image = Image("i", disk_format="raw", container_format="bare")
        records = FakeImages(image)
        layer = LocationProxy.build(records, deps)
        active = layer.upload(CTX, image, Upload([DATA]))
        self.assertEqual(("active", "sha256"), (active.status, active.os_hash_algo))
        self.assertEqual(DATA, next(layer.download(CTX, active, Download()).chunks))
        layer.delete(CTX, active)
        self.assertEqual("delete pending_delete", records.changes[-1])
        queued = dataclasses.replace(image, status="queued", locations=[])
        records.image = queued
        layer.stage(CTX, queued, Upload([DATA]))
        self.assertEqual("http://me", records.image.properties[STAGE_HOST])


if __name__ == "__main__":
    unittest.main()
