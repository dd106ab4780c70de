"""One fill for many readers, whatever happens to readers, store and disk."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import os
import random
import subprocess
import sys
import tempfile
import threading
import types
import unittest
from unittest import mock

from glance_py.cache import fill as fill_module
from glance_py.cache import sqlite_driver
from glance_py.cache.directory import CacheDirectory
from glance_py.cache.image_cache import ImageCache
from glance_py.cache.prefetch import Prefetcher
from glance_py.cache.sqlite_driver import SqliteCacheDriver
from glance_py.domain import errors
from tests.unit.cache.fakes import CHUNK, Store
from tests.waiting import eventually

MIB = 1024 * 1024


def small_disk(case: unittest.TestCase, size: int) -> str | None:
    """A file system of ``size`` bytes for one case; None where nobody may mount one."""
    place = case.enterContext(tempfile.TemporaryDirectory(prefix="glance-cache-"))
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True
    ).returncode:
        return None
    case.addCleanup(subprocess.run, ["umount", "--lazy", place], check=True)
    return place


class CacheCase(unittest.TestCase):
    max_size = 8 * MIB

    def setUp(self) -> None:
        self.root = self.enterContext(tempfile.TemporaryDirectory(prefix="glance-cache-"))
        self.store = Store()
        self.cache = self.new_cache(self.store)

    def new_cache(self, store: Store) -> ImageCache:
        """The cache as one more process of the node has it."""
        directory = CacheDirectory(self.root)
        return ImageCache(
            directory, SqliteCacheDriver(directory, "cache.db"), self.max_size, 86400, store.open
        )

    def read(self, image, cache: ImageCache | None = None) -> tuple[bool, bytes]:
        """Was it a hit, and what came."""
        cache_read = (cache or self.cache).read(image)
        try:
            return cache_read.hit, b"".join(cache_read.data.chunks)
        finally:
            cache_read.data.close()

    def names(self, part: str) -> list[str]:
        return os.listdir(os.path.join(self.root, part))

    def until(self, condition) -> None:
        eventually(condition, interval=0.005)


class TestReading(CacheCase):
    def test_the_first_reader_fills_and_the_second_hits(self) -> None:
        for size in (0, 1, CHUNK, CHUNK + 1, 3 * MIB):
            image = self.store.image(size)
            data = self.store.data[image.id]
            self.assertEqual((False, data), self.read(image))
            self.assertEqual((True, data), self.read(image))
        self.assertEqual([0] * 5, self.store.reads)
        self.assertEqual([], self.names("incomplete"))

    def test_the_store_is_read_for_whoever_asks(self) -> None:
        """A store may let nobody else read; what is fetched for the queue has no caller."""
        image = self.store.image(10)
        with contextlib.closing(self.cache.read(image, caller="ann").data) as data:
            self.assertEqual(self.store.data[image.id], b"".join(data.chunks))
        self.assertTrue(self.cache.fetch(self.store.image(10)))
        self.assertEqual(["ann", None], self.store.callers)

    def test_a_deactivated_image_comes_into_the_cache_and_is_no_hit(self) -> None:
        image = self.store.image(10, status="deactivated")
        self.assertEqual((False, self.store.data[image.id]), self.read(image))
        self.assertEqual((False, self.store.data[image.id]), self.read(image))
        image.status = "active"
        self.assertEqual((True, self.store.data[image.id]), self.read(image))
        self.assertEqual([1], [entry.hits for entry in self.cache.entries()])

    def test_an_image_whose_data_is_still_coming_is_not_cached(self) -> None:
        for status in ("queued", "saving", "importing", "pending_delete"):
            self.assertIsNone(self.cache.read(self.store.image(10, status=status)))
        self.assertEqual([], self.store.reads)

    def test_who_may_not_fill_gets_hits_only(self) -> None:
        image = self.store.image(10)
        self.assertIsNone(self.cache.read(image, may_fill=False))
        self.read(image)
        cache_read = self.cache.read(image, may_fill=False)
        cache_read.data.close()
        self.assertTrue(cache_read.hit)

    def test_an_image_without_data_is_left_to_the_application(self) -> None:
        image = self.store.image(10)
        del self.store.data[image.id]
        with self.assertLogs("glance_py.cache", "WARNING"):
            self.assertIsNone(self.cache.read(image))
        self.until(lambda: not self.names("incomplete"))

    def test_a_file_of_the_wrong_size_is_not_served(self) -> None:
        image = self.store.image(10)
        self.read(image)
        os.truncate(os.path.join(self.root, image.id), 5)
        with self.assertLogs("glance_py.cache", "ERROR"):
            self.assertEqual((False, self.store.data[image.id]), self.read(image))
        self.assertEqual((True, self.store.data[image.id]), self.read(image))


class TestOneFill(CacheCase):
    max_size = 64 * MIB

    def test_twenty_readers_of_a_cold_image_read_the_store_once(self) -> None:
        image = self.store.image(20 * MIB)
        self.store.gate_at = CHUNK
        self.store.gate.clear()
        begun = threading.Barrier(20, action=self.store.gate.set, timeout=60)

        def read(_: int) -> bytes:
            cache_read = self.cache.read(image)
            with contextlib.closing(cache_read.data):
                first = next(cache_read.data.chunks)
                begun.wait()  # All have the beginning before the rest comes.
                return first + b"".join(cache_read.data.chunks)

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            bodies = list(pool.map(read, range(20)))
        self.assertTrue(all(body == self.store.data[image.id] for body in bodies))
        self.assertEqual([0], self.store.reads)
        self.assertTrue(self.cache.is_cached(image.id))

    def test_readers_in_two_processes_read_the_store_once(self) -> None:
        image = self.store.image(2 * MIB)
        self.store.gate_at = CHUNK
        self.store.gate.clear()
        elsewhere = Store()
        elsewhere.data = self.store.data
        other = self.new_cache(elsewhere)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            first = pool.submit(self.read, image)
            self.until(lambda: self.names("incomplete"))
            rest = [pool.submit(self.read, image, other) for _ in range(5)]
            self.store.gate.set()
            bodies = [each.result()[1] for each in [first, *rest]]
        self.assertEqual({self.store.data[image.id]}, set(bodies))
        self.assertEqual(([0], []), (self.store.reads, elsewhere.reads))

    def test_a_reader_that_does_not_take_its_data_slows_nobody(self) -> None:
        image = self.store.image(4 * MIB)
        stuck = self.cache.read(image)
        next(stuck.data.chunks)
        self.assertEqual(self.store.data[image.id], self.read(image)[1])
        self.assertEqual([0], self.store.reads)
        stuck.data.close()

    def test_a_first_reader_that_leaves_does_not_end_the_fill_for_the_others(self) -> None:
        image = self.store.image(2 * MIB)
        self.store.gate.clear()
        first, second = self.cache.read(image), self.cache.read(image)
        first.data.close()
        self.store.gate.set()
        self.assertEqual(self.store.data[image.id], b"".join(second.data.chunks))
        second.data.close()
        self.assertEqual([0], self.store.reads)
        self.assertEqual((True, self.store.data[image.id]), self.read(image))

    def test_without_readers_the_fill_ends(self) -> None:
        image = self.store.image(2 * MIB)
        self.store.gate_at = CHUNK
        self.store.gate.clear()
        cache_read = self.cache.read(image)
        next(cache_read.data.chunks)
        cache_read.data.close()
        self.store.gate.set()
        self.until(lambda: self.names("invalid") == [image.id])
        self.assertEqual([], self.names("incomplete"))
        self.assertFalse(self.cache.is_cached(image.id))
        self.until(lambda: self.store.closed == 1)
        self.assertEqual((False, self.store.data[image.id]), self.read(image))


class TestTrouble(CacheCase):
    def test_damaged_data_is_not_admitted_and_breaks_the_download(self) -> None:
        image = self.store.image(3 * CHUNK, checksum="0" * 32)
        with self.assertLogs("glance_py.cache", "ERROR"):
            cache_read = self.cache.read(image)
            self.assertRaises(errors.CorruptImageData, list, cache_read.data.chunks)
        cache_read.data.close()
        self.until(lambda: self.names("invalid") == [image.id])
        self.assertFalse(self.cache.is_cached(image.id))

    def test_the_other_hash_is_checked_where_there_is_no_checksum(self) -> None:
        image = self.store.image(10, checksum=None, os_hash_algo="sha512", os_hash_value="0" * 128)
        with self.assertLogs("glance_py.cache", "ERROR"):
            cache_read = self.cache.read(image)
            self.assertRaises(errors.CorruptImageData, list, cache_read.data.chunks)
        cache_read.data.close()

    def test_a_store_that_delivers_too_little_breaks_the_download(self) -> None:
        image = self.store.image(4 * CHUNK)
        self.store.stop_after = 2 * CHUNK
        for self.store.trouble in (None, errors.StoreUnavailable()):
            with self.assertLogs("glance_py.cache", "WARNING"):
                cache_read = self.cache.read(image)
                self.assertRaises(errors.GlanceError, list, cache_read.data.chunks)
            cache_read.data.close()
            self.until(lambda: not self.names("incomplete"))
        self.assertFalse(self.cache.is_cached(image.id))

    def test_a_store_that_fails_in_its_own_way_leaves_nothing_behind(self) -> None:
        """The next reader fills: no file, and no lock on one, is left of the fill that failed."""
        image = self.store.image(CHUNK)
        trouble = iter([RuntimeError("not foreseen")])

        def opened(image, start, caller):
            for error in trouble:
                raise error
            return self.store.open(image, start, caller)

        directory = CacheDirectory(self.root)
        cache = ImageCache(
            directory, SqliteCacheDriver(directory, "cache.db"), self.max_size, 86400, opened
        )
        with self.assertLogs("glance_py.cache", "WARNING"):
            self.assertIsNone(cache.read(image))
        self.until(lambda: not self.names("incomplete"))
        self.assertEqual((False, self.store.data[image.id]), self.read(image, cache))
        self.assertTrue(cache.is_cached(image.id))

    def test_a_full_disk_does_not_fail_the_download(self) -> None:
        image = self.store.image(4 * CHUNK)
        written = []
        write = fill_module._write_all

        def fill_up(fd, chunk):
            if len(written) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(chunk)
            write(fd, chunk)

        self.addCleanup(setattr, fill_module, "_write_all", write)
        fill_module._write_all = fill_up
        self.store.gate.clear()
        cache_reads = [self.cache.read(image) for _ in range(3)]
        self.store.gate.set()
        with self.assertLogs("glance_py.cache", "WARNING"):
            bodies = [b"".join(cache_read.data.chunks) for cache_read in cache_reads]
        for cache_read in cache_reads:
            cache_read.data.close()
        self.assertEqual({self.store.data[image.id]}, set(bodies))
        self.assertEqual([0] + [2 * CHUNK] * 3, self.store.reads)
        self.assertFalse(self.cache.is_cached(image.id))
        self.until(lambda: self.store.closed == 4)
        # Nothing of it stays on the disk that is full.
        self.until(lambda: not self.names("incomplete"))
        self.assertEqual([], self.names("invalid"))

    def fill_disk(self, size: int) -> None:
        """From now on the disk has room for ``size`` bytes of complete images and parts."""
        directory, write = self.cache._directory, fill_module._write_all
        self.addCleanup(setattr, fill_module, "_write_all", write)

        def used_bytes() -> int:
            return sum(
                os.path.getsize(os.path.join(self.root, part, name))
                for part in (".", "incomplete", "invalid")
                for name in self.names(part)
                if len(name) == 36
            )

        def writing(fd, chunk):
            if used_bytes() + len(chunk) > size:
                write(fd, chunk[: size - used_bytes()])
                raise OSError(errno.ENOSPC, "No space left on device")
            write(fd, chunk)

        fill_module._write_all = writing
        directory.free_bytes = lambda: size - used_bytes()

    def cached(self, count: int) -> list:
        """Images of four chunks each in the cache, the one to remove first in front."""
        images = [self.store.image(4 * CHUNK) for _ in range(count)]
        for image in images:
            self.read(image)
            self.until(lambda image=image: self.cache.is_cached(image.id))
        return images

    def test_a_disk_smaller_than_the_cache_makes_room(self) -> None:
        self.fill_disk(12 * CHUNK)
        first, second, third = self.cached(3)
        (fourth,) = self.cached(1)
        self.assertEqual(
            [False, True, True, True],
            [self.cache.is_cached(image.id) for image in (first, second, third, fourth)],
        )

    def test_a_disk_that_fills_up_meanwhile_makes_room(self) -> None:
        images = self.cached(3)
        self.fill_disk(12 * CHUNK + CHUNK // 2)
        # When the fill begins the disk seems to have room, which others take then.
        free, self.cache._directory.free_bytes = self.cache._directory.free_bytes, lambda: 8 * MIB
        with self.assertLogs("glance_py.cache", "WARNING"):
            (image,) = self.cached(1)
        self.cache._directory.free_bytes = free
        self.assertTrue(self.cache.is_cached(image.id))
        self.assertEqual(2, sum(self.cache.is_cached(each.id) for each in images))
        self.assertEqual((True, self.store.data[image.id]), self.read(image))

    def test_a_real_disk_smaller_than_the_cache_makes_room(self) -> None:
        place = small_disk(self, 2 * MIB)
        if place is None:
            self.skipTest("only root can mount a small file system")
        self.root = place
        self.cache = self.new_cache(self.store)
        images = [self.store.image(512 * 1024) for _ in range(8)]
        for image in images:
            self.read(image)
            self.until(lambda image=image: self.cache.is_cached(image.id))
            self.assertEqual((True, self.store.data[image.id]), self.read(image))
        self.assertFalse(self.cache.is_cached(images[0].id))
        # Somebody else takes the rest while a fill is under way.
        self.store.gate.clear()
        image = self.store.image(512 * 1024)
        cache_read = self.cache.read(image)
        with (
            contextlib.suppress(OSError),
            open(os.path.join(place, "foreign"), "wb", buffering=0) as file,
        ):
            while True:
                file.write(bytes(4096))
        self.store.gate.set()
        with self.assertLogs("glance_py.cache", "WARNING"):
            body = b"".join(cache_read.data.chunks)
        cache_read.data.close()
        self.assertEqual(self.store.data[image.id], body)
        self.until(lambda: self.cache.is_cached(image.id))
        self.assertEqual(([], []), (self.names("incomplete"), self.names("invalid")))

    def test_a_disk_that_others_have_filled_costs_no_images_in_vain(self) -> None:
        (kept,) = self.cached(1)
        self.cache._directory.free_bytes = lambda: 0
        self.assertIsNone(self.cache.read(self.store.image(5 * CHUNK)))
        self.assertTrue(self.cache.is_cached(kept.id))

    def test_a_disk_that_has_no_room_is_not_written_to(self) -> None:
        image = self.store.image(10)
        self.cache._directory.free_bytes = lambda: 5
        self.assertIsNone(self.cache.read(image))
        self.assertEqual([], self.store.reads)

    def test_followers_of_a_killed_process_go_on_with_the_store(self) -> None:
        image = self.store.image(4 * CHUNK)
        part = self.store.data[image.id][:CHUNK]
        killed = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import os, sys\n"
                "from glance_py.cache.directory import CacheDirectory\n"
                "directory = CacheDirectory(sys.argv[1])\n"
                "with directory.locked():\n"
                "    fd = directory.create_partial(sys.argv[2], int(sys.argv[3]))\n"
                "os.write(fd, sys.stdin.buffer.read(int(sys.argv[4])))\n"
                "print('written', flush=True)\n"
                "sys.stdin.read()\n",
                self.root,
                image.id,
                str(image.size),
                str(CHUNK),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(killed.wait)
        self.addCleanup(killed.stdout.close)
        self.addCleanup(killed.stdin.close)
        killed.stdin.write(part)
        killed.stdin.flush()
        killed.stdout.readline()
        cache_read = self.cache.read(image)
        chunks = cache_read.data.chunks
        body = next(chunks)
        self.assertEqual([], self.store.reads)
        killed.kill()
        self.assertEqual(self.store.data[image.id], body + b"".join(chunks))
        cache_read.data.close()
        self.assertEqual([CHUNK], self.store.reads)
        # And the next reader fills anew.
        self.until(lambda: not self.cache._fills)
        self.assertEqual((False, self.store.data[image.id]), self.read(image))
        self.assertEqual((True, self.store.data[image.id]), self.read(image))

    def test_books_that_fail_fail_nothing_else(self) -> None:
        def fail(*args):
            raise errors.DatabaseUnavailable()

        image = self.store.image(10)
        for operation in ("add", "hit", "remove", "entries"):
            setattr(self.cache._driver, operation, fail)
        with self.assertLogs("glance_py.cache", "WARNING"):
            self.assertEqual((False, self.store.data[image.id]), self.read(image))
            self.assertEqual((True, self.store.data[image.id]), self.read(image))
            self.cache.reconcile()
            self.assertTrue(self.cache.delete(image.id))


class TestSize(CacheCase):
    max_size = MIB

    def used_bytes(self) -> int:
        return sum(
            os.stat(os.path.join(self.root, part, name)).st_size
            for part in (".", "incomplete", "invalid")
            for name in self.names(part)
            if len(name) == 36
        )

    def setUp(self) -> None:
        super().setUp()
        #: What the books take for the time.
        self.now = 1_000_000_000.0

    def read_later(self, image) -> None:
        """Read an image a second after the one before."""
        self.now += 1
        clock = types.SimpleNamespace(time=lambda: self.now)
        with mock.patch.object(sqlite_driver, "time", clock):
            self.read(image)

    def test_what_was_read_longest_ago_makes_room(self) -> None:
        old, used, new = (self.store.image(400 * 1024) for _ in range(3))
        for image in (old, used, old, new):
            self.read_later(image)
        self.assertEqual({old.id, new.id}, {entry.image_id for entry in self.cache.entries()})

    def test_a_larger_image_is_not_cached_and_removes_nothing(self) -> None:
        small, large = self.store.image(10), self.store.image(MIB + 1)
        self.read(small)
        self.assertIsNone(self.cache.read(large))
        self.assertTrue(self.cache.is_cached(small.id))
        whole = self.store.image(MIB)
        self.read(whole)
        self.assertEqual([whole.id], [entry.image_id for entry in self.cache.entries()])

    def test_images_being_filled_keep_their_room(self) -> None:
        self.store.gate.clear()
        first = self.cache.read(self.store.image(600 * 1024))
        self.assertIsNone(self.cache.read(self.store.image(600 * 1024)))
        self.store.gate.set()
        first.data.close()

    def test_what_was_given_up_makes_room_first(self) -> None:
        kept = self.store.image(300 * 1024)
        self.read(kept)
        with open(os.path.join(self.root, "invalid", kept.id), "wb") as file:
            file.write(b"x" * 600 * 1024)
        self.read(self.store.image(700 * 1024))
        self.assertTrue(self.cache.is_cached(kept.id))
        self.assertEqual([], self.names("invalid"))

    def test_it_is_never_exceeded_whatever_happens_at_once(self) -> None:
        images = [self.store.image(random.Random(n).randrange(1, 500 * 1024)) for n in range(12)]
        caches = [self.cache, self.new_cache(self.store)]
        peaks, done = [], threading.Event()

        def watch() -> None:
            while not done.is_set():
                try:
                    peaks.append(self.used_bytes())
                except FileNotFoundError:
                    continue
                done.wait(0.001)

        def use(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(15):
                image = chance.choice(images)
                cache_read = chance.choice(caches).read(image)
                if cache_read is None:
                    continue
                if chance.random() < 0.8:
                    body = b"".join(cache_read.data.chunks)
                    self.assertEqual(self.store.data[image.id], body)
                cache_read.data.close()

        watcher = threading.Thread(target=watch)
        watcher.start()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(use, seed) for seed in range(8)]:
                each.result()
        done.set()
        watcher.join()
        self.assertLessEqual(max(peaks), self.max_size)
        self.assertGreater(max(peaks), 0)

    def test_prune_obeys_a_lower_maximum(self) -> None:
        images = [self.store.image(300 * 1024) for _ in range(3)]
        for image in images:
            self.read_later(image)
        self.assertEqual((0, 0), self.cache.prune())
        self.cache._max_size = 350 * 1024
        self.assertEqual((2, 600 * 1024), self.cache.prune())
        self.assertEqual([images[2].id], [entry.image_id for entry in self.cache.entries()])


class TestManagement(CacheCase):
    def test_a_dropped_image_is_read_to_its_end_by_who_has_begun(self) -> None:
        image = self.store.image(2 * MIB)
        self.read(image)
        cache_read = self.cache.read(image)
        first = next(cache_read.data.chunks)
        self.assertTrue(self.cache.delete(image.id))
        self.assertFalse(self.cache.delete(image.id))
        self.assertEqual(self.store.data[image.id], first + b"".join(cache_read.data.chunks))
        self.assertEqual([], self.cache.entries())

    def test_an_image_dropped_while_it_is_filled_does_not_come(self) -> None:
        image = self.store.image(4 * CHUNK)
        self.store.gate.clear()
        cache_read = self.cache.read(image)
        self.cache.delete(image.id)
        self.store.gate.set()
        self.assertEqual(self.store.data[image.id], b"".join(cache_read.data.chunks))
        cache_read.data.close()
        self.until(lambda: not self.cache._fills)
        self.assertFalse(self.cache.is_cached(image.id))
        self.assertEqual([], self.cache.entries())

    def test_nothing_but_images_is_dropped(self) -> None:
        for name in ("cache.db", "queue", "..", "", "../x"):
            self.assertFalse(self.cache.delete(name))
        self.assertIn("cache.db", self.names("."))

    def test_drop_all(self) -> None:
        for _ in range(3):
            self.read(self.store.image(10))
        self.assertEqual(3, self.cache.delete_all())
        self.assertEqual([], self.cache.entries())

    def test_files_and_books_come_together_at_the_start(self) -> None:
        lost, found = self.store.image(10), self.store.image(20)
        self.read(lost)
        os.unlink(os.path.join(self.root, lost.id))
        with open(os.path.join(self.root, found.id), "wb") as file:
            file.write(self.store.data[found.id])
        again = self.new_cache(self.store)
        again.reconcile()
        self.assertEqual(
            [(found.id, 20)], [(entry.image_id, entry.size) for entry in again._driver.entries()]
        )

    def test_clean_removes_what_was_given_up(self) -> None:
        with open(os.path.join(self.root, "invalid", "x"), "w"):
            pass
        with open(os.path.join(self.root, "incomplete", self.store.image(1).id), "w"):
            pass
        self.cache.clean()
        self.assertEqual(([], []), (self.names("invalid"), self.names("incomplete")))


class TestQueue(CacheCase):
    def setUp(self) -> None:
        super().setUp()
        self.prefetcher = Prefetcher(self.cache, self.store.find)

    def test_what_is_queued_comes_soon(self) -> None:
        images = [self.store.image(3 * CHUNK) for _ in range(3)]
        for image in images:
            self.cache.queue(image.id)
        self.until(lambda: len(self.cache.entries()) == 3 and not self.cache.queued())
        self.assertEqual((True, self.store.data[images[0].id]), self.read(images[0]))
        self.assertEqual([0, 0, 0], self.store.reads)

    def test_what_is_here_is_not_queued(self) -> None:
        image = self.store.image(10)
        self.read(image)
        self.cache.queue(image.id)
        self.assertEqual([], self.cache.queued())

    def test_the_queue_survives_a_restart(self) -> None:
        image = self.store.image(10)
        self.cache.on_enqueue(lambda: None)
        self.cache.queue(image.id)
        again = self.new_cache(self.store)
        Prefetcher(again, self.store.find).resume()
        self.until(lambda: again.is_cached(image.id) and not again.queued())

    def test_what_fails_stays_and_what_is_gone_leaves(self) -> None:
        self.cache.on_enqueue(lambda: None)
        broken, gone = self.store.image(10), self.store.image(10)
        del self.store.data[gone.id]
        self.store.stop_after = 0
        for image in (broken, gone):
            self.cache.queue(image.id)
        with self.assertLogs("glance_py.cache", "WARNING"):
            self.assertEqual((0, 2), self.prefetcher.run())
        self.assertEqual([broken.id], self.cache.queued())
        self.store.stop_after = None
        self.assertEqual((1, 0), self.prefetcher.run())
        self.assertEqual([], self.cache.queued())


if __name__ == "__main__":
    unittest.main()
