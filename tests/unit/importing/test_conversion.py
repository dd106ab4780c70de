"""Images are converted by the real qemu-img; what is dangerous never gets to it, or not far."""

from __future__ import annotations

import functools
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import types
import unittest
from unittest import mock

from oslo_config import cfg

from glance_py import config
from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.importing.plugins import conversion
from tests.manual_clock import ManualClock
from tests.unit import factories
from tests.waiting import eventually

MIB = 1024**2


class FakeStagedImage:
    """Data in a file, and the changes that were asked for."""

    ctx = None

    def __init__(self, path: str, image: Image) -> None:
        self.path, self.image = path, image
        self.progress: list[str] = []

    def update_image(self, change) -> None:
        for name, value in change.fields.items():
            setattr(self.image, name, value)

    def replace(self, path: str) -> None:
        os.replace(path, self.path)

    def set_progress(self, message: str) -> None:
        self.progress.append(message)

    def raise_if_cancelled(self) -> None:
        """Nobody objects."""


class ConversionTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        if shutil.which("qemu-img") is None:
            if os.environ.get("GLANCE_TEST_REQUIRE_SERVICES") == "1":
                raise AssertionError("qemu-img is not installed")
            raise unittest.SkipTest("qemu-img is not installed")

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.path = os.path.join(self.directory, "image")
        self.conf = cfg.ConfigOpts()
        config.register(self.conf)
        self.conf([], default_config_files=[])

    def make(self, disk_format: str, *options: str, size: str = "16M") -> None:
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", disk_format, *options, self.path, size], check=True
        )

    def process(self, disk_format: str, to: str = "raw") -> FakeStagedImage:
        self.conf.set_override("output_format", to, "image_conversion")
        staged = FakeStagedImage(
            self.path,
            Image(
                "i",
                status="importing",
                disk_format=disk_format,
                container_format="bare",
                size=os.path.getsize(self.path),
            ),
        )
        conversion.ImageConversion(self.conf).process(staged)
        return staged

    def refuse(self, disk_format: str, words: str) -> None:
        with self.assertRaises(errors.GlanceError) as caught:
            self.process(disk_format)
        self.assertIn(words, str(caught.exception))
        self.assertEqual(["image"], sorted(os.listdir(self.directory)))

    def test_there_and_back(self) -> None:
        """What was written is read after two conversions; sizes and formats are told."""
        with open(self.path, "wb") as file:
            file.write(b"begin" + bytes(16 * MIB - 8) + b"end")
        staged = self.process("raw", to="qcow2")
        self.assertEqual(
            ("qcow2", "bare", 16 * MIB),
            (staged.image.disk_format, staged.image.container_format, staged.image.virtual_size),
        )
        self.assertEqual(os.path.getsize(self.path), staged.image.size)
        self.assertLess(staged.image.size, MIB)
        staged = self.process("qcow2")
        self.assertEqual(
            ("raw", 16 * MIB, 16 * MIB),
            (staged.image.disk_format, staged.image.size, staged.image.virtual_size),
        )
        with open(self.path, "rb") as file:
            data = file.read()
        self.assertEqual((b"begin", b"end"), (data[:5], data[-3:]))
        self.assertIn("Converting 16 MiB", staged.progress[0])

    def test_the_wanted_format_stays(self) -> None:
        self.make("qcow2")
        before = os.stat(self.path).st_ino
        staged = self.process("qcow2", to="qcow2")
        self.assertEqual((before, 16 * MIB), (os.stat(self.path).st_ino, staged.image.virtual_size))

    def test_a_disk_in_a_disk(self) -> None:
        """Declared raw, the bytes are the disk, whatever they look like (CVE-2024-32498)."""
        self.make("qcow2", size="1G")
        size = os.path.getsize(self.path)
        staged = self.process("raw", to="qcow2")
        # Disks are made of sectors.
        self.assertEqual(-(-size // 512) * 512, staged.image.virtual_size)

    def test_other_files_are_never_read(self) -> None:
        """Backing files (CVE-2015-5163) and data files (CVE-2024-32498) are refused."""
        secret = os.path.join(self.directory, "secret")
        subprocess.run(["qemu-img", "create", "-q", "-f", "raw", secret, "16M"], check=True)
        self.make("qcow2", "-b", secret, "-F", "raw")
        os.unlink(secret)
        self.refuse("qcow2", "backing_file")
        self.make("qcow2", "-o", f"data_file={secret},data_file_raw=on")
        os.unlink(secret)
        self.refuse("qcow2", "data_file")

    def test_a_backing_file_that_inspection_does_not_see(self) -> None:
        """What qemu-img itself says of other files counts, too."""
        with mock.patch.object(conversion.ImageConversion, "_inspect", return_value="qcow2"):
            secret = os.path.join(self.directory, "secret")
            subprocess.run(["qemu-img", "create", "-q", "-f", "raw", secret, "16M"], check=True)
            self.make("qcow2", "-b", secret, "-F", "raw")
            os.unlink(secret)
            self.refuse("qcow2", "backing file")

    def test_another_format_than_declared(self) -> None:
        self.make("qcow2")
        self.refuse("vmdk", "vmdk")

    def test_a_disk_larger_than_any_image(self) -> None:
        """A few bytes that say they are 64 TiB are refused before anything is written."""
        self.make("qcow2", size="64T")
        self.refuse("qcow2", "image_size_cap")

    def test_iso_stays(self) -> None:
        with open(self.path, "wb") as file:
            file.write(bytes(32768) + b"\x01CD001\x01" + bytes(4 * 2048 - 7))
        before = os.path.getsize(self.path)
        self.assertEqual("iso", self.process("iso").image.disk_format)
        self.assertEqual(before, os.path.getsize(self.path))
        self.refuse("raw", "iso")

    def test_limits(self) -> None:
        """qemu-img gets no more time and memory than it may have, and the service lives."""
        self.make("qcow2")
        with mock.patch.object(conversion, "MEMORY_LIMIT", 8 * MIB):
            self.refuse("qcow2", "qemu-img could not read")

    def test_a_table_that_needs_much_memory(self) -> None:
        """A header with an enormous table (CVE-2015-5162) is an error, not an end."""
        self.make("qcow2")
        with open(self.path, "r+b") as file:
            file.seek(36)
            file.write(struct.pack(">I", 0x7FFFFFFF))
        self.refuse("qcow2", "qemu-img could not read")

    def test_without_the_program(self) -> None:
        self.make("qcow2")
        with (
            mock.patch.dict(os.environ, PATH=self.directory),
            self.assertRaisesRegex(ValueError, "qemu-img is not installed"),
        ):
            self.process("qcow2")

    def test_python_of_an_embedding_server(self) -> None:
        """uWSGI says that it is sys.executable; the limits are set by a Python all the same."""
        with mock.patch.object(
            conversion,
            "sys",
            types.SimpleNamespace(executable="/usr/bin/uwsgi", prefix="/opt/venv"),
        ):
            self.assertEqual("/opt/venv/bin/python3", conversion._find_python())


class InfoTest(unittest.TestCase):
    """What qemu-img reports about an image, and what follows from it."""

    def setUp(self) -> None:
        self.path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "image")
        with open(self.path, "wb") as file:
            file.write(b"data")
        self.conf = factories.make_conf()
        self.enterContext(mock.patch("shutil.which", return_value="/qemu-img"))
        self.calls: list[tuple] = []

    def process(
        self,
        info: dict[str, object] | None = None,
        converted: bytes = b"converted",
        disk_format: str | None = "qcow2",
        to: str = "raw",
    ) -> FakeStagedImage:
        answer = {"virtual-size": 5, **(info or {})}

        def qemu_img(plugin, staged, seconds: int, *arguments: str) -> str:
            self.calls.append((seconds, *arguments))
            if arguments[0] == "convert":
                with open(arguments[-1], "wb") as file:
                    file.write(converted)
            return json.dumps(answer)

        self.conf.set_override("output_format", to, "image_conversion")
        staged = FakeStagedImage(
            self.path, Image("i", status="importing", disk_format=disk_format, size=4)
        )
        with (
            mock.patch.object(conversion.ImageConversion, "_qemu_img", qemu_img),
            mock.patch.object(conversion.ImageConversion, "_inspect", self.inspect),
        ):
            conversion.ImageConversion(self.conf).process(staged)
        return staged

    def inspect(self, staged: FakeStagedImage, declared: str | None) -> str | None:
        self.calls.append(("inspect", declared))
        return declared

    def refused(self, words: str, error: type[Exception] = errors.Invalid, **more) -> None:
        with self.assertRaisesRegex(error, words):
            self.process(**more)
        self.assertEqual(["image"], os.listdir(os.path.dirname(self.path)))

    def test_a_conversion(self) -> None:
        staged = self.process({"virtual-size": 3 * conversion.BYTES_PER_CPU_SECOND})
        image = staged.image
        self.assertEqual(
            ("raw", "bare", 9, 3 * conversion.BYTES_PER_CPU_SECOND),
            (image.disk_format, image.container_format, image.size, image.virtual_size),
        )
        self.assertEqual(
            [
                ("inspect", "qcow2"),
                (30, "info", "-f", "qcow2", "--output=json", self.path),
                (603, "convert", "-f", "qcow2", "-O", "raw", self.path, f"{self.path}.converted"),
                ("inspect", "raw"),
            ],
            self.calls,
        )
        self.assertEqual(["Converting 24 MiB from qcow2 to raw"], staged.progress)
        with open(self.path, "rb") as file:
            self.assertEqual(b"converted", file.read())

    def test_the_format_that_is_wanted(self) -> None:
        staged = self.process(to="qcow2")
        self.assertEqual(
            (5, 4, []), (staged.image.virtual_size, staged.image.size, staged.progress)
        )

    def test_names_of_formats(self) -> None:
        self.process(disk_format="vhd")
        self.assertEqual((30, "info", "-f", "vpc"), self.calls[1][:4])

    def test_formats_that_qemu_does_not_have(self) -> None:
        for name in ("aki", None):
            self.refused(f"disk_format {name} cannot be converted", disk_format=name)

    def test_images_of_several_files(self) -> None:
        refused = errors.InvalidImageFormat
        self.refused("backing file", refused, info={"backing-filename": "x"})
        self.refused("backing file", refused, info={"full-backing-filename": "x"})
        specific = {"format-specific": {"data": {"data-file": "x"}}}
        self.refused("another file", refused, info=specific)

    def test_encrypted_images(self) -> None:
        self.refused("encrypted", errors.InvalidImageFormat, info={"encrypted": True})
        self.process({"encrypted": False, "format-specific": None})

    def test_kinds_of_vmdk(self) -> None:
        def kind(name: str) -> dict[str, object]:
            return {"format-specific": {"data": {"create-type": name}}}

        self.process(kind("monolithicsparse"), disk_format="vmdk")
        self.refused(
            "VMDK", errors.InvalidImageFormat, info=kind("monolithicFlat"), disk_format="vmdk"
        )

    def test_sizes(self) -> None:
        self.conf.set_override("image_size_cap", 9)
        self.process({"virtual-size": 9})
        self.refused("10 bytes", errors.ImageTooLarge, info={"virtual-size": 10})
        self.refused("has 10 bytes", errors.ImageTooLarge, converted=b"x" * 10)

    def test_a_task_that_is_cancelled_before_the_conversion(self) -> None:
        with (
            mock.patch.object(
                FakeStagedImage, "raise_if_cancelled", side_effect=errors.TaskCancelled("stop")
            ),
            self.assertRaises(errors.TaskCancelled),
        ):
            self.process()
        self.assertEqual(2, len(self.calls))

    def test_the_python_of_the_operator(self) -> None:
        plugin = conversion.ImageConversion(self.conf)
        self.assertEqual(conversion._find_python(), plugin._python_executable)
        self.conf.set_override("python_interpreter", "/opt/python", "wsgi")
        self.assertEqual("/opt/python", conversion.ImageConversion(self.conf)._python_executable)


class SupervisorTest(unittest.TestCase):
    """The watch over a process, with a clock that the test sets."""

    def setUp(self) -> None:
        self.clock = ManualClock()
        self.killed: list[float] = []
        self.checks = 0
        self.enterContext(mock.patch.object(conversion, "POLL_SECONDS", 0))

    def check(self) -> None:
        self.checks += 1
        self.clock.now += 10

    def kill(self) -> None:
        self.killed.append(self.clock.now)

    def watch(self, check) -> conversion.ProcessSupervisor:
        supervisor = conversion.ProcessSupervisor(check, 30.0, self.clock)
        supervisor._watch(self)  # type: ignore[arg-type]
        return supervisor

    def test_too_long(self) -> None:
        supervisor = self.watch(self.check)
        self.assertEqual([1040.0], self.killed)
        self.assertIn("longer than 30 seconds", str(supervisor.reason))

    def test_a_check_that_fails(self) -> None:
        error = errors.TaskCancelled("stop")

        def check() -> None:
            raise error

        supervisor = self.watch(check)
        self.assertEqual(([1000.0], error), (self.killed, supervisor.reason))

    def test_a_process_that_ends(self) -> None:
        supervisor = conversion.ProcessSupervisor(self.check, 30.0, self.clock)
        supervisor.on_end(self)  # type: ignore[arg-type]
        supervisor._watch(self)  # type: ignore[arg-type]
        self.assertEqual(([], None, 0), (self.killed, supervisor.reason, self.checks))


class EndlessTest(unittest.TestCase):
    """A qemu-img that does not end, such as one that waits for a disk that does not answer."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.path = os.path.join(self.directory, "image")
        self.number = os.path.join(self.directory, "number")
        with open(os.path.join(self.directory, "qemu-img"), "w") as file:
            file.write(
                f"#!/bin/sh\necho $$ > {self.number}.new\n"
                f"mv {self.number}.new {self.number}\nexec sleep 600\n"
            )
            os.chmod(file.fileno(), 0o755)
        with open(self.path, "wb") as file:
            file.write(bytes(MIB))
        self.environment = {"PATH": f"{self.directory}:{os.environ['PATH']}"}
        path = mock.patch.dict(os.environ, self.environment)
        path.start()
        self.addCleanup(path.stop)
        self.conf = cfg.ConfigOpts()
        config.register(self.conf)
        self.conf([], default_config_files=[])

    def process(self, check=lambda: None) -> None:
        staged = FakeStagedImage(
            self.path,
            Image("i", status="importing", disk_format="raw", container_format="bare", size=MIB),
        )
        staged.raise_if_cancelled = check
        conversion.ImageConversion(self.conf).process(staged)

    def assert_ended(self) -> None:
        with open(self.number) as file:
            number = int(file.read())

        def has_ended() -> bool:
            try:
                with open(f"/proc/{number}/stat") as file:
                    return ") Z " in file.read()
            except FileNotFoundError:
                return True

        eventually(has_ended)

    def test_a_task_that_is_over(self) -> None:
        """So it is when the service stops."""

        def check() -> None:
            if os.path.exists(self.number):
                raise errors.TaskCancelled("The worker was stopped.")

        with self.assertRaisesRegex(errors.TaskCancelled, "stopped"):
            self.process(check)
        self.assert_ended()

    def test_the_time_on_the_wall(self) -> None:
        clock = ManualClock()

        def check() -> None:
            if os.path.exists(self.number):
                clock.now += 60.0

        supervisor = functools.partial(conversion.ProcessSupervisor, clock=clock)
        with (
            mock.patch.object(conversion, "ProcessSupervisor", supervisor),
            self.assertRaisesRegex(errors.Invalid, "longer than 90 seconds"),
        ):
            self.process(check)
        self.assert_ended()

    def test_a_service_that_is_killed(self) -> None:
        service = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys\n"
                "from tests.unit.importing.test_conversion import EndlessTest\n"
                "test = EndlessTest()\n"
                "test.setUp()\n"
                "print(test.number, flush=True)\n"
                "test.process()\n",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(service.wait)
        self.addCleanup(service.kill)
        self.number = service.stdout.readline().strip()
        self.addCleanup(service.stdout.close)
        self.addCleanup(shutil.rmtree, os.path.dirname(self.number))
        eventually(lambda: os.path.exists(self.number))
        service.kill()
        self.assert_ended()


if __name__ == "__main__":
    unittest.main()
