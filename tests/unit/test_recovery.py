"""Recovery: when holders count as dead, and the thread that looks for their work."""

from __future__ import annotations

import os
import threading
import types
import unittest
from collections.abc import Iterator
from unittest import mock

from glance_py import recovery
from glance_py.claims import LeaseTimes
from glance_py.domain import errors
from glance_py.domain.claim import HeldClaim, UnclaimedWork
from glance_py.domain.image import Location
from glance_py.recovery import HostLock, LivenessMonitor, Recovery
from tests.manual_clock import ManualClock
from tests.unit.importing.fakes import ID, World


class LivenessTest(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = ManualClock()
        self.monitor = LivenessMonitor(self.clock, 5.0)

    def look(self, seconds: float, **markers: object) -> dict[str, float]:
        self.clock.now += seconds
        return dict(self.monitor.update(markers))

    def test_silence_adds_up_until_a_marker_changes(self) -> None:
        self.assertEqual({"a": 0}, self.look(5, a=1))
        self.assertEqual({"a": 5, "b": 0}, self.look(5, a=1, b=1))
        self.assertEqual({"a": 11, "b": 6}, self.look(6, a=1, b=1))
        self.assertEqual({"a": 0, "b": 11}, self.look(5, a=2, b=1))
        self.assertEqual({"b": 16}, self.look(5, b=1))
        self.assertEqual({"a": 0, "b": 21}, self.look(5, a=2, b=1))

    def test_a_pause_of_the_observer_does_not_count(self) -> None:
        self.look(0, a=1)
        self.assertEqual({"a": 10}, self.look(3600, a=1))
        self.assertEqual({"a": 19.5}, self.look(9.5, a=1))


class Claims:
    """The records of claims that a recovery reads."""

    def __init__(self, world: World) -> None:
        self._records = world.claim_records
        self._images = world.images
        self.work: list[UnclaimedWork] = []
        self.windows: list[float | None] = []
        self.get, self.release = self._records.get, self._records.release
        self.held, self.beat = self._records.held, self._records.beat
        self.is_refused = False

    def take_over(self, claim: HeldClaim, holder: str):
        if self.is_refused:
            return None
        request = types.SimpleNamespace(holder=holder, kind=claim.kind, task_id=claim.task_id)
        return types.SimpleNamespace(
            generation=self._images.take(claim.image_id, request).generation, staged=claim.staged
        )

    def unclaimed(self, seconds: float | None = None) -> list[UnclaimedWork]:
        self.windows.append(seconds)
        return self.work

    def take_unclaimed(self, work: UnclaimedWork, request):
        self.work = []
        if self.is_refused:
            return None
        return types.SimpleNamespace(
            generation=self._images.take(work.image_id, request).generation, staged=1
        )


class RecoveryCase(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World(self)
        self.clock = self.world.clock
        self.world.stores.cleanup = lambda: ["cleaned"]
        self.records = Claims(self.world)
        self.world.repositories.claims = self.records
        self.world.pending.find = lambda *more: []
        self.handled: list[object] = []
        self.recovery = self.build()

    def build(self, times: LeaseTimes | None = None) -> Recovery:
        world = self.world
        return Recovery(
            world.repositories,
            world.stores,
            world.claims,
            recovery.recovery_handlers(self.handle("import"), self.handle("location")),
            list,
            HostLock(f"{os.getpid()} {id(self)}"),
            self.clock,
            times,
        )

    def handle(self, name: str):
        def handler(claim) -> Iterator[str]:
            self.handled.append((name, claim.kind, claim.image_id, claim.holder))
            world_claims = self.world.claims
            world_claims.release(claim)
            yield f"{name} done"

        return handler

    def take(self, kind: str, status: str = "saving", **fields: object) -> None:
        """An image whose holder never refreshes its claim."""
        self.world.image(status, **fields)
        self.world.claims.stop_keeping_alive(self.world.hold(kind, "t"))

    def scan(self, seconds: float = 35.0) -> list[str]:
        """Scan every five seconds for a while; the lines of all scans but those of clean-ups."""
        lines: list[str] = []
        for _ in range(int(seconds / 5)):
            lines += self.recovery.recover()
            self.clock.now += 5
        return [line for line in lines if line != "cleaned"]


class TakeOverTest(RecoveryCase):
    def test_after_the_lease(self) -> None:
        self.take("import", "importing")
        self.assertEqual([], self.scan(30))
        self.assertEqual(["import done"], self.scan(5))
        [(name, kind, image_id, _)] = self.handled
        self.assertEqual(("import", "import", ID), (name, kind, image_id))
        self.assertEqual([], self.world.claim_records.held())
        self.assertTrue(self.world.claims.is_idle)

    def test_each_kind(self) -> None:
        for kind, name in (
            ("import", "import"),
            ("copy", "import"),
            ("task", "import"),
            ("location_import", "location"),
        ):
            self.take(kind, "importing")
            self.assertEqual([f"{name} done"], self.scan())

    def test_an_unknown_kind_is_released(self) -> None:
        self.take("remove", "active")
        self.assertEqual([f"The claim of image {ID} was left by a dead worker"], self.scan())
        self.assertEqual([], self.world.claim_records.held())

    def test_a_holder_that_is_alive(self) -> None:
        self.take("import", "importing")
        held = self.world.images.held
        for beats in range(20):
            held[ID] = HeldClaim(ID, 1, held[ID].holder, "import", beats, "", "t")
            self.assertEqual([], self.scan(5))

    def test_a_holder_that_refreshes_at_the_last_moment(self) -> None:
        self.take("import", "importing")
        self.records.is_refused = True
        self.assertEqual([], self.scan())
        self.assertEqual([], self.handled)

    def test_an_error_is_tried_again(self) -> None:
        self.take("remove", "active")
        real = self.world.claims.release
        with (
            mock.patch.object(self.world.claims, "release", side_effect=RuntimeError),
            self.assertLogs("glance_py.recovery", "ERROR") as logged,
        ):
            self.assertEqual([], self.scan())
        self.assertIn(f"take_over failed for HeldClaim(image_id='{ID}'", logged.output[0])
        self.world.claims.release = real
        self.assertEqual(1, len(self.scan()))

    def test_a_database_that_is_away_ends_the_scan(self) -> None:
        self.take("remove", "active")
        self.scan(30)
        self.records.take_over = mock.Mock(side_effect=errors.DatabaseUnavailable())
        self.assertRaises(errors.DatabaseUnavailable, self.recovery.recover)


class RequeueTest(RecoveryCase):
    def test_an_upload(self) -> None:
        self.take("upload", size=4)
        for store in ("one", "two"):
            self.world.stores.add(store, ID, [b"half"])
        lines = self.scan()
        self.assertEqual(
            [
                f"Removed memory://one/{ID}, which a dead worker left",
                f"Removed memory://two/{ID}, which a dead worker left",
                f"Image {ID} was left saving by a dead worker: it is queued again",
            ],
            lines,
        )
        after = self.world.now()
        self.assertEqual(
            ("queued", None, {}), (after.status, after.size, self.world.stores.objects)
        )
        # The next attempt writes under another name: the dead one may still be writing.
        self.assertEqual("", self.world.images.held[ID].holder)

    def test_an_upload_that_was_recorded(self) -> None:
        self.take("upload", "active", size=4)
        stored = self.world.stores.add("one", ID, [b"data"])
        self.world.images.images[ID].locations = [Location(stored.url, {"store": "one"}, id=1)]
        self.assertEqual([], self.scan())
        self.assertEqual([stored.url], list(self.world.stores.objects))
        self.assertEqual([], self.world.claim_records.held())
        self.assertEqual("active", self.world.now().status)

    def test_staging(self) -> None:
        for size, after, staged in ((None, "queued", []), (4, "uploading", [])):
            self.take("stage", "uploading", size=size)
            self.world.stage()
            self.world.stores.add("one", ID, [b"not touched"])
            self.scan()
            self.assertEqual((after, staged), (self.world.now().status, self.world.staged()))
            self.assertEqual(1, len(self.world.stores.objects))
            self.assertEqual([], self.world.claim_records.held())

    def test_a_deleted_image(self) -> None:
        self.take("upload")
        self.world.stores.add("one", ID, [b"half"])
        self.world.images.images.clear()
        self.assertEqual([f"Removed memory://one/{ID}, which a dead worker left"], self.scan())
        self.assertEqual([], self.world.claim_records.held())


class UnclaimedTest(RecoveryCase):
    """Work of processes that do not know claims."""

    def test_work_whose_record_does_not_change(self) -> None:
        self.world.image("importing", properties={"os_glance_import_task": "named"})
        self.records.work = [UnclaimedWork(ID, "import", None, "stamp")]
        self.assertEqual([], self.scan(30))
        self.assertEqual(["import done"], self.scan(5))
        self.assertTrue(all(window is None for window in self.records.windows))

    def test_the_claim_names_the_task_and_leaves_objects(self) -> None:
        for task_id, named, expected in (
            ("t", "other", ("t", "other")),
            (None, "other", ("other", "other")),
            ("t", None, ("t", None)),
        ):
            properties = {} if named is None else {"os_glance_import_task": named}
            self.world.image("saving", properties=properties)
            self.records.work = [UnclaimedWork(ID, "upload", task_id)]
            requests: list = []
            real = self.records.take_unclaimed
            with mock.patch.object(
                self.records,
                "take_unclaimed",
                lambda work, request, real=real, requests=requests: (
                    requests.append(request) or real(work, request)
                ),
            ):
                self.scan()
            self.assertEqual(expected, (requests[0].task_id, requests[0].replaces))
            self.assertEqual("queued", self.world.now().status)
            self.assertEqual("", self.world.images.held[ID].holder)
            self.recovery = self.build()

    def test_of_a_deleted_image(self) -> None:
        self.records.work = [UnclaimedWork(ID, "upload", "t")]
        self.assertEqual([], self.scan())
        self.assertEqual([], self.records.work)

    def test_work_whose_record_changes_at_the_last_moment(self) -> None:
        self.world.image("importing")
        self.records.work = [UnclaimedWork(ID, "import")]
        self.records.is_refused = True
        self.assertEqual([], self.scan())

    def test_how_often_and_how_far_back(self) -> None:
        self.scan(5)
        self.assertEqual([None], self.records.windows)
        self.scan(595)
        self.assertEqual([None], self.records.windows)
        self.scan(5)
        self.assertEqual([None, recovery.UNCLAIMED_WINDOW_SECONDS], self.records.windows)
        self.records.work = [UnclaimedWork(ID, "unknown kind")]
        self.clock.now += 600
        self.scan(10)
        self.assertEqual(4, len(self.records.windows))


class CleanUpTest(RecoveryCase):
    def count(self, seconds: float) -> int:
        before = self.clock.now
        lines = 0
        while self.clock.now < before + seconds:
            lines += self.recovery.recover().count("cleaned")
            self.clock.now += 5
        return lines

    def test_once_a_minute(self) -> None:
        self.assertEqual(1, self.count(60))
        self.assertEqual(1, self.count(60))

    def test_after_anything_was_done(self) -> None:
        self.take("remove", "active")
        self.assertEqual(2, self.count(35))

    def test_staged_data(self) -> None:
        self.recovery._recover_staging = lambda: ["staged"]
        self.assertEqual(["staged"], self.scan(60))

    def test_pending_data_at_every_twelfth_scan(self) -> None:
        asked: list[tuple] = []
        self.world.pending.find = lambda *more: asked.append(more) or []
        self.scan(60)
        self.assertEqual([(30.0, 0, 1000, True)], asked)
        self.scan(5)
        self.assertEqual(2, len(asked))

    def test_a_step_that_fails_does_not_keep_the_next(self) -> None:
        self.world.stores.cleanup = mock.Mock(side_effect=RuntimeError, __name__="cleanup")
        self.recovery._recover_staging = lambda: ["staged"]
        with self.assertLogs("glance_py.recovery", "ERROR") as logged:
            self.assertEqual(["staged"], self.scan(5))
        self.assertIn("cleanup failed; it will be tried again", logged.output[0])

    def test_other_times(self) -> None:
        self.recovery = self.build(LeaseTimes(timeout=0.0))
        self.take("remove", "active")
        self.assertEqual(1, len(self.scan(5)))


class ThreadTest(RecoveryCase):
    def test_until_it_is_stopped(self) -> None:
        scanned = threading.Semaphore(0)
        problems: list[Exception] = [errors.DatabaseUnavailable(), RuntimeError("unforeseen")]

        def recover() -> None:
            scanned.release()
            if problems:
                raise problems.pop()

        self.recovery = self.build(LeaseTimes(scan=0.001))
        self.recovery.recover = recover
        with self.assertLogs("glance_py.recovery", "WARNING") as logged:
            self.recovery.start()
            for _ in range(4):
                self.assertTrue(scanned.acquire(timeout=60))
            self.recovery.stop()
        self.assertEqual(2, len(logged.output))
        [thread] = [each for each in threading.enumerate() if each.name == "recovery"] or [None]
        if thread is not None:
            thread.join(60)
        self.assertIsNone(self.recovery._host_lock._socket)

    def test_one_process_of_a_host(self) -> None:
        other = HostLock(f"{os.getpid()} {id(self)}")
        self.assertTrue(other.acquire())
        self.addCleanup(other.release)
        called: list[int] = []
        self.recovery = self.build(LeaseTimes(scan=0.001))
        self.recovery.recover = lambda: called.append(1)
        self.recovery._stop.set()
        self.recovery._run()
        self.assertEqual([], called)
        other.release()
        self.recovery._run()
        self.assertEqual([1], called)

    def test_in_a_child(self) -> None:
        """A child of a process that has started looks, too, when its parent has ended."""
        for started, expected in ((True, True), (False, False)):
            self.recovery = self.build(LeaseTimes(scan=3600.0))
            called = threading.Event()
            if started:
                self.recovery.recover = lambda: None
                self.recovery.start()
            child = os.fork()
            if child == 0:
                names = [each.name for each in threading.enumerate()]
                os._exit(0 if ("recovery" in names) == expected else 1)
            self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), started)
            self.recovery.stop()
            self.assertFalse(called.is_set())


class HostLockTest(unittest.TestCase):
    def test_one_holder_for_a_subject(self) -> None:
        one, two, other = HostLock("s"), HostLock("s"), HostLock("o")
        for lock in (one, two, other):
            self.addCleanup(lock.release)
        self.assertTrue(one.acquire())
        self.assertTrue(one.acquire())
        self.assertFalse(two.acquire())
        self.assertTrue(other.acquire())
        one.release()
        one.release()
        self.assertTrue(two.acquire())

    def test_subjects(self) -> None:
        """The records and the staging directory, by its device and inode."""

        def subject(conf, stores) -> str:
            return recovery.host_lock(conf, stores)._address

        def conf(**options: object) -> types.SimpleNamespace:
            return types.SimpleNamespace(
                data_api="glance.db.sqlalchemy.api",
                database=types.SimpleNamespace(connection="sqlite:///a"),
                registry_host="r",
                registry_port=1,
                **options,
            )

        world, other = World(self), World(self)
        subjects = {
            subject(conf(), world.stores),
            subject(conf(), other.stores),
            subject(conf(), types.SimpleNamespace(predict_url=lambda store, name: None)),
        }
        self.assertEqual(3, len(subjects))
        os.symlink(world.directory, f"{other.directory}/link")
        other.stores.directory = f"{other.directory}/link"
        self.assertEqual(subject(conf(), world.stores), subject(conf(), other.stores))
        remote = conf()
        remote.data_api = "glance.db.registry.api"
        self.assertNotEqual(subject(conf(), world.stores), subject(remote, world.stores))


if __name__ == "__main__":
    unittest.main()
