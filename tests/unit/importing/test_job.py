"""The state of one import: progress, reasons to stop, and the lists of stores."""

from __future__ import annotations

import dataclasses
import unittest

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import ClaimGrant
from glance_py.domain.image import Location
from glance_py.domain.task import Task
from glance_py.importing import steps
from glance_py.importing.job import MIB, ImportJob, ProgressFilter
from glance_py.importing.task_executor import RunningTask
from glance_store_py import errors as store_errors
from tests.unit.importing.fakes import CALLER, ID, World, copy, direct, web


class JobCase(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World(self)

    def job(self, request=None, status: str = "importing", stores=("one", "two"), **fields):
        self.world.image(status, **fields)
        self.claim = self.world.hold()
        return ImportJob(
            self.world.importer._job_deps,
            CALLER,
            self.world.now(),
            request or direct(),
            stores,
            self.world.running_task(),
            self.claim,
        )


class StopTest(JobCase):
    def test_reasons(self) -> None:
        job = self.job()
        find = job.running_task.get_cancel_reason
        for status, reason in (
            ("importing", None),
            ("active", None),
            ("deactivated", None),
            ("queued", "The image became queued while its data was being imported."),
            (
                "pending_delete",
                "The image became pending_delete while its data was being imported.",
            ),
        ):
            self.world.images.images[ID].status = status
            self.assertEqual(reason, find())
        self.world.images.images.clear()
        self.assertEqual("The image was deleted while its data was being imported.", find())
        self.claim.is_lost = True
        self.assertIn("took the import over", find())

    def test_going_on(self) -> None:
        job = self.job()
        job.raise_if_cancelled()
        self.claim.is_lost = True
        self.assertRaises(errors.ClaimLost, job.raise_if_cancelled)
        job.running_task.cancel_reason = "stop"
        self.assertRaises(errors.TaskCancelled, job.raise_if_cancelled)


class ListsTest(JobCase):
    def test_of_this_import_and_of_others(self) -> None:
        job = self.job(
            properties={
                "os_glance_importing_to_stores": "one,other",
                "os_glance_failed_import": "two,third",
            }
        )

        def lists(**more: str) -> tuple[str, str]:
            found = job.store_lists(**more)
            return (found["os_glance_importing_to_stores"], found["os_glance_failed_import"])

        self.assertEqual(("one,other,two", "third"), lists())
        self.assertEqual(("other,two", "third"), lists(without="one"))
        job.copied["one"] = Location("")
        self.assertEqual(("other,two", "third"), lists())
        job.failed["two"] = errors.StoreFull("full")
        self.assertEqual(("other", "third,two"), lists())

    def test_a_service_with_one_store(self) -> None:
        job = self.job(stores=[None])
        self.assertEqual({""}, set(job.store_lists().values()))

    def test_a_failure_is_recorded(self) -> None:
        job = self.job()
        job.record_failure("two", errors.StoreFull("full"))
        self.assertEqual("two", self.world.now().properties["os_glance_failed_import"])
        self.assertEqual("one", self.world.now().properties["os_glance_importing_to_stores"])
        self.assertEqual(self.claim.holder, self.world.images.changes[-1].holder)


class NamesTest(JobCase):
    def test_of_staged_data(self) -> None:
        for request, name in ((direct(), f"{ID}.2"), (web(), f"{ID}.5")):
            job = self.job(request)
            claim = self.world.claims.keep_alive(
                ID, ClaimGrant(5, 2), self.world.claims.request("import")
            )
            job = ImportJob(job.deps, CALLER, job.image, request, ["one"], job.running_task, claim)
            self.assertEqual(name, job.staged_name)
            self.world.images.held.clear()

    def test_the_staged_size(self) -> None:
        job = self.job()
        job.set_staged_size(7)
        self.assertEqual((7, 7), (job.image.size, self.world.now().size))
        self.assertEqual(self.claim.holder, self.world.images.changes[-1].holder)

    def test_a_change(self) -> None:
        job = self.job()
        job.update_image(ImageChange(set_properties={"a": "b"}))
        self.assertEqual(("b", "b"), (job.image.properties["a"], self.world.now().properties["a"]))


class CopyTest(JobCase):
    def test_the_last_store_makes_the_image_active(self) -> None:
        job = self.job()
        self.world.stage()
        job.add_copy("one")
        self.assertEqual("importing", self.world.now().status)
        self.assertEqual("Copied 0 of 0 MiB to one", job.running_task.message)
        job.add_copy("two")
        self.assertEqual(("active", "active"), (self.world.now().status, job.image.status))
        self.assertEqual(["one", "two"], [x.store for x in job.image.locations])

    def test_the_first_store_makes_it_active_when_one_is_enough(self) -> None:
        job = self.job(direct(all_must_succeed=False))
        self.world.stage()
        job.add_copy("one")
        self.assertEqual("active", self.world.now().status)
        job.add_copy("two")
        self.assertNotIn("status", self.world.images.changes[-1].fields)

    def test_an_image_of_another_status(self) -> None:
        job = self.job()
        self.world.stage()
        self.world.images.images[ID].status = "queued"
        self.assertRaises(errors.StatusConflict, job.add_copy, "one")
        self.world.images.images[ID].status = "deactivated"
        job.add_copy("one")

    def test_a_service_with_one_store(self) -> None:
        job = self.job(stores=[None])
        self.world.stage()
        self.world.stores.multi = False
        job.add_copy(None)
        self.assertEqual("active", self.world.now().status)
        self.assertEqual("Copied 0 of 0 MiB", job.running_task.message)

    def test_a_cancelled_import_writes_nothing(self) -> None:
        job = self.job()
        self.world.stage()
        job.running_task.cancel_reason = "stop"
        self.assertRaises(errors.TaskCancelled, job.add_copy, "one")
        self.assertEqual({}, self.world.stores.objects)

    def test_undo(self) -> None:
        job = self.job()
        self.world.stage()
        job.add_copy("one")
        job.remove_copy("one")
        self.assertEqual(([], {}), (self.world.now().locations, self.world.stores.objects))
        self.assertEqual("one,two", self.world.now().properties["os_glance_importing_to_stores"])
        self.assertEqual(frozenset({"importing"}), self.world.images.changes[-1].expected)
        changes = len(self.world.images.changes)
        job.remove_copy("one")
        job.remove_copy("two")
        self.assertEqual(changes, len(self.world.images.changes))

    def test_what_users_read_stays(self) -> None:
        for request, removed in (
            (direct(), False),
            (copy("two"), True),
            (copy("two", all_must_succeed=False), False),
        ):
            self.world = World(self)
            job = self.job(request, "active", ["two"])
            stored = self.world.stores.add("one", ID, [b"data"])
            self.world.images.images[ID].locations = [Location(stored.url, {"store": "one"}, id=9)]
            job.image = self.world.now()
            self.world.stage()
            job.add_copy("two")
            job.remove_copy("two")
            with self.subTest(request.method_name, removed=removed):
                self.assertEqual(1 if removed else 2, len(self.world.now().locations))
                self.assertEqual("active", self.world.now().status)
                if removed:
                    self.assertIsNone(self.world.images.changes[-1].expected)

    def test_the_source_of_a_copy(self) -> None:
        """The default store first, then the others."""
        world = self.world
        world.stores.default = "two"
        job = self.job(copy("ro"), "active", ["ro"])
        for number, store in enumerate(("one", "two")):
            stored = world.stores.add(store, ID, [store.encode()])
            world.images.images[ID].locations.append(
                Location(stored.url, {"store": store}, id=number + 5)
            )
        job.image = image = world.now()
        job.add_copy("ro")
        self.assertEqual(b"two", world.stores.objects[f"memory://ro/{ID}"])
        world.stores.broken["two"] = store_errors.RemoteServiceUnavailable()
        job.add_copy("ro")
        self.assertEqual(b"one", world.stores.objects[f"memory://ro/{ID}"])
        world.stores.broken["one"] = store_errors.StoreObjectNotFound("x")
        job.image = image
        with self.assertRaisesRegex(errors.SourceFailed, "cannot be read"):
            job.add_copy("ro")
        job.image = dataclasses.replace(job.image, locations=[])
        with self.assertRaisesRegex(errors.SourceFailed, "it has none"):
            job.add_copy("ro")


class UndoStepTest(JobCase):
    def undo(self, error: Exception, level: str) -> str:
        job = self.job()
        self.world.stage()
        job.add_copy("one")
        self.world.images.fail = {len(self.world.images.changes) + 1: error}
        with self.assertLogs("glance_py.importing.steps", level) as logged:
            steps.CopyToStore(job, "one").revert()
        return "".join(logged.output)

    def test_of_a_deleted_image(self) -> None:
        self.assertIn("is deleted", self.undo(errors.ImageNotFound(ID), "DEBUG"))

    def test_of_an_import_that_was_taken_over(self) -> None:
        self.assertIn("taken over", self.undo(errors.ClaimLost(ID), "WARNING"))

    def test_names_of_steps(self) -> None:
        job = self.job()
        self.assertEqual(
            ["copy to one", "copy to the store"],
            [steps.CopyToStore(job, store).name for store in ("one", None)],
        )


class ProgressTest(unittest.TestCase):
    def setUp(self) -> None:
        self.task = RunningTask(Task("t", "x", "p"))

    def test_each_mebibyte(self) -> None:
        messages: list[str] = []
        self.task.set_progress = messages.append
        progress = ProgressFilter(self.task, "Copied {} to one", 3 * MIB + 5)
        for _ in range(6):
            progress.update(b"x" * (MIB // 2))
        progress.update(b"x" * 5)
        progress.finish()
        self.assertEqual(
            [f"Copied {number} of 3 MiB to one" for number in (0, 1, 2, 3, 3)], messages
        )

    def test_an_unknown_size(self) -> None:
        progress = ProgressFilter(self.task, "Fetched {}", None)
        progress.finish()
        self.assertEqual("Fetched 0 MiB", self.task.message)

    def test_a_cancelled_task(self) -> None:
        progress = ProgressFilter(self.task, "Fetched {}", None)
        self.task.cancel_reason = "stop"
        self.assertRaises(errors.TaskCancelled, progress.update, b"x")


if __name__ == "__main__":
    unittest.main()
