"""Uploads: which states the image has, what is recorded, and what is left after a failure."""

from __future__ import annotations

import contextlib
import hashlib
import unittest
from unittest import mock

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.ports import Upload
from glance_py.domain.quota import QuotaReservation
from glance_py.layers.attempt import AttemptRecorder, failure_message
from glance_py.layers.upload import UploadFlow
from glance_py.settings import FormatSettings
from glance_store_py import errors as store_errors
from tests.unit.layers.data_fakes import CTX, DataStores, Deleter, FakeImages, HeldClaims, Pending

DATA = b"0123456789"
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
SHA = hashlib.sha256(DATA).hexdigest()


class UploadCase(unittest.TestCase):
    def setUp(self) -> None:
        self.image = Image("i", disk_format="raw", container_format="bare", owner="p1")
        self.claims, self.stores = HeldClaims(), DataStores()
        self.deleter, self.pending = Deleter(), Pending()
        self.steps: list[str] = []
        self.failures: list[str] = []
        self.records = FakeImages(self.image)

    def flow(self) -> UploadFlow:
        recorder = AttemptRecorder(self.records, self.claims, self.deleter)
        return UploadFlow(
            recorder, self.claims, self.stores, self.deleter, self.pending, "sha256",
            FormatSettings(),
        )  # fmt: skip

    def data(self, **more) -> Upload:
        return Upload(
            [DATA[:4], DATA[4:]],
            on_step=lambda step, image: self.steps.append(f"{step} {image.status}"),
            on_failure=self.failures.append,
            **more,
        )

    def upload(self, **more) -> Image:
        return self.flow().upload(CTX, self.records.image, self.data(**more))


class SuccessTest(UploadCase):
    def test_states_steps_and_what_is_recorded(self) -> None:
        reservation = QuotaReservation("p1", {"storage": 20}, reserve=10)
        after = self.upload(size=10, reservation=reservation)
        self.assertEqual(
            ["saving saving", "prepare saving", "upload active", "activate active",
             "active active"],
            self.steps,
        )  # fmt: skip
        first, last = self.records.changes
        self.assertEqual(
            ({"status": "saving"}, {"queued"}, reservation, "upload", None),
            (first.fields, first.expected, first.reservation, first.acquire.kind, first.holder),
        )
        self.assertEqual(({"saving"}, "token", None), (last.expected, last.holder, last.release))
        self.assertEqual(
            ("active", 10, 10, MD5, "sha256", SHA),
            (
                after.status, after.size, after.virtual_size, after.checksum,
                after.os_hash_algo, after.os_hash_value,
            ),
        )  # fmt: skip
        self.assertEqual([Location("mem://fast/i", {"store": "fast"})], after.locations)
        self.assertEqual([("add", "fast", "i", 10)], self.stores.calls)
        self.assertEqual(["release later", "let go"], self.claims.log)
        self.assertFalse(self.claims.claim.may_leave_objects)
        self.assertEqual(([], [], []), (self.failures, self.deleter.deleted, self.pending.added))

    def test_the_store_that_the_client_named(self) -> None:
        self.upload(store="slow")
        self.assertEqual([("add", "slow", "i", None)], self.stores.calls)

    def test_a_single_store_takes_all_names(self) -> None:
        self.stores = DataStores(multi=False)
        self.assertEqual({}, self.upload(store="other").locations[0].metadata)

    def test_the_algorithm_of_an_image_that_has_one(self) -> None:
        self.records.image.os_hash_algo = "sha512"
        self.assertEqual(hashlib.sha512(DATA).hexdigest(), self.upload().os_hash_value)

    def test_what_refused_data_left_is_replaced(self) -> None:
        self.records.image.locations = [Location("mem://fast/old", id=7)]
        self.records.image.checksum = "old"
        self.upload()
        first = self.records.changes[0]
        self.assertEqual(
            {"status": "saving", "checksum": None, "os_hash_algo": None, "os_hash_value": None},
            first.fields,
        )
        self.assertEqual(
            [("mem://fast/old", 7, "pending_delete")],
            [(each.url, each.id, each.status) for each in first.remove_locations],
        )
        self.assertEqual([("delete", ["mem://fast/old"], frozenset())], self.deleter.deleted)

    def test_refused_data_that_is_in_use_does_not_stop_an_upload(self) -> None:
        self.records.image.locations = [Location("mem://fast/old")]
        self.deleter.in_use = True
        with self.assertLogs("glance_py.layers.attempt", "WARNING"):
            self.assertEqual("active", self.upload().status)


class RefusalTest(UploadCase):
    def test_before_anything_is_changed(self) -> None:
        for expected, changes, more in (
            (errors.Invalid, {}, {"store": "other"}),
            (errors.Invalid, {"disk_format": None}, {}),
            (errors.InvalidTransition, {"status": "active"}, {}),
        ):
            self.setUp()
            for name, value in changes.items():
                setattr(self.records.image, name, value)
            with self.assertRaises(expected):
                self.upload(**more)
            self.assertEqual(([], []), (self.records.changes, self.stores.calls))

    def test_a_claim_that_is_held_by_another(self) -> None:
        self.records.answers = [errors.ImageBusy("i")]
        with self.assertRaises(errors.ImageBusy):
            self.upload()
        self.assertEqual([], self.stores.calls)


class FailureTest(UploadCase):
    def assert_queued_again(self) -> None:
        last = self.records.changes[-1]
        self.assertEqual(("queued", {"saving"}), (last.fields["status"], set(last.expected)))
        self.assertIsNone(last.fields["size"])
        self.assertIsNone(last.fields["virtual_size"])
        self.assertEqual("token", last.holder)
        self.assertIsNotNone(last.release)
        self.assertEqual("queued queued", self.steps[-1])

    def test_the_store_fails(self) -> None:
        self.stores.errors["fast"] = store_errors.StorageFull()
        with self.assertRaises(errors.StoreFull) as raised:
            self.upload()
        self.assert_queued_again()
        self.assertEqual([str(raised.exception)], self.failures)
        self.assertEqual([], self.pending.added)
        self.assertTrue(self.claims.claim.may_leave_objects)
        self.assertEqual(["let go"], self.claims.log)

    def test_a_store_that_did_not_answer_may_have_kept_the_data(self) -> None:
        self.stores.errors["fast"] = store_errors.StoreTimeout(5)
        with self.assertRaises(errors.StoreUnavailable):
            self.upload()
        self.assertEqual([("i", Location("mem://fast/i", {"store": "fast"}))], self.pending.added)
        self.assert_queued_again()

    def test_leftovers_that_cannot_be_recorded_are_logged(self) -> None:
        for key, error in (
            ("predict fast", store_errors.StoreTimeout(5)),
            (None, errors.DatabaseUnavailable()),
        ):
            self.setUp()
            self.stores.errors["fast"] = store_errors.StoreTimeout(5)
            if key is None:
                self.pending.error = error
            else:
                self.stores.errors[key] = error
            with (
                self.assertLogs("glance_py.layers.upload", "WARNING") as logs,
                self.assertRaises(errors.StoreUnavailable),
            ):
                self.upload()
            self.assertIn("Store fast may have kept data of image i", logs.output[0])

    def test_an_error_of_the_program_is_not_announced_to_others(self) -> None:
        self.stores.errors["fast"] = ZeroDivisionError("secret")
        with self.assertRaises(ZeroDivisionError):
            self.upload()
        self.assertEqual(["The data could not be stored."], self.failures)
        self.assertEqual("The request is not valid.", failure_message(errors.Invalid()))
        self.assert_queued_again()

    def test_data_of_a_wrong_format_leaves_its_digests(self) -> None:
        self.records.image.disk_format = "qcow2"
        with self.assertRaises(errors.InvalidImageFormat):
            self.upload()
        last = self.records.changes[-1]
        self.assertEqual(
            (MD5, "sha256", SHA, "queued"),
            tuple(
                last.fields[name]
                for name in ("checksum", "os_hash_algo", "os_hash_value", "status")
            ),
        )
        self.assertEqual((Location("mem://fast/i", {"store": "fast"}),), last.add_locations)

    def test_a_store_that_cannot_predict_leaves_the_digests_alone(self) -> None:
        self.records.image.disk_format = "qcow2"
        self.stores.errors["predict fast"] = store_errors.StoreInvalidInput()
        with self.assertRaises(errors.InvalidImageFormat):
            self.upload()
        self.assertEqual((), self.records.changes[-1].add_locations)
        self.assertEqual(MD5, self.records.changes[-1].fields["checksum"])

    def test_an_image_that_was_deleted_meanwhile(self) -> None:
        self.records.answers = [None, errors.ImageNotFound("i"), errors.ImageNotFound("i")]
        with self.assertRaises(errors.ImageDeletedDuringUpload):
            self.upload()
        self.assertEqual([("unrecorded", "mem://fast/i")], self.deleter.deleted)
        self.assertEqual(["release", "let go"], self.claims.log)
        self.assertNotIn("queued", " ".join(self.steps))

    def test_a_conflict_when_it_is_recorded(self) -> None:
        self.records.answers = [None, errors.StatusConflict("i")]
        with self.assertRaises(errors.StatusConflict):
            self.upload()
        self.assertEqual([("unrecorded", "mem://fast/i")], self.deleter.deleted)
        self.assert_queued_again()

    def test_errors_of_the_reset_are_logged_and_the_first_error_is_raised(self) -> None:
        for error, level in (
            (errors.ClaimLost("i"), "WARNING"),
            (errors.DatabaseUnavailable(), "ERROR"),
        ):
            self.setUp()
            self.records.answers = [None, errors.StatusConflict("i"), error]
            with (
                self.assertLogs("glance_py.layers.attempt", level) as logs,
                self.assertRaises(errors.StatusConflict),
            ):
                self.upload()
            self.assertEqual(level, logs.records[0].levelname)


class UnknownOutcomeTest(UploadCase):
    def test_a_change_that_was_applied_is_found(self) -> None:
        self.records.answers = [None, errors.OutcomeUnknown()]
        self.claims.resolved = Image("i", status="active", locations=[Location("mem://fast/i")])
        self.assertIs(self.claims.resolved, self.upload())
        self.assertEqual([], self.failures)

    def test_a_change_that_was_not_applied_is_sent_again_under_the_new_token(self) -> None:
        self.records.answers = [None, errors.OutcomeUnknown(), errors.OutcomeUnknown()]
        self.assertEqual("active", self.upload().status)
        self.assertEqual(
            ["token", "token'", "token''"], [each.holder for each in self.records.changes[1:]]
        )

    def test_after_three_times_the_database_is_unavailable(self) -> None:
        self.records.answers = [None, *[errors.OutcomeUnknown()] * 3]
        with self.assertRaises(errors.DatabaseUnavailable) as raised:
            self.upload()
        self.assertNotIsInstance(raised.exception, errors.OutcomeUnknown)
        self.assertEqual([("unrecorded", "mem://fast/i")], self.deleter.deleted)

    def test_a_lost_claim_is_no_unknown_outcome(self) -> None:
        self.records.answers = [None, errors.OutcomeUnknown()]
        self.claims.loses = True
        with self.assertRaises(errors.ClaimLost):
            self.upload()
        self.assertEqual([("unrecorded", "mem://fast/i")], self.deleter.deleted)
        self.assertEqual(2, len(self.records.changes))  # the image is recovery's

    def test_what_cannot_be_found_out_is_left_to_recovery(self) -> None:
        self.records.answers = [None, errors.OutcomeUnknown()]
        self.claims.resolved = errors.OutcomeUnknown()
        with (
            self.assertLogs("glance_py.layers.upload", "ERROR"),
            self.assertRaises(errors.OutcomeUnknown),
        ):
            self.upload()
        self.assertTrue(self.claims.claim.outcome_unknown)
        self.assertEqual([], self.deleter.deleted)
        self.assertEqual(2, len(self.records.changes))


class CopyTest(UploadCase):
    def copy(self, before: Image, change: ImageChange, **more) -> Image:
        self.records.image = before
        upload = self.data(**more)
        with self.claims.hold("i", mock.Mock(generation=2, staged=1), self.claims.request("copy")):
            upload.attempt.claim = self.claims.claim
            return self.flow().add_copy(
                CTX, before, upload, lambda: contextlib.nullcontext((before, change))
            )

    def test_a_copy_is_recorded_with_the_change(self) -> None:
        before = Image(
            "i", status="importing", disk_format="raw", container_format="bare", checksum=MD5
        )
        after = self.copy(
            before, ImageChange(fields={"status": "active", "size": 99}), store="slow"
        )
        self.assertEqual(("active", 99), (after.status, after.size))
        self.assertEqual(["mem://slow/i.2"], [location.url for location in after.locations])
        self.assertEqual(
            ["prepare importing", "upload active", "activate active", "active active"], self.steps
        )

    def test_a_copy_that_changes_no_status(self) -> None:
        before = Image("i", status="active", disk_format="raw", container_format="bare")
        self.copy(before, ImageChange())
        self.assertEqual(["prepare active", "upload active", "active active"], self.steps)

    def test_other_data_than_the_image_has(self) -> None:
        for name in ("checksum", "os_hash_value"):
            self.setUp()
            before = Image("i", status="active", disk_format="raw", container_format="bare")
            setattr(before, name, "other")
            with self.assertRaisesRegex(errors.Invalid, "differs from the data"):
                self.copy(before, ImageChange())
            self.assertEqual([("unrecorded", "mem://fast/i.2")], self.deleter.deleted)
            self.assertEqual(1, len(self.failures))
            self.assertEqual([], self.records.changes)

    def test_a_refused_format_of_a_copy_keeps_no_digests(self) -> None:
        before = Image("i", status="active", disk_format="qcow2", container_format="bare")
        with self.assertRaises(errors.InvalidImageFormat) as raised:
            self.copy(before, ImageChange())
        self.assertIsNone(raised.exception.digests)

    def test_without_a_claim_nothing_is_stored(self) -> None:
        with self.assertRaises(RuntimeError):
            self.flow().add_copy(CTX, self.image, self.data(), mock.Mock())
        self.assertEqual([], self.stores.calls)


if __name__ == "__main__":
    unittest.main()
