"""The file driver beyond the contract: options, directories, hostile disks."""

import errno
import fcntl
import json
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

from glance_store_py import errors
from glance_store_py.drivers import file, timeout_executor
from glance_store_py.drivers.file_options import OPTIONS as FILE_OPTIONS
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import parse
from glance_store_py.testing import settings


class FileCase(unittest.TestCase):
    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.images = os.path.join(scratch.name, "images")

    def store(self, kind=file.FileDriver, **options):
        if "filesystem_store_datadirs" not in options:
            options.setdefault("filesystem_store_datadir", self.images)
        driver = kind(settings(FILE_OPTIONS, **options), "s")
        driver.configure_add()
        return GuardedDriver(driver, "s")

    def write(self, name, content):
        path = os.path.join(self.scratch, name)
        with open(path, "w") as target:
            target.write(content)
        return path


class TestWriting(FileCase):
    def test_permissions_are_octal_digits_and_open_the_directory(self):
        self.store(filesystem_store_file_perm=644).add("id", [b"x"])
        self.assertEqual(0o644, stat.S_IMODE(os.stat(f"{self.images}/id").st_mode))
        self.assertEqual(0o011, stat.S_IMODE(os.stat(self.images).st_mode) & 0o011)

    def test_zeros_take_no_room_when_provisioning_is_thin(self):
        zeros = bytes(1024 * 1024)
        store = self.store(filesystem_thin_provisioning=True)
        stored = store.add("id", [zeros, b"middle", zeros])
        self.assertEqual(2 * len(zeros) + 6, stored.size)
        status = os.stat(f"{self.images}/id")
        self.assertEqual(stored.size, status.st_size)
        self.assertLess(status.st_blocks * 512, len(zeros))
        with open(f"{self.images}/id", "rb") as image:
            self.assertEqual(zeros + b"middle" + zeros, image.read())

    def test_metadata_comes_from_the_mountpoint_around_the_file(self):
        mounts = [
            {"id": "no", "mountpoint": self.images[:-1]},
            {"id": "yes", "mountpoint": self.images + "/", "share": "nfs://x"},
        ]
        stored = self.store(
            filesystem_store_metadata_file=self.write("mounts", json.dumps(mounts))
        ).add("id", [b"x"])
        self.assertEqual(mounts[1], stored.metadata)

    def test_a_relative_mountpoint_holds_nothing_and_is_named_at_start(self):
        mounts = [
            {"id": "relative", "mountpoint": "images"},
            {"id": "x", "mountpoint": "."},
            {"id": "yes", "mountpoint": self.scratch},
        ]
        with self.assertLogs("glance_store_py", "WARNING") as logs:
            store = self.store(
                filesystem_store_metadata_file=self.write("mounts", json.dumps(mounts))
            )
        self.assertIn("mountpoint images is not an absolute path", logs.output[0])
        self.assertEqual(mounts[2], store.add("id", [b"x"]).metadata)

    def replaced(self, function):
        """``function`` of os, after which somebody else has the name that it gave."""
        real = getattr(os, function)

        def call(*args, **kwargs):
            result = real(*args, **kwargs)
            name = f"{self.images}/id"
            os.unlink(name)
            with open(name, "w") as other:
                other.write("another's")
            return result

        self.addCleanup(setattr, os, function, real)
        setattr(os, function, call)

    def no_sync(self, path):
        raise OSError(errno.EIO, "Input/output error")

    def test_what_another_has_stored_meanwhile_is_not_removed(self):
        store = self.store()
        self.replaced("link")
        self.enterContext(mock.patch.object(file, "_sync_directory", self.no_sync))
        self.assertRaises(errors.GlanceStoreError, store.add, "id", [b"mine"])
        with open(f"{self.images}/id") as found:
            self.assertEqual("another's", found.read())
        self.assertEqual(["id"], os.listdir(self.images))

    def test_what_was_stored_and_is_not_sure_to_last_is_removed(self):
        store = self.store()
        self.enterContext(mock.patch.object(file, "_sync_directory", self.no_sync))
        self.assertRaises(errors.GlanceStoreError, store.add, "id", [b"mine"])
        self.assertEqual([], os.listdir(self.images))

    def test_without_hard_links_what_another_has_stored_meanwhile_stays(self):
        store = self.store()
        link = mock.patch.object(os, "link", side_effect=PermissionError(errno.EPERM, "No"))
        self.enterContext(link)
        reserve, fstat = os.open, os.fstat
        taken = []

        def opening(path, flags, *args):
            fd = reserve(path, flags, *args)
            if path == f"{self.images}/id":
                taken.append(fd)
            return fd

        def looking(fd):
            found = fstat(fd)
            if fd in taken:
                taken.clear()
                os.unlink(f"{self.images}/id")
                with open(f"{self.images}/id", "w") as other:
                    other.write("another's")
            return found

        self.enterContext(mock.patch.object(os, "open", opening))
        self.enterContext(mock.patch.object(os, "fstat", looking))
        self.assertRaises(errors.StoreObjectExists, store.add, "id", [b"mine"])
        with open(f"{self.images}/id") as found:
            self.assertEqual("another's", found.read())
        self.assertEqual(["id"], os.listdir(self.images))

    def test_a_full_disk_is_a_full_store_and_nothing_is_left(self):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, before)
        store = self.store()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        self.assertRaises(errors.StorageFull, store.add, "id", [b"x" * 5000])
        self.assertEqual([], os.listdir(self.images))

    def test_a_size_that_cannot_fit_is_refused_before_any_data(self):
        def source():
            self.fail("data was asked for")
            yield

        self.assertRaises(errors.StorageFull, self.store().add, "id", source(), 1 << 62)

    def test_without_hard_links_a_name_is_still_taken_once(self):
        def no_links(*args):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        link, os.link = os.link, no_links
        self.addCleanup(setattr, os, "link", link)
        store = self.store()
        store.add("id", [b"x"])
        self.assertRaises(errors.StoreObjectExists, store.add, "id", [b"y"])
        self.assertEqual(["id"], os.listdir(self.images))

    def test_a_directory_that_vanished_is_not_writable(self):
        store = self.store()
        os.rmdir(self.images)
        self.assertRaises(errors.StorageWriteDenied, store.add, "id", [b"x"])
        self.assertRaises(errors.StorageWriteDenied, store.health_check)

    def test_an_id_cannot_climb_out_or_hide(self):
        store = self.store()
        for image_id in ("../id", "a/b", ".hidden", "", "a\0b"):
            self.assertRaises(errors.StoreInvalidInput, store.add, image_id, [b"x"])


class TestReading(FileCase):
    def test_what_is_not_a_file_is_not_found(self):
        store = self.store()
        os.mkfifo(f"{self.images}/pipe")
        os.mkdir(f"{self.images}/dir")
        for name in ("pipe", "dir"):
            location = parse(f"file://{self.images}/{name}")
            self.assertRaises(errors.StoreObjectNotFound, store.get, location)
            self.assertRaises(errors.StoreObjectNotFound, store.size, location)

    def test_a_file_cut_short_while_it_is_read_is_an_error(self):
        store = self.store(filesystem_store_chunk_size=4)
        data = store.get(parse(store.add("id", [b"12345678"]).url))
        next(data.chunks)
        os.truncate(f"{self.images}/id", 6)
        self.assertEqual(b"56", next(data.chunks))
        self.assertRaises(errors.IncompleteData, next, data.chunks)

    def test_the_chunk_size_is_as_set_and_larger_when_left_unset(self):
        content = b"x" * 200_000
        for options, first in (({"filesystem_store_chunk_size": 65536}, 65536), ({}, 200_000)):
            store = self.store(**options)
            location = parse(store.add("id", [content]).url)
            data = store.get(location)
            self.assertEqual(first, len(next(data.chunks)))
            data.close()
            store.delete(location)


class TestDirectories(FileCase):
    def free(self, amounts):
        """A driver whose directories have so many bytes free."""

        class Measured(file.FileDriver):
            def _free_bytes(self, path):
                return amounts[os.path.basename(path)]

        return Measured

    def dirs(self, *texts):
        return [os.path.join(self.scratch, text) for text in texts]

    def test_priority_then_free_space_then_none(self):
        store = self.store(
            self.free({"a": 50, "b": 10, "c": 20}),
            filesystem_store_datadirs=self.dirs("a", "b:9", "c:9"),
        )
        for image_id, size, directory in (("1", 5, "c"), ("2", 15, "c"), ("3", 30, "a")):
            store.add(image_id, [b"x" * size], size)
            self.assertIn(image_id, os.listdir(f"{self.scratch}/{directory}"))
        self.assertRaises(errors.StoreObjectExists, store.add, "3", [b"x"], 1)
        self.assertRaises(errors.StorageFull, store.add, "4", [b"x"], 60)

    def test_an_object_is_known_in_any_of_them(self):
        store = self.store(filesystem_store_datadirs=self.dirs("a", "b:1"))
        self.assertEqual(
            [f"file://{self.scratch}/b/id", f"file://{self.scratch}/a/id"],
            [location.url for location in store.predict_locations("id")],
        )
        self.assertEqual(2, len(store.driver.prefixes))

    def test_the_same_directory_twice(self):
        with self.assertLogs("glance_store_py", "WARNING"):
            self.store(filesystem_store_datadirs=self.dirs("a:1", "a:1"))
        self.assertRaises(
            errors.BadStoreConfiguration,
            self.store,
            filesystem_store_datadirs=self.dirs("a:1", "a:2"),
        )


class TestConfiguration(FileCase):
    def test_what_cannot_be_is_refused_by_name(self):
        for option, value in (
            ("filesystem_store_datadir", ""),
            ("filesystem_store_datadir", self.write("file", "") + "/images"),
            ("filesystem_store_datadirs", [self.images + ":high"]),
            ("filesystem_store_file_perm", 689),
            ("filesystem_store_file_perm", 200),
            ("filesystem_store_file_perm", 4644),
            ("filesystem_store_metadata_file", "/no/such/file"),
            ("filesystem_store_metadata_file", self.write("bad", "{")),
            ("filesystem_store_metadata_file", self.write("list", '[{"id": "x"}]')),
            ("filesystem_store_metadata_file", self.write("number", "1")),
        ):
            with (
                self.subTest(option=option, value=value),
                self.assertRaisesRegex(errors.BadStoreConfiguration, rf"\[contract\] {option}:"),
            ):
                self.store(**{option: value})

    def test_one_directory_and_several_do_not_go_together(self):
        self.assertRaises(
            errors.BadStoreConfiguration,
            self.store,
            filesystem_store_datadir=self.images,
            filesystem_store_datadirs=[self.images],
        )


class TestTimeout(FileCase):
    def test_a_file_system_that_hangs_is_not_waited_for(self):
        store = self.store(filesystem_store_timeout=1, filesystem_store_thread_pool_size=2)
        location = parse(store.add("id", [b"x"]).url)
        answer = threading.Event()
        self.addCleanup(answer.set)
        hanging = store.driver._call_file_system
        with self.assertRaisesRegex(errors.StoreTimeout, "1 seconds"):
            hanging(answer.wait)
        with self.assertLogs("glance_store_py", "WARNING"):
            self.assertEqual(1, store.size(location))
        answer.set()
        self.assertEqual(1, store.size(location))

    def test_the_last_thread_may_be_taken(self):
        """Then the next call is not made, and says so in time, too."""
        in_time = timeout_executor.TimeoutExecutor(1, threads=1, warning_threshold=1)
        answer = threading.Event()
        self.addCleanup(answer.set)
        for _ in range(2):
            self.assertRaises(errors.StoreTimeout, in_time, answer.wait)
        answer.set()
        self.assertEqual(3, in_time(abs, -3))

    def test_what_the_call_raises_is_raised(self):
        in_time = timeout_executor.TimeoutExecutor(1, threads=1, warning_threshold=1)
        self.assertRaises(FileNotFoundError, in_time, os.stat, f"{self.images}/nothing")

    def test_a_child_process_has_threads_of_its_own(self):
        in_time = timeout_executor.TimeoutExecutor(1, threads=1, warning_threshold=1)
        answer = threading.Event()
        self.addCleanup(answer.set)
        self.assertRaises(errors.StoreTimeout, in_time, answer.wait)
        child = os.fork()
        if child == 0:
            try:
                os._exit(in_time(abs, -3))
            finally:
                os._exit(1)
        self.assertEqual(3, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def test_a_call_that_hangs_keeps_no_process_from_ending(self):
        code = (
            "import threading\n"
            "from glance_store_py import errors\n"
            "from glance_store_py.drivers.timeout_executor import TimeoutExecutor\n"
            "try:\n"
            "    TimeoutExecutor(1, 1, 1)(threading.Event().wait)\n"
            "except errors.StoreTimeout:\n"
            "    print('given up')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
        )
        self.assertEqual("given up\n", done.stdout)


class TestCleanup(FileCase):
    def test_only_hidden_parts_without_a_writer_go(self):
        store = self.store()
        store.add("id", [b"x"])
        for name in (".id.11111111.part", ".id.22222222.part", ".nfs0001", "id2.part"):
            self.write(f"images/{name}", "12345")
        outside = self.write("outside", "precious")
        os.symlink(outside, f"{self.images}/.id.33333333.part")
        with open(f"{self.images}/.id.22222222.part") as living:
            fcntl.flock(living, fcntl.LOCK_EX)
            removed = store.cleanup()
        self.assertEqual(
            [f"{self.images}/.id.11111111.part: 5 bytes of an upload that was cut off"], removed
        )
        self.assertEqual(
            {"id", ".id.22222222.part", ".id.33333333.part", ".nfs0001", "id2.part"},
            set(os.listdir(self.images)),
        )
        self.assertTrue(os.path.exists(outside))
