"""Files that are read again when they change: when they are looked at, and what an error does."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import pathlib
import tempfile
import threading
import unittest

from glance_py.watched_file import CHECK_INTERVAL, WatchedFile

LOG = logging.getLogger(__name__)


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class WatchedFileTest(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path = self.directory / "rules"
        self.clock = Clock()
        self.reads = 0

    def write(self, text: str, path: pathlib.Path | None = None) -> None:
        """As editors do: another file in the place of the old one."""
        path = path or self.path
        new = path.with_name(path.name + ".new")
        new.write_text(text)
        os.rename(new, path)

    def read(self) -> int:
        self.reads += 1
        return int(self.path.read_text())

    def watched(self, *more: pathlib.Path) -> WatchedFile[int]:
        paths = [str(path) for path in (self.path, *more)]
        return WatchedFile("The number", self.read, paths, LOG, self.clock)

    def test_it_is_looked_at_once_an_interval(self) -> None:
        self.write("1")
        watched = self.watched()
        self.assertEqual(1, watched.get())
        self.write("2")
        self.clock.now += CHECK_INTERVAL - 0.001
        self.assertEqual(1, watched.get())
        self.clock.now += 0.001
        with self.assertLogs(LOG, "INFO") as logs:
            self.assertEqual(2, watched.get())
        self.assertIn("The number changed", logs.output[0])
        self.write("3")
        self.clock.now += CHECK_INTERVAL - 0.001
        self.assertEqual(2, watched.get())
        self.clock.now += 0.001
        self.assertEqual(3, watched.get())

    def test_what_has_not_changed_is_not_read(self) -> None:
        self.write("1")
        watched = self.watched()
        for _ in range(3):
            self.clock.now += CHECK_INTERVAL
            watched.get()
            watched.refresh()
        self.assertEqual(1, self.reads)

    def test_a_look_on_demand(self) -> None:
        """Whatever the clock says; also for an older file of the same size."""
        self.write("1")
        watched = self.watched()
        self.write("2")
        os.utime(self.path, (1, 1))
        watched.refresh()
        self.assertEqual(2, watched.value)

    def test_what_cannot_be_read_first_is_an_error(self) -> None:
        self.write("one")
        with self.assertRaises(ValueError):
            self.watched()

    def test_what_cannot_be_read_later_changes_nothing(self) -> None:
        self.write("1")
        watched = self.watched()
        self.write("two")
        with self.assertLogs(LOG, "ERROR") as logs:
            watched.refresh()
            watched.refresh()
        self.assertEqual((1, 2), (watched.value, self.reads))
        self.assertRegex(logs.output[0], "The number changed and cannot be used.*'two'")
        self.assertEqual(1, len(logs.output))
        self.write("3")
        watched.refresh()
        self.assertEqual(3, watched.value)

    def test_what_cannot_be_read_is_tried_again(self) -> None:
        """The reason may be one that a stat does not show; the log has it once."""
        self.write("1")
        watched = self.watched()
        watched._read, read = self.fail, watched._read
        self.write("2")
        with self.assertLogs(LOG, "ERROR") as logs:
            watched.refresh()
            self.clock.now += CHECK_INTERVAL
            watched.refresh()
        self.assertEqual(1, len(logs.output))
        watched._read = read
        self.clock.now += CHECK_INTERVAL - 0.001
        watched.refresh()
        self.assertEqual(1, watched.value)
        self.clock.now += 0.001
        watched.refresh()
        self.assertEqual(2, watched.value)

    def test_each_error_is_logged(self) -> None:
        """Another one, and the same one after a success."""
        self.write("1")
        watched = self.watched()
        with self.assertLogs(LOG, "ERROR") as logs:
            for text in ("two", "three", "4", "three"):
                self.write(text)
                watched.refresh()
        self.assertEqual(3, len(logs.output))

    def test_an_error_without_a_text_has_a_name(self) -> None:
        self.write("1")
        watched = self.watched()

        def read() -> int:
            raise MemoryError

        watched._read = read
        self.write("2")
        with self.assertLogs(LOG, "ERROR") as logs:
            watched.refresh()
        self.assertIn("MemoryError", logs.output[0])

    def test_a_reload_reads_what_has_not_changed(self) -> None:
        self.write("1")
        watched = self.watched()
        watched.reload()
        self.assertEqual(2, self.reads)
        self.write("two")
        with self.assertRaises(ValueError):
            watched.reload()
        self.assertEqual(1, watched.value)
        self.write("3")
        watched.reload()
        self.assertEqual(3, watched.value)
        watched.refresh()
        self.assertEqual(4, self.reads)

    def test_a_file_that_disappears(self) -> None:
        self.write("1")
        watched = self.watched()
        self.path.unlink()
        with self.assertLogs(LOG, "ERROR"):
            watched.refresh()
        self.write("1")
        watched.refresh()
        self.assertEqual((1, 3), (watched.value, self.reads))

    def test_a_change_while_it_is_read_is_noticed(self) -> None:
        self.write("1")
        watched = self.watched()
        read = watched._read

        def slow() -> int:
            value = read()
            self.write("3")
            watched._read = read
            return value

        watched._read = slow
        self.write("2")
        watched.refresh()
        self.assertEqual(2, watched.value)
        watched.refresh()
        self.assertEqual(3, watched.value)

    def test_files_in_a_directory(self) -> None:
        more = self.directory / "more.d"
        self.write("1")
        watched = self.watched(more)
        versions = [watched.version()]
        more.mkdir()
        versions.append(watched.version())
        self.write("a", more / "one")
        versions.append(watched.version())
        (more / "one").write_text("aa")
        versions.append(watched.version())
        (more / "one").unlink()
        versions.append(watched.version())
        for number, version in enumerate(versions):
            self.assertNotIn(version, versions[:number])
        more.rmdir()
        self.assertEqual(versions[0], watched.version())

    def test_threads_wait_for_a_look_on_demand(self) -> None:
        """None gets the old value after it was changed; only one thread reads."""
        self.write("1")
        watched = self.watched()
        read, reading, go_on = watched._read, threading.Event(), threading.Event()

        def slow() -> int:
            reading.set()
            go_on.wait(60)
            return read()

        watched._read = slow
        self.write("2")

        def look() -> int:
            watched.refresh()
            return watched.value

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            first = pool.submit(look)
            reading.wait(60)
            others = [pool.submit(look) for _ in range(3)]
            go_on.set()
            self.assertEqual([2] * 4, [each.result(60) for each in (first, *others)])
        self.assertEqual(2, self.reads)

    def test_threads_do_not_wait_for_a_look_now_and_then(self) -> None:
        self.write("1")
        watched = self.watched()
        read, reading, go_on = watched._read, threading.Event(), threading.Event()
        self.addCleanup(go_on.set)

        def slow() -> int:
            reading.set()
            go_on.wait(60)
            return read()

        watched._read = slow
        self.write("2")
        self.clock.now += CHECK_INTERVAL
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(watched.get)
            reading.wait(60)
            self.assertEqual(1, watched.get())
            go_on.set()
            self.assertEqual(2, first.result(60))
