"""What dead workers leave, in every state in which they may die, and what becomes of it."""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
import types
import unittest
import uuid
from unittest import mock

from glance_py import app, recovery
from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.change import Change
from glance_py.domain.image import Image, Location
from glance_py.domain.task import API_IMAGE_IMPORT, Task
from tests.functional import service
from tests.functional.client import files

ADMIN = RequestContext(is_admin=True)


class RecoveryTest(unittest.TestCase):

    def setUp(self) -> None:
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        conf, self.directory = stack.enter_context(service.configured())
        built = app.build_service(conf)
        self.records, self.stores = built.services.records, built.services.stores
        self.importer = built.importer
        self.recovery = recovery.Recovery(
            self.records, self.stores, built.importer,
            tasks={API_IMAGE_IMPORT: built.importer.recover_task})
        # Nobody here is alive.
        stack.enter_context(mock.patch.object(recovery, "LEASE", -1))

    def image(self, status: str, stores: tuple[str, ...] = (), **fields) -> Image:
        """An image whose data lies in ``stores`` and is on record there."""
        image = self.records.images.create(
            None, Image(str(uuid.uuid4()), status=status, owner="p", disk_format="raw",
                        container_format="bare", **fields))
        for store in stores:
            stored = self.stores.add(store, image.id, iter([b"data"]))
            image = self.records.images.update(ADMIN, image, Change(
                add_locations=(Location(stored.url, stored.metadata),)))
        return image

    def lay(self, image: Image, place: str) -> None:
        """Data that is not on record."""
        with open(os.path.join(self.directory, place), "w") as file:
            file.write("left")

    def begin(self, image: Image, *stores: str, status: str = "processing") -> Task:
        task = self.records.tasks.create(Task(
            str(uuid.uuid4()), API_IMAGE_IMPORT, owner="p", status=status, image_id=image.id,
            input={"backend": list(stores), "image_id": image.id}))
        self.records.locks.acquire(image.id, task.id)
        self.records.images.update(ADMIN, image, Change(set_properties={
            "os_glance_importing_to_stores": ",".join(stores), "os_glance_failed_import": ""}))
        return task

    def left(self, image: Image) -> list[str]:
        return sorted(os.path.relpath(path, self.directory).partition(os.sep)[0]
                      for path in files(self.directory) if image.id in path)

    def check_queued(self, image: Image) -> None:
        after = self.records.images.get(ADMIN, image.id)
        self.assertEqual(("queued", None, [], None), (
            after.status, after.size, after.locations,
            after.properties.get("os_glance_import_task")))
        self.assertEqual("", after.properties.get("os_glance_importing_to_stores", ""))
        self.assertEqual([], self.left(image))

    def test_in_the_middle_of_stores(self) -> None:
        """One store done, one written to but not recorded, the staged data still there."""
        image = self.image("importing", ("fast",), size=4, checksum="c", os_hash_value="h")
        self.lay(image, f"slow/{image.id}")
        self.lay(image, f"staging/{image.id}")
        self.lay(image, f"staging/{image.id}.converted")
        task = self.begin(image, "fast", "slow")
        self.recovery.recover()
        self.check_queued(image)
        after = self.records.images.get(ADMIN, image.id)
        self.assertEqual((None, None), (after.checksum, after.os_hash_value))
        self.assertEqual("fast,slow", after.properties["os_glance_failed_import"])
        ended = self.records.tasks.get(task.id)
        self.assertEqual("failure", ended.status)
        self.assertIn("died", ended.message)
        self.assertIsNotNone(ended.expires_at)

    def test_after_an_image_became_active(self) -> None:
        """What users may use already stays, with the stores that have it."""
        image = self.image("active", ("fast",), size=4)
        self.lay(image, f"slow/{image.id}")
        self.lay(image, f"staging/{image.id}")
        self.begin(image, "fast", "slow")
        self.recovery.recover()
        after = self.records.images.get(ADMIN, image.id)
        self.assertEqual(("active", 4, "", "slow"), (
            after.status, after.size, after.properties["os_glance_importing_to_stores"],
            after.properties["os_glance_failed_import"]))
        self.assertIsNone(self.records.locks.holder(image.id))
        self.assertEqual(["fast"], self.left(image))

    def test_a_task_that_ended_before_its_image(self) -> None:
        for status in ("failure", "success"):
            image = self.image("importing", size=4)
            self.lay(image, f"staging/{image.id}")
            self.begin(image, "fast", status=status)
            self.recovery.recover()
            self.check_queued(image)

    def test_who_took_an_import_back_died_at_that(self) -> None:
        """Nobody else can be at work on it: the next one need not wait a whole lease."""
        image = self.image("importing")
        self.begin(image, "fast", status="failure")
        with mock.patch.object(recovery, "LEASE", 40), \
                mock.patch.object(recovery.time, "monotonic") as clock:
            for clock.return_value in (0, 5):
                self.recovery.recover()
            self.assertEqual("importing", self.records.images.get(ADMIN, image.id).status)
            clock.return_value = 11
            self.recovery.recover()
        self.check_queued(image)

    def test_an_image_without_a_task(self) -> None:
        image = self.image("importing")
        self.records.locks.acquire(image.id, "never recorded")
        self.recovery.recover()
        self.check_queued(image)

    def test_clocks_of_hosts_differ(self) -> None:
        """However old its mark, who refreshes it lives; who does not before our eyes is dead."""
        refreshed, dead = (self.image("saving", updated_at=datetime.datetime(2020, 1, 1))
                           for _ in range(2))
        status = lambda image: self.records.images.get(ADMIN, image.id).status  # noqa: E731
        with mock.patch.object(recovery, "LEASE", 40), \
                mock.patch.object(recovery.time, "monotonic") as clock:
            for clock.return_value in (0, 9):
                self.recovery.recover()
                self.records.images.heartbeat(refreshed.id, "saving")
            self.assertEqual(["saving", "saving"], [status(refreshed), status(dead)])
            clock.return_value = 10
            self.recovery.recover()
            self.assertEqual(["saving", "queued"], [status(refreshed), status(dead)])

    def test_a_clock_that_is_ahead(self) -> None:
        """A mark from the future counts from when it was seen."""
        ahead = datetime.datetime.now() + datetime.timedelta(days=2)
        dead = self.image("saving", updated_at=ahead)
        with mock.patch.object(recovery, "LEASE", 40), \
                mock.patch.object(recovery.time, "monotonic") as clock:
            for clock.return_value in (0, 15, 30, 39):
                self.recovery.recover()
            self.assertEqual("saving", self.records.images.get(ADMIN, dead.id).status)
            clock.return_value = 40
            self.recovery.recover()
            self.assertEqual("queued", self.records.images.get(ADMIN, dead.id).status)

    def test_in_the_middle_of_staging(self) -> None:
        """Staging that did not end is undone; staged data that waits is left in peace."""
        begun, waiting = self.image("uploading"), self.image("uploading", size=4)
        for image in (begun, waiting):
            self.lay(image, f"staging/{image.id}")
        self.recovery.recover()
        self.check_queued(begun)
        self.assertEqual("uploading", self.records.images.get(ADMIN, waiting.id).status)
        self.assertEqual(["staging"], self.left(waiting))

    def test_an_image_that_was_deleted(self) -> None:
        image = self.image("importing")
        task = self.begin(image, "fast")
        self.lay(image, f"fast/{image.id}")
        self.lay(image, f"staging/{image.id}")
        self.records.images.delete(ADMIN, image)
        self.recovery.recover()
        self.assertEqual([], self.left(image))
        self.assertEqual("failure", self.records.tasks.get(task.id).status)
        self.assertRaises(errors.ImageNotFound, self.records.images.get, ADMIN, image.id)

    def test_residue_of_staging(self) -> None:
        """Only what is named like an image, and of an image that needs it no more."""
        image = self.image("active", ("fast",))
        gone = str(uuid.uuid4())
        for name in (image.id, gone, f"{gone}.converted", "readme.txt"):
            self.lay(image, f"staging/{name}")
        self.importer.recover_staging()
        self.assertEqual([image.id, "readme.txt"],
                         sorted(os.listdir(f"{self.directory}/staging")))
        os.utime(f"{self.directory}/staging/{image.id}", (0, 0))
        self.importer.recover_staging()
        self.assertEqual(["readme.txt"], os.listdir(f"{self.directory}/staging"))

    def test_done_once(self) -> None:
        """Two workers look at the same time; the second finds nothing left to do."""
        image = self.image("importing", ("fast",))
        self.begin(image, "fast")
        self.assertTrue(self.recovery.recover())
        self.assertEqual([], self.recovery.recover())

    def test_one_that_cannot_be_brought_back_does_not_keep_the_others(self) -> None:
        images = [self.image("saving"), self.image("uploading"), self.image("importing")]
        bad = self.image("saving")
        discard = self.stores.discard

        def failing(image_id: str, *more):
            if image_id == bad.id:
                raise RuntimeError("not foreseen")
            return discard(image_id, *more)

        with mock.patch.object(self.stores, "discard", failing), \
                self.assertLogs("glance_py.recovery", "ERROR") as logged:
            self.recovery.recover()
        self.assertIn(bad.id, logged.output[0])
        for image in images:
            self.check_queued(image)
        self.assertEqual("saving", self.records.images.get(ADMIN, bad.id).status)
        self.recovery.recover()
        self.check_queued(bad)


class LeaseTest(unittest.TestCase):

    def test_an_unforeseen_error_ends_no_lease(self) -> None:
        """The next sign of life is given, whatever became of the one before."""
        given = threading.Event()
        answers = iter([RuntimeError("not foreseen")])

        class Records:
            def heartbeat(self, image_id: str, status: str) -> bool:
                for error in answers:
                    raise error
                given.set()
                return True

        records = types.SimpleNamespace(images=Records())
        with mock.patch.object(recovery, "HEARTBEAT", 0.01), \
                self.assertLogs("glance_py.recovery", "WARNING"), \
                recovery.Lease(records).hold(Image("one"), "saving"):
            self.assertTrue(given.wait(10))


if __name__ == "__main__":
    unittest.main()
