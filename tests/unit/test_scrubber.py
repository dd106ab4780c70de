"""Removal of the data of deleted images, over records in memory."""

from __future__ import annotations

import dataclasses
import threading
import types
import unittest

from glance_py.domain import errors
from glance_py.domain.image import Location
from glance_py.domain.ports import PendingData
from glance_py.scrubber import Scrubber, ScrubResult
from glance_store_py import errors as store_errors


class Pending:
    """Pending data in memory; ``barred`` are the ids of locations that were restored meanwhile."""

    def __init__(self, *found: PendingData) -> None:
        self.found = list(found)
        self.asked: list[tuple] = []
        self.log: list[tuple] = []
        self.barred: set[int] = set()
        self.restorable = {"kept"}

    def find(self, seconds: float, after: int, limit: int, orphaned: bool) -> list[PendingData]:
        self.asked.append((seconds, after, limit, orphaned))
        return [each for each in self.found if (each.location.id or 0) > after][:2]

    def begin_removal(self, locations) -> list[int]:
        self.log.append(("begin", [location.id for location in locations]))
        return [location.id for location in locations if location.id not in self.barred]

    def cancel_removal(self, locations) -> None:
        self.log.append(("cancel", [location.id for location in locations]))

    def mark_deleted(self, locations) -> None:
        self.log.append(("deleted", [location.id for location in locations]))

    def complete_deletion(self, image_id: str) -> bool:
        self.log.append(("complete", image_id))
        return True

    def restore(self, image_id: str, status: str) -> None:
        if image_id not in self.restorable:
            raise errors.ImageNotFound(image_id)
        self.log.append(("restore", image_id, status))

    def statuses_at(self, image_id: str, url: str) -> tuple[str, ...]:
        return ("pending_delete",)

    def any_exist(self, ids) -> bool:
        return False

    def is_shared(self, image_id: str, url: str) -> bool:
        return False


class Stores:
    """Deletes URLs, or raises the error of ``errors``."""

    def __init__(self, **broken: Exception) -> None:
        self.broken = broken
        self.deleted: list[str] = []
        self.threads: set[str] = set()

    def delete(self, url: str, store: str | None = None, caller=None) -> None:
        self.threads.add(threading.current_thread().name)
        name = url.removeprefix("memory://")
        if name in self.broken:
            raise self.broken[name]
        self.deleted.append(name)


def data(image_id: str, number: int, status: str = "deleted") -> PendingData:
    return PendingData(image_id, status, Location(f"memory://{image_id}{number}", id=number))


class ScrubTest(unittest.TestCase):
    def scrub(self, pending: Pending, stores: Stores, threads: int = 1) -> list[ScrubResult]:
        return list(Scrubber(stores, pending, threads).scrub(60.0))

    def test_page_by_page(self) -> None:
        pending = Pending(*(data("a", number) for number in (1, 2, 3)))
        stores = Stores()
        self.assertEqual(
            [ScrubResult("a", 2, 0), ScrubResult("a", 1, 0)], self.scrub(pending, stores)
        )
        self.assertEqual(["a1", "a2", "a3"], stores.deleted)
        self.assertEqual(
            [(60.0, 0, 1000, False), (60.0, 2, 1000, False), (60.0, 3, 1000, False)],
            pending.asked,
        )

    def test_the_record_comes_first(self) -> None:
        pending = Pending(data("a", 1))
        self.scrub(pending, Stores())
        self.assertEqual([("begin", [1]), ("deleted", [1])], pending.log)

    def test_images_are_separate(self) -> None:
        pending = Pending(data("b", 1, "pending_delete"), data("a", 2))
        self.assertEqual(["a", "b"], [done.image_id for done in self.scrub(pending, Stores())])
        self.assertIn(("complete", "b"), pending.log)
        self.assertNotIn(("complete", "a"), pending.log)

    def test_data_that_was_restored_meanwhile(self) -> None:
        pending = Pending(data("a", 1), data("a", 2))
        pending.barred = {1}
        stores = Stores()
        self.assertEqual([ScrubResult("a", 1, 0)], self.scrub(pending, stores))
        self.assertEqual(["a2"], stores.deleted)

    def test_a_store_that_fails(self) -> None:
        pending = Pending(data("a", 1), data("a", 2))
        with self.assertLogs("glance_py.layers.data_deletion", "ERROR"):
            [done] = self.scrub(pending, Stores(a1=RuntimeError()))
        self.assertEqual(("a", 1, 1), (done.image_id, done.removed, done.left))
        self.assertIn("its error is in the log", done.reason)

    def test_data_that_is_in_use(self) -> None:
        pending = Pending(data("a", 1), data("a", 2))
        [done] = self.scrub(pending, Stores(a1=store_errors.InUseByStore("a volume")))
        self.assertEqual((0, 2), (done.removed, done.left))
        self.assertTrue(done.reason)
        self.assertIn(("cancel", [1]), pending.log)

    def test_several_threads(self) -> None:
        pending, stores = Pending(data("a", 1), data("b", 2)), Stores()
        self.assertEqual(["a", "b"], [x.image_id for x in self.scrub(pending, stores, threads=2)])
        self.assertTrue(all(name.startswith("scrubber") for name in stores.threads))
        stores = Stores()
        self.scrub(pending, stores)
        self.assertEqual({threading.current_thread().name}, stores.threads)

    def test_only_orphans(self) -> None:
        pending = Pending()
        self.assertEqual([], list(Scrubber(Stores(), pending).scrub(1.0, orphaned=True)))
        self.assertEqual([(1.0, 0, 1000, True)], pending.asked)

    def test_a_location_without_an_id(self) -> None:
        """It cannot be read again, so that the loop ends."""
        without = dataclasses.replace(data("a", 1), location=Location("memory://a1"))
        pending = Pending()
        pages = [[without], []]
        pending.find = lambda seconds, after, limit, orphaned: pages.pop(0)
        pending.begin_removal = lambda locations: [None]
        self.assertEqual(1, len(self.scrub(pending, Stores())))


class RestoreTest(unittest.TestCase):
    def test_restored(self) -> None:
        pending = Pending()
        Scrubber(types.SimpleNamespace(), pending).restore("kept")
        self.assertEqual([("restore", "kept", "active")], pending.log)

    def test_not_there(self) -> None:
        with self.assertRaisesRegex(errors.Conflict, "Image x is not restored"):
            Scrubber(types.SimpleNamespace(), Pending()).restore("x")


if __name__ == "__main__":
    unittest.main()
