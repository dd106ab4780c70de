"""What dead workers leave, in every state in which they may die, and what becomes of it."""

from __future__ import annotations

import contextlib
import datetime
import os
import unittest
import uuid
from unittest import mock

from glance_py import app, claims, recovery
from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import ImportRequest
from glance_py.domain.ports import Upload
from glance_py.domain.task import API_IMAGE_IMPORT, Task
from glance_py.importing.staging_recovery import StagingRecovery
from glance_py.layers.location import LocationProxy
from glance_store_py import errors as store_errors
from tests.functional import service
from tests.functional.client import files

ADMIN = RequestContext(is_admin=True)
LOCK = "os_glance_import_task"


class RecoveryTest(unittest.TestCase):
    def setUp(self) -> None:
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        conf, self.directory = stack.enter_context(service.configured())
        built = app.build_service(conf)
        self.repositories, self.stores = built.deps.repositories, built.deps.stores
        self.importer = built.importer
        self.deps, self.clock = built.deps, Clock()
        # Of the first recovery all holders count as dead.
        self.recovery, self.observer = (
            app.build_recovery(built.deps, built.importer, self.clock, times)
            for times in (claims.LeaseTimes(timeout=-1.0), claims.LEASE_TIMES)
        )

    def image(self, status: str = "queued", stores: tuple[str, ...] = (), **fields) -> Image:
        """An image whose data lies in ``stores`` and is on record there."""
        image = self.repositories.images.create(
            None,
            Image(
                str(uuid.uuid4()),
                status=status,
                owner="p",
                disk_format="raw",
                container_format="bare",
                **fields,
            ),
        )
        for store in stores:
            stored = self.stores.add(store, image.id, iter([b"data"]))
            image = self.repositories.images.update(
                ADMIN, image, ImageChange(add_locations=(Location(stored.url, stored.metadata),))
            )
        return image

    def lay(self, image: Image, place: str) -> None:
        """Data that is not on record."""
        with open(os.path.join(self.directory, place), "w") as file:
            file.write("left")

    def begin(self, image: Image, *stores: str, status: str = "processing") -> Task:
        task = self.repositories.tasks.create(
            Task(
                str(uuid.uuid4()),
                API_IMAGE_IMPORT,
                owner="p",
                status=status,
                image_id=image.id,
                input={"backend": list(stores), "image_id": image.id},
            )
        )
        self.repositories.images.update(
            ADMIN,
            image,
            ImageChange(
                set_properties={
                    LOCK: task.id,
                    "os_glance_importing_to_stores": ",".join(stores),
                    "os_glance_failed_import": "",
                }
            ),
        )
        return task

    def claim(self, image: Image, kind: str, **change) -> str:
        """Take the claim of an image as a process does that dies then; its token."""
        wanted = self.deps.claims.request(kind)
        self.repositories.images.update(ADMIN, image, ImageChange(acquire=wanted, **change))
        return wanted.holder

    def wait(self, seconds: float, live: tuple[str, ...] = ()) -> None:
        """Let time pass for the observer, while ``live`` holders give signs of life."""
        for _ in range(int(seconds / claims.LEASE_TIMES.scan)):
            self.clock.now += claims.LEASE_TIMES.scan
            if live:
                self.repositories.claims.beat(live)
            self.observer.recover()

    def status(self, image: Image) -> str:
        return self.repositories.images.get(ADMIN, image.id).status

    def left(self, image: Image) -> list[str]:
        return sorted(
            os.path.relpath(path, self.directory).partition(os.sep)[0]
            for path in files(self.directory)
            if image.id in path
        )

    def check_queued(self, image: Image) -> None:
        after = self.repositories.images.get(ADMIN, image.id)
        self.assertEqual(
            ("queued", None, [], None),
            (
                after.status,
                after.size,
                after.locations,
                after.properties.get("os_glance_import_task"),
            ),
        )
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
        after = self.repositories.images.get(ADMIN, image.id)
        self.assertEqual((None, None), (after.checksum, after.os_hash_value))
        self.assertEqual("fast,slow", after.properties["os_glance_failed_import"])
        ended = self.repositories.tasks.get(task.id)
        self.assertEqual("failure", ended.status)
        self.assertIn("died", ended.message)
        self.assertIsNotNone(ended.expires_at)

    def test_an_import_that_had_not_begun_leaves_the_staged_data(self) -> None:
        """Its worker died between taking the claim and its first change of the image."""
        image = self.image("uploading", size=4)
        self.lay(image, f"staging/{image.id}")
        self.claim(image, "import", expected=frozenset({"uploading"}))
        self.recovery.recover()
        self.assertEqual(("uploading", ["staging"]), (self.status(image), self.left(image)))
        self.assertEqual([], list(self.repositories.claims.held()))

    def test_an_import_whose_beginning_has_an_unknown_outcome_is_left_to_recovery(self) -> None:
        image = self.image("uploading", size=4)
        self.lay(image, f"staging/{image.id}")
        request = ImportRequest("glance-direct", {"name": "glance-direct"}, {}, ["fast"])
        real = self.importer.images.update

        def lost(ctx, image, change):
            real(ctx, image, change)
            raise errors.OutcomeUnknown

        with (
            mock.patch.object(self.importer.images, "update", lost),
            self.assertRaises(errors.OutcomeUnknown),
        ):
            self.importer.start(RequestContext(project_id="p"), image, request)
        self.assertEqual("importing", self.status(image))
        self.assertEqual(1, len(self.repositories.claims.held()))
        self.recovery.recover()
        self.check_queued(image)

    def test_a_copy_that_was_made_meanwhile_is_not_made_again(self) -> None:
        image = self.image("active", ("fast",), size=4)
        stored = self.stores.add("slow", image.id, iter([b"data"]))
        self.repositories.images.update(
            ADMIN, image, ImageChange(add_locations=(Location(stored.url, stored.metadata),))
        )
        request = ImportRequest("copy-image", {"name": "copy-image"}, {}, ["slow"])
        self.assertRaises(
            errors.Invalid, self.importer.start, RequestContext(project_id="p"), image, request
        )
        self.assertEqual([], list(self.repositories.claims.held()))
        self.assertEqual(["fast", "slow"], self.left(image))

    def test_after_an_image_became_active(self) -> None:
        """What users may use already stays, with the stores that have it."""
        image = self.image("active", ("fast",), size=4)
        self.lay(image, f"slow/{image.id}")
        self.lay(image, f"staging/{image.id}")
        self.begin(image, "fast", "slow")
        self.recovery.recover()
        after = self.repositories.images.get(ADMIN, image.id)
        self.assertEqual(
            ("active", 4, "", "slow"),
            (
                after.status,
                after.size,
                after.properties["os_glance_importing_to_stores"],
                after.properties["os_glance_failed_import"],
            ),
        )
        self.assertNotIn(LOCK, after.properties)
        self.assertEqual(["fast"], self.left(image))

    def test_a_task_that_ended_before_its_image(self) -> None:
        for status in ("failure", "success"):
            image = self.image("importing", size=4)
            self.lay(image, f"staging/{image.id}")
            self.begin(image, "fast", status=status)
            self.recovery.recover()
            self.check_queued(image)

    def test_an_image_without_a_task(self) -> None:
        image = self.image("importing", properties={LOCK: "never recorded"})
        self.recovery.recover()
        self.check_queued(image)

    def test_processes_that_do_not_know_claims_live_while_their_record_changes(self) -> None:
        refreshed, dead, ahead = (
            self.image("saving", updated_at=datetime.datetime(year, 1, 1))
            for year in (2020, 2020, 2100)
        )
        self.observer.recover()
        for second in range(6):
            self.repositories.images.update(
                ADMIN,
                refreshed,
                ImageChange(fields={"updated_at": datetime.datetime(2021, 1, 1, 0, 0, second)}),
            )
            self.wait(5)
        self.assertEqual(
            ["saving", "queued", "queued"], list(map(self.status, (refreshed, dead, ahead)))
        )

    # ------------------------------------------------------------ work with a claim

    def test_a_silent_holder_loses_its_image_after_the_lease(self) -> None:
        live, dead = self.image(), self.image()
        holder = self.claim(live, "upload", fields={"status": "saving"})
        self.claim(dead, "upload", fields={"status": "saving"})
        self.lay(dead, f"fast/{dead.id}")
        self.observer.recover()
        self.wait(25, (holder,))
        self.assertEqual(["saving", "saving"], [self.status(live), self.status(dead)])
        self.wait(5, (holder,))
        self.assertEqual(["saving", "queued"], [self.status(live), self.status(dead)])
        self.check_queued(dead)
        self.assertEqual(holder, self.repositories.claims.get(live.id).holder)
        self.assertEqual("", self.repositories.claims.get(dead.id).holder)

    def test_a_pause_of_the_observer_is_nobodys_silence(self) -> None:
        """All processes of a service stand still for a while, with their virtual machine."""
        image = self.image()
        self.claim(image, "upload", fields={"status": "saving"})
        self.observer.recover()
        self.wait(10)
        self.clock.now += 3600
        self.observer.recover()
        self.assertEqual("saving", self.status(image))
        self.wait(15)
        self.assertEqual("queued", self.status(image))

    def test_the_claim_is_taken_over_before_anything_is_touched(self) -> None:
        """A worker that was only slow records its data: nothing of it is removed."""
        image = self.image(stores=())
        holder = self.claim(image, "upload", fields={"status": "saving"})
        self.lay(image, f"fast/{image.id}")
        real = self.repositories.claims.take_over

        def late(claim, token):
            change = ImageChange.status("active", expected="saving", size=4)
            change = change.evolve(
                holder=holder,
                add_locations=(Location(f"file://{self.directory}/fast/{image.id}"),),
            )
            self.repositories.images.update(ADMIN, image, change)
            return real(claim, token)

        with mock.patch.object(
            type(self.repositories.claims),
            "take_over",
            lambda repositories, claim, token: late(claim, token),
        ):
            self.recovery.recover()
        self.assertEqual("active", self.status(image))
        self.assertEqual(["fast"], self.left(image))

    def test_a_late_worker_after_a_take_over(self) -> None:
        """What another attempt stored meanwhile stays; what the late one writes is its own."""
        image = self.image()
        holder = self.claim(image, "upload", fields={"status": "saving"})
        self.recovery.recover()
        self.assertEqual("queued", self.status(image))
        second = self.claim(
            self.repositories.images.get(ADMIN, image.id), "upload", fields={"status": "saving"}
        )
        change = ImageChange.status("active", expected="saving", size=4)
        change = change.evolve(holder=holder)
        self.assertRaises(errors.ClaimLost, self.repositories.images.update, ADMIN, image, change)
        change = ImageChange.status("active", expected="saving", size=4)
        change = change.evolve(holder=second)
        self.repositories.images.update(ADMIN, image, change)
        self.assertEqual(3, self.repositories.claims.get(image.id).generation)

    def test_objects_of_every_dead_attempt_are_removed_but_those_on_record(self) -> None:
        image = self.image("active", ("fast",), size=4)
        for name in (f"slow/{image.id}", f"slow/{image.id}.2", f"slow/{image.id}.3"):
            self.claim(image, "copy")
            self.lay(image, name)
            self.recovery.recover()
        self.assertEqual(["fast"], self.left(image))
        self.assertEqual("active", self.status(image))

    def test_a_store_that_is_away_is_asked_again_later(self) -> None:
        image = self.image()
        self.recovery.recover()  # The first turn looks for data that waits for its removal.
        self.claim(image, "upload", fields={"status": "saving"})
        self.lay(image, f"fast/{image.id}")
        with mock.patch.object(
            self.stores, "delete_attempt", side_effect=store_errors.RemoteServiceUnavailable()
        ):
            self.recovery.recover()
        self.assertEqual(("queued", ["fast"]), (self.status(image), self.left(image)))
        with mock.patch.object(recovery, "PENDING_SCAN_INTERVAL", 1):
            self.recovery.recover()
        self.assertEqual([], self.left(image))

    def test_in_the_middle_of_staging(self) -> None:
        """Staging that did not end is undone; staged data that waits is left in peace."""
        begun, waiting = self.image("uploading"), self.image("uploading", size=4)
        for image in (begun, waiting):
            self.lay(image, f"staging/{image.id}")
        self.recovery.recover()
        self.check_queued(begun)
        self.assertEqual("uploading", self.repositories.images.get(ADMIN, waiting.id).status)
        self.assertEqual(["staging"], self.left(waiting))

    def test_an_image_that_was_deleted(self) -> None:
        image = self.image("importing")
        task = self.begin(image, "fast")
        self.lay(image, f"fast/{image.id}")
        self.lay(image, f"staging/{image.id}")
        self.repositories.images.delete(ADMIN, image)
        self.recovery.recover()
        self.assertEqual([], self.left(image))
        self.assertEqual("failure", self.repositories.tasks.get(task.id).status)
        self.assertRaises(errors.ImageNotFound, self.repositories.images.get, ADMIN, image.id)

    def test_a_task_that_may_be_on_record_has_an_end(self) -> None:
        """The database went away between the record of a task and its beginning."""
        image = self.image("active", ("fast",), size=4)
        request = ImportRequest("copy-image", {}, {}, stores=["slow"])
        with mock.patch.object(
            self.importer.tasks, "start", side_effect=errors.DatabaseUnavailable()
        ):
            self.assertRaises(
                errors.DatabaseUnavailable, self.importer.start, ADMIN, image, request
            )
        [task] = self.repositories.tasks.list_for_image(image.id)
        self.assertEqual("pending", task.status)
        self.recovery.recover()
        self.assertEqual("failure", self.repositories.tasks.get(task.id).status)
        after = self.repositories.images.get(ADMIN, image.id)
        self.assertEqual(("active", None), (after.status, after.properties.get(LOCK)))
        self.assertEqual([], self.repositories.claims.held())

    def test_what_a_store_kept_although_it_reported_an_error(self) -> None:
        """The object appears after the upload has failed; it goes with the next look."""
        image = self.image()
        location = LocationProxy.build(self.repositories.images, self.deps)
        with mock.patch.object(
            self.stores, "add", side_effect=store_errors.RemoteServiceUnavailable()
        ):
            self.assertRaises(
                errors.StoreUnavailable, location.upload, ADMIN, image, Upload([b"data"], 4)
            )
        self.lay(image, f"fast/{image.id}")
        self.recovery.recover()
        self.check_queued(self.repositories.images.get(ADMIN, image.id))
        self.assertEqual(2, self.take(image))

    def take(self, image: Image) -> int:
        wanted = self.deps.claims.request("upload")
        return self.repositories.images.update(
            ADMIN, image, ImageChange(acquire=wanted)
        ).grant.generation

    def test_residue_of_staging(self) -> None:
        """Only what is named like an image, and of an image that needs it no more."""
        staging_recovery = StagingRecovery(self.repositories, self.importer.staging)
        image = self.image("active", ("fast",))
        gone = str(uuid.uuid4())
        for name in (image.id, gone, f"{gone}.converted", "readme.txt"):
            self.lay(image, f"staging/{name}")
        staging_recovery.recover()
        self.assertEqual([image.id, "readme.txt"], sorted(os.listdir(f"{self.directory}/staging")))
        os.utime(f"{self.directory}/staging/{image.id}", (0, 0))
        staging_recovery.recover()
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
        discard = self.stores.delete_attempt

        def failing(image_id: str, *more, **how):
            if image_id == bad.id:
                raise RuntimeError("not foreseen")
            return discard(image_id, *more, **how)

        with (
            mock.patch.object(self.stores, "delete_attempt", failing),
            self.assertLogs("glance_py.recovery", "ERROR") as logged,
        ):
            self.recovery.recover()
        self.assertIn(bad.id, logged.output[0])
        for image in images:
            self.check_queued(image)
        self.assertEqual("saving", self.repositories.images.get(ADMIN, bad.id).status)
        self.recovery.recover()
        self.check_queued(bad)


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


if __name__ == "__main__":
    unittest.main()
