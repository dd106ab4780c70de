"""Starting, running and recovering imports, over records and stores in memory."""

from __future__ import annotations

import dataclasses
import datetime
import unittest

from glance_py.context import get_admin_context
from glance_py.domain import errors
from glance_py.domain.importing import ImportRequest
from glance_py.domain.task import Task
from glance_py.importing import importer
from glance_py.importing.sources import GlanceDownload, WebDownload, build_source
from glance_py.settings import ImportSettings, Settings, TaskSettings
from glance_store_py import errors as store_errors
from tests.unit.importing.fakes import CALLER, ID, Limits, UriFilter, World, copy, direct, web

NOW = datetime.datetime(2030, 1, 1)


class ImporterCase(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World(self)

    def lists(self) -> tuple[str | None, str | None]:
        properties = self.world.now().properties
        return (
            properties.get("os_glance_importing_to_stores"),
            properties.get("os_glance_failed_import"),
        )


class StartTest(ImporterCase):
    def test_staged_data(self) -> None:
        world = self.world
        world.image("uploading", properties={"os_glance_stage_host": "http://me"})
        world.stage()
        world.importer.start(CALLER, world.now(), direct(stores=["one", "two"]))
        begun = world.now()
        self.assertEqual("importing", begun.status)
        self.assertEqual(
            {
                "os_glance_import_task": world.task.id,
                "os_glance_importing_to_stores": "one,two",
                "os_glance_failed_import": "",
            },
            begun.properties,
        )
        task = world.task
        self.assertEqual(
            ("processing", "p", ID, "u", "req-1", "api_image_import"),
            (task.status, task.owner, task.image_id, task.user_id, task.request_id, task.type),
        )
        self.assertEqual(
            {"image_id": ID, "import_req": {"d": 1}, "backend": ["one", "two"]}, task.input
        )
        world.executor.run_all()
        after = world.now()
        self.assertEqual(("active", ("", "")), (after.status, self.lists()))
        self.assertEqual(["one", "two"], [location.store for location in after.locations])
        self.assertNotIn("os_glance_import_task", after.properties)
        self.assertEqual({b"data"}, set(world.stores.objects.values()))
        self.assertEqual([], world.staged())
        self.assertEqual(("success", {"image_id": ID}), (world.task.status, world.task.result))
        self.assertEqual([], world.claim_records.held())
        self.assertTrue(world.claims.is_idle)

    def test_a_download(self) -> None:
        world = self.world
        world.image()
        world.start(web("http://source/x"))
        self.assertEqual([("http://source/x", 0, None)], world.fetcher.asked)
        after = world.now()
        self.assertEqual(("active", 4), (after.status, after.size))
        self.assertEqual(["one"], [location.store for location in after.locations])
        self.assertEqual([], world.staged())

    def test_data_of_an_earlier_attempt_is_removed_from_a_queued_image(self) -> None:
        world = self.world
        world.image("queued", ("one",), checksum="c", os_hash_value="h", os_hash_algo="sha512")
        world.importer.start(CALLER, world.now(), web())
        begun = world.now()
        self.assertEqual(([], None, None), (begun.locations, begun.checksum, begun.os_hash_value))

    def test_a_copy(self) -> None:
        world = self.world
        world.image("active", ("one",))
        world.start(copy("two"))
        after = world.now()
        self.assertEqual("active", after.status)
        self.assertEqual(["one", "two"], [location.store for location in after.locations])
        self.assertEqual([], world.fetcher.asked)
        self.assertTrue(world.stores.closed)

    def test_nothing_is_left_to_copy(self) -> None:
        """wire: there is no task."""
        world = self.world
        world.image("active", ("one", "two"))
        world.start(copy(all_stores=True))
        self.assertEqual(({}, {}), (world.tasks.tasks, world.images.held))

    def test_a_copy_that_was_made_before_the_claim_was_taken(self) -> None:
        """Another process copied the image between the first look at it and the claim."""
        world = self.world
        seen = world.image("active", ("one",))
        done = world.stores.add("two", ID, [b"data"])
        del world.images.images[ID]
        world.image("active", ("one", "two"))
        world.importer.start(CALLER, seen, copy(all_stores=True))
        self.assertEqual(({}, []), (world.tasks.tasks, world.claim_records.held()))
        self.assertTrue(world.claims.is_idle)
        self.assertIn(done.url, world.stores.objects)

    def test_another_status(self) -> None:
        for status, request in (
            ("queued", direct()),
            ("active", web()),
            ("queued", copy("two")),
            ("saving", web()),
        ):
            world = World(self)
            world.image(status)
            with self.subTest(status), self.assertRaises(errors.StatusConflict):
                world.importer.start(CALLER, world.now(), request)
            self.assertEqual({}, world.tasks.tasks)

    def test_another_attempt(self) -> None:
        world = self.world
        world.image()
        world.hold()
        self.assertRaises(errors.ImportActive, world.importer.start, CALLER, world.now(), web())
        self.assertEqual({}, world.tasks.tasks)

    def test_an_error_about_stores_comes_last_of_the_checks(self) -> None:
        world = self.world
        world.image(properties={"os_glance_import_task": "t"})
        wrong = web(store_error=errors.Invalid("wrong stores"))
        world.tasks.create(CALLER, Task("t", "x", "p"))
        self.assertRaises(errors.ImportActive, world.importer.start, CALLER, world.now(), wrong)
        world.tasks.tasks.clear()
        with self.assertRaisesRegex(errors.Invalid, "wrong stores"):
            world.importer.start(CALLER, world.now(), wrong)

    def test_a_uri_with_staged_data(self) -> None:
        """wire: the task fails, and the image names it until the next import."""
        world = self.world
        world.image("uploading")
        world.stage()
        world.start(direct(method={"uri": "http://x"}))
        self.assertEqual(
            ("failure", importer.URI_WITH_GLANCE_DIRECT), (world.task.status, world.task.message)
        )
        after = world.now()
        self.assertEqual("uploading", after.status)
        self.assertEqual(world.task.id, after.properties["os_glance_import_task"])
        self.assertEqual([ID], world.staged())
        self.assertEqual([], world.claim_records.held())

    def test_a_url_that_the_filter_refuses(self) -> None:
        self.world.image()
        with self.assertRaises(errors.Invalid):
            self.world.importer.start(CALLER, self.world.now(), web(" http://bad/ "))
        self.assertEqual({}, self.world.images.held)

    def test_a_task_that_cannot_be_started(self) -> None:
        """When the database was away the task may be recorded: recovery ends it."""
        for error, is_held in (
            (errors.DatabaseUnavailable(), True),
            (errors.Duplicate("x"), False),
        ):
            world = World(self)
            world.image()
            world.tasks.fail_start = error
            self.assertRaises(type(error), world.importer.start, CALLER, world.now(), web())
            self.assertEqual(is_held, bool(world.claim_records.held()))
            self.assertEqual("queued", world.now().status)
            self.assertTrue(world.claims.is_idle)

    def test_an_image_that_cannot_begin(self) -> None:
        for error, is_held in (
            (errors.OutcomeUnknown(), True),
            (errors.ImageNotFound(ID), False),
        ):
            world = World(self)
            world.image()
            world.images.fail = {2: error}
            self.assertRaises(type(error), world.importer.start, CALLER, world.now(), web())
            self.assertEqual(is_held, bool(world.claim_records.held()))
            self.assertEqual(("failure", str(error)), (world.task.status, world.task.message))

    def test_a_caller_without_a_project(self) -> None:
        world = self.world
        world.image()
        world.importer.start(get_admin_context(), world.now(), web())
        self.assertEqual("", world.task.owner)


class LockTest(ImporterCase):
    """The property that is the lock of processes that do not know claims."""

    def start(self, task: Task | None, lock: str = "t") -> World:
        world = World(self)
        world.importer = world.build_importer(now=lambda: NOW)
        world.image(properties={"os_glance_import_task": lock})
        if task is not None:
            world.tasks.tasks["t"] = task
        world.importer.start(CALLER, world.now(), web())
        return world

    def task(self, status: str, seconds: float | None = None) -> Task:
        updated = None if seconds is None else NOW - datetime.timedelta(seconds=seconds)
        return Task("t", "x", "p", status=status, updated_at=updated)

    def test_the_task_goes_on(self) -> None:
        for status, seconds in (
            ("pending", 3600),
            ("processing", 3600),
            ("failure", 29),
            ("failure", 30),
        ):
            with self.subTest(status), self.assertRaises(errors.ImportActive):
                self.start(self.task(status, seconds))

    def test_the_task_has_finished(self) -> None:
        for task in (
            self.task("success", 0),
            self.task("failure", 31),
            self.task("failure", None),
            None,
        ):
            world = self.start(task)
            [claim] = world.claim_records.held()
            self.assertEqual(claim.task_id, world.now().properties["os_glance_import_task"])
            self.assertEqual("t", world.images.changes[0].acquire.replaces)


class LimitsTest(ImporterCase):
    def use(self, *exceeded: str, most: dict[str, int] | None = None) -> World:
        self.limits = Limits(*exceeded, most=most)
        return World(self, limits=self.limits)

    def test_what_is_asked_first(self) -> None:
        for request, status, asked in (
            (direct(), "uploading", {"image_size_total": 7}),
            (web(), "queued", {"image_size_total": 0, "image_stage_total": 0}),
            (copy("two"), "active", {"image_size_total": 7, "image_stage_total": 7}),
        ):
            world = self.use("image_size_total")
            world.image(status, size=7)
            with self.assertRaises(errors.QuotaExceeded):
                world.importer.start(CALLER, world.now(), request)
            self.assertEqual([("p", asked)], self.limits.asked)
            self.assertEqual({}, world.tasks.tasks)

    def test_an_unknown_size(self) -> None:
        world = self.use("image_size_total")
        world.image("active")
        with self.assertRaises(errors.QuotaExceeded):
            world.importer.start(CALLER, world.now(), copy("two"))
        self.assertEqual({"image_size_total": 0, "image_stage_total": 0}, self.limits.asked[0][1])

    def test_too_many_images_are_being_imported(self) -> None:
        """wire: the task has the error, not the answer."""
        world = self.use("image_count_uploading")
        world.image()
        world.start(web())
        self.assertEqual(
            ("failure", "The limit image_count_uploading is exceeded."),
            (world.task.status, world.task.message),
        )
        self.assertEqual(("queued", []), (world.now().status, world.claim_records.held()))
        self.assertTrue(world.claims.is_idle)

    def test_the_number_is_reserved(self) -> None:
        for properties, count in (
            ({}, 1),
            ({"os_glance_importing_to_stores": "one"}, 0),
            ({"os_glance_importing_to_stores": ""}, 1),
        ):
            world = self.use(most={"uploading": 5})
            world.image("active", properties=properties)
            world.importer.start(CALLER, world.now(), copy("two"))
            self.assertEqual(("p", {"image_count_uploading": count}), self.limits.asked[-1])
            reservation = world.images.changes[-1].reservation
            self.assertEqual(("p", {"uploading": 5}), (reservation.owner, reservation.limits))

    def test_unlimited(self) -> None:
        world = self.use()
        world.image()
        world.importer.start(CALLER, world.now(), web())
        self.assertIsNone(world.images.changes[-1].reservation)

    def test_staged_data_counts_already(self) -> None:
        world = self.use("image_count_uploading")
        world.image("uploading")
        world.stage()
        world.start(direct())
        self.assertEqual("active", world.now().status)


class RunTest(ImporterCase):
    """An import in the thread of a task of the tasks API."""

    def test_it_runs(self) -> None:
        world = self.world
        world.image()
        claim = world.hold("task")
        result = world.importer.run(CALLER, world.now(), web(), world.running_task(), claim)
        self.assertEqual({"image_id": ID}, result)
        after = world.now()
        self.assertEqual(("active", "t"), (after.status, after.properties["os_glance_import_task"]))
        self.assertTrue(world.claim_records.held())

    def test_the_filter_is_asked(self) -> None:
        world = self.world
        world.image()
        claim = world.hold("task")
        with self.assertRaises(errors.Invalid):
            world.importer.run(CALLER, world.now(), web("http://bad"), world.running_task(), claim)


class FailureTest(ImporterCase):
    """Imports that fail, and what is left of them."""

    def test_the_source(self) -> None:
        world = self.world
        world.image()
        world.fetcher.open = self.refuse
        world.start(web())
        after = world.now()
        self.assertEqual(("queued", None), (after.status, after.size))
        self.assertEqual(("", "one"), self.lists())
        self.assertEqual(("failure", "no such host"), (world.task.status, world.task.message))
        self.assertEqual(([], []), (world.staged(), world.claim_records.held()))

    @staticmethod
    def refuse(*_, **__) -> None:
        raise errors.Invalid("no such host")

    def test_the_second_of_two_stores(self) -> None:
        world = self.world
        world.image("uploading")
        world.stage()
        world.stores.broken["two"] = errors.StoreFull("full")
        world.start(direct(stores=["one", "two"]))
        after = world.now()
        self.assertEqual(("queued", [], ("", "two")), (after.status, after.locations, self.lists()))
        self.assertEqual(({}, []), (world.stores.objects, world.staged()))
        self.assertEqual(("failure", "full"), (world.task.status, world.task.message))

    def test_one_store_of_two_is_enough(self) -> None:
        for broken in ("one", "two"):
            world = self.world = World(self)
            world.image("uploading")
            world.stage()
            world.stores.broken[broken] = errors.StoreFull("full")
            world.start(direct(stores=["one", "two"], all_must_succeed=False))
            after = world.now()
            self.assertEqual(("active", ("", broken)), (after.status, self.lists()))
            self.assertEqual("success", world.task.status)
            self.assertIn(f"Some stores failed. {broken}: full", world.task.message)
            self.assertEqual([], world.staged())
            # An object that no record names may be left: the next attempt has another number.
            self.assertEqual("", world.images.held[ID].holder)

    def test_no_store_at_all(self) -> None:
        world = self.world
        world.image("uploading")
        world.stage()
        world.stores.broken = {"one": errors.StoreFull("full"), "two": errors.StoreFull("full")}
        world.start(direct(stores=["one", "two"], all_must_succeed=False))
        self.assertEqual(("queued", ("", "one,two")), (world.now().status, self.lists()))
        self.assertEqual("full", world.task.message)

    def test_an_empty_list_of_stores(self) -> None:
        world = self.world
        world.image("uploading")
        world.stage()
        world.start(direct(stores=[]))
        self.assertEqual("queued", world.now().status)
        self.assertEqual("There was no store to bring the data to.", world.task.message)

    def test_a_copy_takes_back_only_what_it_made(self) -> None:
        world = self.world
        world.stores.read_only = set()
        world.image("active", ("one",))
        world.stores.broken["ro"] = errors.StoreFull("full")
        world.start(copy("two", "ro"))
        after = world.now()
        self.assertEqual(["one"], [location.store for location in after.locations])
        self.assertEqual(("active", ("", "ro")), (after.status, self.lists()))
        self.assertEqual(["memory://one/" + ID], list(world.stores.objects))

    def test_a_copy_that_may_fail_keeps_what_it_made(self) -> None:
        world = self.world
        world.stores.read_only = set()
        world.image("active", ("one",))
        world.stores.broken["ro"] = errors.StoreFull("full")
        world.start(copy("two", "ro", all_must_succeed=False))
        after = world.now()
        self.assertEqual(["one", "two"], [location.store for location in after.locations])
        self.assertEqual(("", "ro"), self.lists())

    def test_the_image_is_deleted_meanwhile(self) -> None:
        world = self.world
        world.image("uploading")
        world.stage()
        world.importer.start(CALLER, world.now(), direct())
        world.images.delete(CALLER, world.now())
        world.executor.run_all()
        self.assertEqual(({}, []), (world.stores.objects, world.staged()))
        self.assertEqual("failure", world.task.status)
        self.assertEqual([], world.claim_records.held())

    def test_the_claim_is_lost(self) -> None:
        """The other worker rolls back; this one touches nothing."""
        world = self.world
        world.image("uploading")
        world.stage()
        world.importer.start(CALLER, world.now(), direct())
        world.images.held[ID] = dataclasses.replace(world.images.held[ID], holder="other")
        with self.assertLogs("glance_py.importing", "WARNING") as logged:
            world.executor.run_all()
        self.assertIn("taken over by another worker", "".join(logged.output))
        self.assertEqual("importing", world.now().status)
        self.assertEqual("failure", world.task.status)
        self.assertEqual("other", world.images.held[ID].holder)

    def test_the_outcome_of_a_write_is_unknown(self) -> None:
        """Recovery decides: the claim stays until it expires."""
        world = self.world
        world.image("uploading")
        world.stage()
        world.importer.start(CALLER, world.now(), direct())
        world.images.fail = {len(world.images.changes) + 1: errors.OutcomeUnknown()}
        with self.assertLogs("glance_py.importing", "WARNING") as logged:
            world.executor.run_all()
        self.assertIn("left to recovery", "".join(logged.output))
        self.assertEqual(1, len(world.claim_records.held()))
        self.assertEqual("active", world.now().status)
        self.assertEqual([f"memory://one/{ID}"], list(world.stores.objects))
        self.assertTrue(world.claims.is_idle)

    def test_the_outcome_of_the_last_write_is_unknown(self) -> None:
        """It cannot change anything any more, as the rollback has released the claim."""
        world = self.world
        world.image("uploading")
        world.stage()
        world.importer.start(CALLER, world.now(), direct())
        world.images.fail = {len(world.images.changes) + 2: errors.OutcomeUnknown()}
        world.executor.run_all()
        self.assertEqual(("active", "failure"), (world.now().status, world.task.status))
        self.assertEqual([], world.claim_records.held())

    def test_a_rollback_that_fails_is_left_to_recovery(self) -> None:
        world = self.world
        world.image()
        world.fetcher.open = self.refuse
        world.importer.start(CALLER, world.now(), web())
        world.staging.remove = self.fail_to_remove
        with self.assertLogs("taskflow", "WARNING"):
            world.executor.run_all()
        self.assertEqual("importing", world.now().status)
        self.assertEqual(1, len(world.claim_records.held()))
        self.assertEqual("failure", world.task.status)

    @staticmethod
    def fail_to_remove(name: str) -> None:
        raise OSError(5, "Input/output error")

    def test_a_task_that_was_cancelled(self) -> None:
        world = self.world
        world.image("uploading")
        world.stage()
        world.importer.start(CALLER, world.now(), direct())
        world.executor.stop(0)
        [(task, function, after)] = world.executor.queued
        world.executor.queued.clear()

        def cancelled(running_task):
            running_task.cancel_reason = "stopped"
            running_task.raise_if_cancelled = type(running_task).raise_if_cancelled.__get__(
                running_task
            )
            return function(running_task)

        world.executor.run(task, cancelled, after)
        self.assertEqual(("failure", "stopped"), (world.task.status, world.task.message))
        self.assertEqual("queued", world.now().status)


class StoresInParallelTest(ImporterCase):
    def test_all_and_one_that_fails(self) -> None:
        for workers, broken in ((10, None), (1, None), (10, "two")):
            settings = Settings(
                imports=ImportSettings(max_parallel_stores=2),
                tasks=TaskSettings(max_workers=workers),
            )
            world = self.world = World(self, settings)
            world.image("uploading")
            world.stage()
            if broken:
                world.stores.broken[broken] = errors.StoreFull("full")
            world.start(direct(stores=["one", "two"]))
            after = world.now()
            with self.subTest(workers=workers, broken=broken):
                if broken:
                    self.assertEqual(("queued", []), (after.status, after.locations))
                    self.assertEqual("full", world.task.message)
                else:
                    self.assertEqual(("active", 2), (after.status, len(after.locations)))
                self.assertEqual(("", broken or ""), self.lists())

    def test_several_failures(self) -> None:
        settings = Settings(imports=ImportSettings(max_parallel_stores=2))
        world = self.world = World(self, settings)
        world.image("uploading")
        world.stage()
        world.stores.broken = {"one": errors.StoreFull("full"), "two": errors.StoreFull("full")}
        world.start(direct(stores=["one", "two"]))
        self.assertEqual(("queued", "full"), (world.now().status, world.task.message))


class RecoverTest(ImporterCase):
    def recover(self, kind: str = "import") -> list[str]:
        claim = self.world.hold(kind, "t")
        return self.world.importer.recover(claim)

    def test_an_import(self) -> None:
        world = self.world
        world.image("importing", ("one",), size=4, checksum="c")
        world.stage()
        world.stores.add("two", ID, [b"half"])
        world.tasks.tasks["t"] = Task(
            "t", "x", "p", status="processing", input={"backend": ["one", "two"]}
        )
        lines = self.recover()
        self.assertEqual(
            [f"The import of task t was left by a dead worker: image {ID} is queued"], lines
        )
        after = world.now()
        self.assertEqual(
            ("queued", None, None, []), (after.status, after.size, after.checksum, after.locations)
        )
        self.assertEqual(("", "one,two"), self.lists())
        self.assertEqual(({}, []), (world.stores.objects, world.staged()))
        self.assertEqual(("failure", importer.WORKER_DIED), (world.task.status, world.task.message))
        self.assertEqual([], world.claim_records.held())

    def test_a_task_that_has_ended(self) -> None:
        world = self.world
        world.image("importing")
        world.tasks.tasks["t"] = Task("t", "x", "p", status="success", input={})
        self.recover()
        self.assertEqual(("success", "queued"), (world.task.status, world.now().status))
        self.assertEqual(("", "one,ro,two"), self.lists())

    def test_a_task_that_ends_meanwhile(self) -> None:
        world = self.world
        world.image("importing")
        world.tasks.tasks["t"] = Task("t", "x", "p", status="processing")

        def fail(task, message):
            raise errors.TaskAlreadyFinished(task.id)

        world.tasks.fail = fail
        self.recover()
        self.assertEqual("queued", world.now().status)

    def test_without_a_task(self) -> None:
        world = self.world
        world.image("importing")
        self.recover()
        self.assertEqual("queued", world.now().status)

    def test_an_active_image_keeps_its_copies(self) -> None:
        world = self.world
        world.image("active", ("one",), size=4)
        world.stores.add("two", ID, [b"half"])
        world.tasks.tasks["t"] = Task("t", "x", "p", input={"backend": ["one", "two"]})
        self.recover("copy")
        after = world.now()
        self.assertEqual(("active", 4, ("", "two")), (after.status, after.size, self.lists()))
        self.assertEqual([f"memory://one/{ID}"], list(world.stores.objects))

    def test_staged_data_of_an_import_that_had_not_begun_stays(self) -> None:
        world = self.world
        world.image("uploading", size=4)
        world.stage()
        lines = self.recover()
        self.assertIn("is uploading", lines[0])
        self.assertEqual(([ID], []), (world.staged(), world.claim_records.held()))

    def test_a_deleted_image(self) -> None:
        world = self.world
        world.image("importing")
        world.stage()
        claim = world.hold("import", "t")
        world.images.delete(CALLER, world.now())
        world.stores.add("two", claim.object_name, [b"half"])
        self.assertIn("is gone", world.importer.recover(claim)[0])
        self.assertEqual(({}, []), (world.stores.objects, world.staged()))
        self.assertEqual([], world.claim_records.held())

    def test_a_status_that_changes_at_the_end(self) -> None:
        world = self.world
        world.image("importing")
        claim = world.hold("import", "t")
        world.images.fail = {2: errors.StatusConflict(ID)}
        world.importer.recover(claim)
        self.assertEqual([], world.claim_records.held())

    def test_a_store_that_is_away(self) -> None:
        """Its object is recorded as data to remove."""
        world = self.world
        world.image("importing")
        real = world.stores.delete_attempt

        def away(name, store=None, strict=False):
            if store == "two":
                raise store_errors.RemoteServiceUnavailable()
            return real(name, store, strict)

        world.stores.delete_attempt = away
        self.recover()
        self.assertEqual([f"memory://two/{ID}"], [x.url for x in world.pending.added])


class StagedDataTest(ImporterCase):
    def test_of_each_attempt(self) -> None:
        world = self.world
        world.image("uploading")
        self.assertFalse(world.importer.has_staged_data(ID))
        world.stage()
        self.assertTrue(world.importer.has_staged_data(ID))
        world.hold()
        world.images.held[ID] = dataclasses.replace(world.images.held[ID], staged=3)
        self.assertFalse(world.importer.has_staged_data(ID))
        world.stage(f"{ID}.3")
        self.assertTrue(world.importer.has_staged_data(ID))


class SourceTest(unittest.TestCase):
    def test_kinds(self) -> None:
        judge = UriFilter()
        self.assertIsNone(build_source(direct(), judge))
        self.assertIsNone(build_source(copy("one"), judge))
        source = build_source(web(" http://source/x "), judge)
        self.assertIsInstance(source, WebDownload)
        self.assertEqual(("http://source/x", None), (source._uri, source._checksum))
        source = build_source(web(method={"checksum": "ab", "checksum_algorithm": "md5"}), judge)
        self.assertEqual(("md5", "ab"), source._checksum)
        source = build_source(
            ImportRequest(
                "glance-download",
                {
                    "glance_region": "r",
                    "glance_service_interface": "internal",
                    "glance_image_id": "i",
                },
                {},
            ),
            judge,
        )
        self.assertIsInstance(source, GlanceDownload)
        self.assertEqual(
            ("r", "internal", "i"), (source._region, source._interface, source._image_id)
        )


if __name__ == "__main__":
    unittest.main()
