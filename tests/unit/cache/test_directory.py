"""The files of the cache: names, locks, sizes, and what the dead leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

from glance_py.cache import directory as module
from glance_py.cache.directory import (
    CacheBusy,
    CacheDirectory,
    is_write_lock_released,
    release_write_lock,
)
from glance_py.domain import errors

#: A writer that is killed in the middle of an image.
KILLED = """
import os, sys
from glance_py.cache.directory import CacheDirectory
directory = CacheDirectory(sys.argv[1])
with directory.locked():
    fd = directory.create_partial(sys.argv[2], 1000)
os.write(fd, b"x" * 10)
os.kill(os.getpid(), 9)
"""


class DirectoryCase(unittest.TestCase):
    def setUp(self) -> None:
        self.root = self.enterContext(tempfile.TemporaryDirectory(prefix="glance-cache-"))
        self.directory = CacheDirectory(self.root)
        self.image_id = str(uuid.uuid4())

    def begin(self, size: int = 10) -> int:
        with self.directory.locked():
            fd = self.directory.create_partial(self.image_id, size)
        self.addCleanup(os.close, fd)
        return fd

    def commit(self, fd: int) -> bool:
        with self.directory.locked():
            committed = self.directory.commit(self.image_id, fd)
        release_write_lock(fd)
        return committed

    def names(self, part: str) -> list[str]:
        return sorted(os.listdir(os.path.join(self.root, part)))


class TestWriting(DirectoryCase):
    def test_an_image_is_there_when_it_is_complete(self) -> None:
        fd = self.begin()
        os.write(fd, b"0123456789")
        self.assertEqual({}, self.directory.image_files())
        self.assertEqual([self.image_id, self.image_id + ".size"], self.names("incomplete"))
        self.assertTrue(self.commit(fd))
        self.assertEqual([self.image_id], list(self.directory.image_files()))
        self.assertEqual([], self.names("incomplete"))

    def test_there_is_one_writer(self) -> None:
        fd = self.begin()
        self.assertTrue(self.directory.is_being_written(self.image_id))
        self.assertRaises(FileExistsError, self.begin)
        other = self.directory.open_partial(self.image_id)
        self.addCleanup(os.close, other)
        self.assertFalse(is_write_lock_released(other))
        self.commit(fd)
        self.assertTrue(is_write_lock_released(other))
        self.assertTrue(self.directory.is_committed(self.image_id, other))

    def test_an_image_that_is_removed_while_it_is_written_does_not_come(self) -> None:
        fd = self.begin()
        self.directory.remove(self.image_id)
        self.assertFalse(self.commit(fd))
        self.assertEqual({}, self.directory.image_files())

    def test_another_writer_of_the_same_name_is_not_committed_by_mistake(self) -> None:
        fd = self.begin()
        self.directory.remove(self.image_id)
        self.begin()
        self.assertFalse(self.commit(fd))
        self.assertEqual({}, self.directory.image_files())

    def test_what_is_given_up_is_put_aside(self) -> None:
        fd = self.begin()
        self.directory.invalidate_partial(self.image_id, fd)
        self.assertEqual([self.image_id], self.names("invalid"))
        self.assertEqual([], self.names("incomplete"))
        self.directory.remove_invalid()
        self.assertEqual([], self.names("invalid"))


class TestLeftovers(DirectoryCase):
    def kill_a_writer(self) -> None:
        subprocess.run([sys.executable, "-c", KILLED, self.root, self.image_id], check=False)
        self.assertIn(self.image_id, self.names("incomplete"))

    def test_what_a_killed_writer_left_is_removed(self) -> None:
        self.kill_a_writer()
        self.assertFalse(self.directory.is_being_written(self.image_id))
        self.assertEqual(10, self.directory.remove_orphaned_partials())
        self.assertEqual([], self.names("incomplete"))

    def test_what_a_living_writer_holds_stays(self) -> None:
        self.begin()
        self.assertEqual(0, self.directory.remove_orphaned_partials())
        self.assertEqual(2, len(self.names("incomplete")))

    def test_what_nobody_touched_for_too_long_is_removed_all_the_same(self) -> None:
        fd = self.begin()
        os.utime(fd, (0, time.time() - 100))
        self.directory.remove_stalled_partials(1000)
        self.assertEqual(2, len(self.names("incomplete")))
        self.directory.remove_stalled_partials(10)
        self.assertEqual([], self.names("incomplete"))


class TestSpace(DirectoryCase):
    def test_what_is_being_written_counts_in_full(self) -> None:
        fd = self.begin(1000)
        os.write(fd, b"x")
        self.assertEqual(1000, self.directory.reserved_bytes())
        self.assertEqual(1000, self.directory.used_bytes())

    def test_what_was_put_aside_counts(self) -> None:
        fd = self.begin(1000)
        os.write(fd, b"xxx")
        self.directory.invalidate_partial(self.image_id, fd)
        self.assertEqual(3, self.directory.used_bytes())

    def test_files_of_others_are_no_images(self) -> None:
        for name in ("cache.db", "image_cache_db_init", "glance-cache"):
            with open(os.path.join(self.root, name), "w") as file:
                file.write("something")
            self.assertIsNone(self.directory.remove(name))
        self.assertEqual({}, self.directory.image_files())
        self.assertEqual(0, self.directory.used_bytes())
        self.assertIn("cache.db", os.listdir(self.root))


class TestQueue(DirectoryCase):
    def test_first_come_first_served(self) -> None:
        for place, name in enumerate(("b", "c", "a")):
            self.directory.enqueue(name)
            os.utime(os.path.join(self.root, "queue", name), (place, place))
        self.directory.enqueue("b")
        self.assertEqual(["b", "c", "a"], self.directory.queued())
        self.assertTrue(self.directory.dequeue("c"))
        self.assertFalse(self.directory.dequeue("c"))
        self.assertEqual(["b", "a"], self.directory.queued())

    def test_a_marker_lies_in_the_queue_or_nowhere(self) -> None:
        for name in ("", ".", "..", "../x", "a/b", ".hidden", "x" * 300, "a\0b", "\udcff"):
            self.assertRaises(errors.Invalid, self.directory.enqueue, name)
            self.assertRaises(errors.Invalid, self.directory.dequeue, name)
        self.assertEqual([], self.directory.queued())


class SteppingClock:
    """A clock that moves when somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class TestLock(DirectoryCase):
    def test_nobody_waits_for_ever(self) -> None:
        clock = SteppingClock()
        waiting = CacheDirectory(self.root, clock)
        with self.directory.locked():
            self.assertRaises(CacheBusy, waiting.locked().__enter__)
        self.assertGreater(clock.now, module.LOCK_TIMEOUT)
        with waiting.locked():
            pass


if __name__ == "__main__":
    unittest.main()
