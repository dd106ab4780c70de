"""Adding locations of data that is in a store already, over records in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import unittest

from glance_py.domain import errors
from glance_py.domain.registration import Registration
from glance_py.domain.task import Task
from glance_py.importing.location_import import LocationImportProxy, recover
from glance_py.settings import DataSettings, Settings
from glance_store_py import errors as store_errors
from tests.unit.importing.fakes import CALLER, ID, World

URL = "memory://one/there"
HASH = hashlib.sha256(b"data").hexdigest()


class LocationImportCase(unittest.TestCase):
    def setUp(self) -> None:
        self.make()

    def make(self, **data: object) -> None:
        self.world = World(self, Settings(data=DataSettings(**data)))
        self.layer = LocationImportProxy(self.world.internal, self.world.deps)
        self.world.stores.objects[URL] = b"data"

    def add(self, value: str | None = None, algorithm: str = "sha256") -> None:
        registration = Registration(URL, algorithm if value else None, value)
        self.layer.add_location(CALLER, self.world.now(), registration)

    def run_task(self) -> tuple[str, str]:
        """Do the work; status and message of the task."""
        self.world.executor.run_all()
        self.assertTrue(self.world.claims.is_idle)
        return self.world.task.status, self.world.task.message


class AddTest(LocationImportCase):
    def test_the_task(self) -> None:
        self.world.image()
        self.add("ab")
        task = self.world.task
        self.assertEqual(
            ("location_import", "processing", "p", ID, "u", "req-1"),
            (task.type, task.status, task.owner, task.image_id, task.user_id, task.request_id),
        )
        self.assertEqual(
            {
                "image_id": ID,
                "loc_url": URL,
                "validation_data": {"os_hash_algo": "sha256", "os_hash_value": "ab"},
            },
            task.input,
        )
        self.assertEqual(task.id, self.world.now().properties["os_glance_import_task"])

    def test_without_a_hash(self) -> None:
        """The image is active before its hashes are known."""
        self.world.image("queued", ("two",), checksum="of refused data")
        self.add()
        self.assertEqual({}, self.world.task.input["validation_data"])
        self.assertEqual(("success", ""), self.run_task())
        after = self.world.now()
        self.assertEqual(("active", 4), (after.status, after.size))
        self.assertEqual([URL], [location.url for location in after.locations])
        self.assertEqual(
            ("sha512", hashlib.sha512(b"data").hexdigest()),
            (after.os_hash_algo, after.os_hash_value),
        )
        self.assertEqual({"image_id": ID}, self.world.task.result)
        self.assertEqual([], self.world.claim_records.held())

    def test_with_the_right_hash(self) -> None:
        self.world.image()
        self.add(HASH)
        self.assertEqual("success", self.run_task()[0])
        after = self.world.now()
        self.assertEqual(
            ("active", 4, "sha256", HASH),
            (after.status, after.size, after.os_hash_algo, after.os_hash_value),
        )
        statuses = [change.fields.get("status") for change in self.world.images.changes]
        self.assertEqual([None, "importing", "active"], statuses)

    def test_with_a_wrong_hash(self) -> None:
        self.world.image()
        self.add("0" * 64)
        self.assertEqual(
            ("failure", "The sha256 of the data is not the one that was given."), self.run_task()
        )
        after = self.world.now()
        self.assertEqual(("queued", [], None), (after.status, after.locations, after.os_hash_value))
        self.assertEqual([], self.world.claim_records.held())

    def test_wrong_data_in_a_read_only_store(self) -> None:
        """wire: its location stays on the image, until other data is there."""
        self.world.stores.read_only = {"one"}
        self.layer = LocationImportProxy(self.world.internal, self.world.deps)
        for stores, urls in (((), [URL]), (("two",), [f"memory://two/{ID}"])):
            self.world.image("queued", stores)
            self.world.tasks.tasks.clear()
            self.add("0" * 64)
            self.run_task()
            self.assertEqual(urls, [location.url for location in self.world.now().locations])

    def test_a_service_without_hashes(self) -> None:
        for value, found in ((None, (None, None)), ("00", ("sha256", "00"))):
            self.make(do_secure_hash=False)
            self.world.image()
            self.add(value)
            self.assertEqual("success", self.run_task()[0])
            after = self.world.now()
            self.assertEqual(
                ("active", found), (after.status, (after.os_hash_algo, after.os_hash_value))
            )

    def test_data_that_cannot_be_used(self) -> None:
        self.world.image()
        del self.world.stores.objects[URL]
        self.add()
        status, message = self.run_task()
        self.assertEqual("failure", status)
        self.assertIn("cannot be read", message)
        self.assertEqual("queued", self.world.now().status)

    def test_an_image_without_formats(self) -> None:
        self.world.image()
        self.world.images.images[ID].disk_format = None
        self.add()
        self.assertEqual(("failure", "queued"), (self.run_task()[0], self.world.now().status))

    def test_another_status(self) -> None:
        self.world.image("active")
        self.assertRaises(errors.StatusConflict, self.add)
        self.assertEqual({}, self.world.tasks.tasks)

    def test_another_attempt(self) -> None:
        self.world.image()
        self.world.hold()
        self.assertRaises(errors.ImportActive, self.add)

    def test_the_lock_of_processes_that_do_not_know_claims(self) -> None:
        for status, refused in (
            ("pending", True),
            ("processing", True),
            ("failure", False),
            (None, False),
        ):
            self.make()
            self.world.image(properties={"os_glance_import_task": "t"})
            if status is not None:
                self.world.tasks.tasks["t"] = Task("t", "x", "p", status=status)
            with self.subTest(status):
                if refused:
                    self.assertRaises(errors.ImportActive, self.add)
                else:
                    self.add()
                    self.assertEqual("t", self.world.images.changes[0].acquire.replaces)

    def test_a_task_that_cannot_be_recorded(self) -> None:
        for error, is_held in (
            (errors.DatabaseUnavailable(), True),
            (errors.Duplicate("x"), False),
        ):
            self.make()
            self.world.image()
            self.world.tasks.fail_start = error
            self.assertRaises(type(error), self.add)
            self.assertEqual(is_held, bool(self.world.claim_records.held()))
            self.assertTrue(self.world.claims.is_idle)


class InterruptionTest(LocationImportCase):
    """The image or the claim changes while data is read."""

    def while_reading(self, act) -> None:
        real = self.world.stores.get

        def get(*args, **more):
            self.world.heartbeat.beat()
            act()
            self.world.heartbeat.beat()
            return real(*args, **more)

        self.world.stores.get = get

    def set_status(self, status: str) -> None:
        self.world.images.images[ID].status = status

    def test_a_deleted_image(self) -> None:
        for value, outcome in ((HASH, "failure"), (None, "success")):
            self.make()
            self.world.image()
            self.add(value)
            self.while_reading(lambda: self.world.images.images.pop(ID))
            status, message = self.run_task()
            self.assertEqual(outcome, status)
            if value:
                self.assertEqual("The image was deleted while its data was looked at.", message)

    def test_another_status(self) -> None:
        for value, to, outcome in (
            (HASH, "deactivated", "failure"),
            (None, "deactivated", "success"),
            (None, "pending_delete", "success"),
        ):
            self.make()
            self.world.image()
            self.add(value)
            self.while_reading(lambda to=to: self.set_status(to))
            status, message = self.run_task()
            after = self.world.now()
            self.assertEqual((outcome, to), (status, after.status))
            self.assertEqual(to == "deactivated" and not value, after.os_hash_value is not None)
            if value:
                self.assertEqual(
                    "The image became deactivated while its data was looked at.", message
                )

    def take_over(self) -> None:
        held = self.world.images.held
        held[ID] = dataclasses.replace(held[ID], holder="other")

    def test_a_claim_that_is_lost(self) -> None:
        self.world.image()
        self.add(HASH)
        self.while_reading(self.take_over)
        with self.assertLogs("glance_py", "INFO"):
            status, message = self.run_task()
        self.assertEqual("failure", status)
        self.assertEqual("importing", self.world.now().status)
        self.assertIn("Another worker took the work over", message)

    def test_a_claim_that_is_lost_after_the_data_was_read(self) -> None:
        self.world.image()
        self.add(HASH)
        real = self.world.stores.get

        def get(*args, **more):
            self.take_over()
            self.world.clock.now += 3600
            return real(*args, **more)

        self.world.stores.get = get
        self.assertEqual("failure", self.run_task()[0])
        self.assertEqual("importing", self.world.now().status)
        self.assertEqual(4, len(self.world.images.changes) + 1)

    def test_an_unknown_outcome(self) -> None:
        """Recovery decides; the image is not queued."""
        for number in (2, 3):
            self.make()
            self.world.image()
            self.add(HASH)
            self.world.images.fail = {number: errors.OutcomeUnknown()}
            self.assertEqual("failure", self.run_task()[0])
            self.assertEqual(1, len(self.world.claim_records.held()))
            self.assertEqual(number, len(self.world.images.changes))

    def test_reading_is_tried_again(self) -> None:
        for failures, found in ((3, True), (4, False)):
            self.make(http_retries=3)
            self.world.image()
            self.add()
            real, left = self.world.stores.get, [failures]

            def get(*args, left=left, real=real, **more):
                left[0] -= 1
                if left[0] >= 0:
                    raise store_errors.RemoteServiceUnavailable()
                return real(*args, **more)

            self.world.stores.get = get
            with self.assertLogs("glance_py.importing.location_import", "WARNING"):
                self.assertEqual("success", self.run_task()[0])
            after = self.world.now()
            self.assertEqual(("active", found), (after.status, after.os_hash_value is not None))

    def test_a_failure_that_no_retry_mends(self) -> None:
        self.world.image()
        self.add()
        self.world.images.fail = {3: errors.StatusConflict(ID)}
        with self.assertLogs("glance_py.importing.location_import", "INFO"):
            self.assertEqual("success", self.run_task()[0])
        self.assertEqual(3, len(self.world.images.changes))


class DeleteTest(LocationImportCase):
    def test_one_of_two(self) -> None:
        image = self.world.image("active", ("one", "two"))
        self.layer.delete_from_store(CALLER, image, "two")
        after = self.world.now()
        self.assertEqual(["one"], [location.store for location in after.locations])
        self.assertEqual(frozenset({"active"}), self.world.images.changes[0].expected)

    def test_refused(self) -> None:
        for status, stores, store, error in (
            ("queued", ("one", "two"), "one", errors.Conflict),
            ("active", ("one",), "one", errors.OnlyStoreOfImage),
            ("active", ("one", "two"), "ro", errors.NotFound),
        ):
            image = self.world.image(status, stores)
            self.assertRaises(error, self.layer.delete_from_store, CALLER, image, store)
        self.assertEqual([], self.world.images.changes)

    def test_the_list(self) -> None:
        image = self.world.image("active", ("one", "two"))
        self.assertEqual(image.locations, self.layer.list_locations(CALLER, image))


class RecoverTest(LocationImportCase):
    def recover(self, task_id: str | None = "t") -> list[str]:
        world = self.world
        claim = world.hold("location_import", task_id)
        return recover(world.repositories, world.internal, world.tasks, world.claims, claim)

    def test_images(self) -> None:
        for status, after in (("importing", "queued"), ("queued", "queued"), ("active", "active")):
            self.make()
            self.world.image(status)
            self.world.tasks.tasks["t"] = Task("t", "x", "p", status="processing")
            self.assertEqual(
                [f"Task t was left by a dead worker: image {ID} is {after}"], self.recover()
            )
            self.assertEqual(
                (after, "failure", "The worker that looked at the data died."),
                (self.world.now().status, self.world.task.status, self.world.task.message),
            )
            self.assertEqual([], self.world.claim_records.held())

    def test_tasks_that_have_ended_or_are_missing(self) -> None:
        for task in (Task("t", "x", "p", status="success"), None):
            self.make()
            self.world.image("importing")
            if task is not None:
                self.world.tasks.tasks["t"] = task
            self.recover()
            self.assertEqual("queued", self.world.now().status)
            self.assertEqual([], self.world.claim_records.held())

    def test_a_claim_without_a_task(self) -> None:
        self.world.image("importing")
        self.assertIn("Task None", self.recover(None)[0])

    def test_a_deleted_image(self) -> None:
        world = self.world
        world.image("importing")
        world.tasks.tasks["t"] = Task("t", "x", "p", status="processing")
        claim = world.hold("location_import", "t")
        world.images.images.clear()
        lines = recover(world.repositories, world.internal, world.tasks, world.claims, claim)
        self.assertIn("is gone", lines[0])
        self.assertEqual(("failure", []), (world.task.status, world.claim_records.held()))

    def test_a_status_that_changes_meanwhile(self) -> None:
        self.world.image("importing")
        self.world.images.fail = {2: errors.StatusConflict(ID)}
        self.assertIn("is gone", self.recover()[0])
        self.assertEqual([], self.world.claim_records.held())


if __name__ == "__main__":
    unittest.main()
