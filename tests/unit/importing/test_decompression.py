"""Small files that would grow without end are stopped while they grow."""

from __future__ import annotations

import gzip
import importlib.util
import os
import struct
import tempfile
import tracemalloc
import types
import unittest
import zipfile
from unittest import mock

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.importing.plugins import decompression
from tests.unit.importing.test_conversion import FakeStagedImage

MIB = 1024**2


class DecompressionCase(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.path = os.path.join(self.directory, "image")

    def process(self, cap: int = 1024 * MIB, ratio: int = 250) -> FakeStagedImage:
        staged = FakeStagedImage(self.path, Image("i", size=os.path.getsize(self.path)))
        conf = types.SimpleNamespace(
            image_size_cap=cap, image_decompression=types.SimpleNamespace(max_ratio=ratio)
        )
        decompression.ImageDecompression(conf).process(staged)
        return staged

    def write(self, data: bytes) -> None:
        with open(self.path, "wb") as file:
            file.write(data)


class DecompressionTest(DecompressionCase):
    def test_the_cap(self) -> None:
        self.write(gzip.compress(bytes(16 * MIB)))
        with self.assertRaisesRegex(errors.ImageTooLarge, "more than 8 MiB"):
            self.process(cap=8 * MIB)
        self.assertLessEqual(os.path.getsize(f"{self.path}.decompressed"), 8 * MIB)

    def test_the_ratio(self) -> None:
        self.write(gzip.compress(bytes(16 * MIB)))
        with mock.patch.object(decompression, "_ALWAYS_ALLOWED_BYTES", MIB):
            self.assertRaises(errors.ImageTooLarge, self.process, ratio=100)
            self.assertEqual(16 * MIB, self.process(ratio=5000).image.size)

    def test_archives_that_are_none(self) -> None:
        """Damaged ones are the client's mistake, not an error of the service."""
        whole = gzip.compress(os.urandom(MIB))
        for data in (
            whole[:-20],
            whole[:1000] + b"x" * 1000 + whole[2000:],
            b"PK\x03\x04" + b"x" * 100,
            b"\x1f\x8b\x08",
        ):
            self.write(data)
            with self.subTest(data[:20]), self.assertRaisesRegex(errors.Invalid, "damaged"):
                self.process()

    def test_encrypted(self) -> None:
        with zipfile.ZipFile(self.path, "w") as archive:
            archive.writestr("disk", b"data")
        with open(self.path, "r+b") as file:
            data = bytearray(file.read())
            place = data.index(b"PK\x01\x02")
            data[place + 8] |= 1
            file.seek(0)
            file.write(data)
        with self.assertRaisesRegex(errors.Invalid, "encrypted"):
            self.process()

    def test_methods_without_a_bound_on_memory(self) -> None:
        """bzip2 and LZMA give all that a few bytes unpack to in one piece."""
        for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            with zipfile.ZipFile(self.path, "w", method) as archive:
                archive.writestr("disk", bytes(64 * MIB))
            with self.subTest(method), self.assertRaisesRegex(errors.Invalid, "deflated"):
                self.process()

    def test_methods_of_zip(self) -> None:
        data = os.urandom(MIB) + bytes(MIB)
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with zipfile.ZipFile(self.path, "w", method) as archive:
                archive.writestr("disk", data)
            with self.subTest(method):
                self.process()
                with open(self.path, "rb") as file:
                    self.assertEqual(data, file.read())

    def test_a_directory_of_many_entries_is_not_read(self) -> None:
        with zipfile.ZipFile(self.path, "w") as archive:
            for number in range(20_000):
                archive.writestr(f"{number}", b"")
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        with self.assertRaisesRegex(errors.Invalid, "exactly one file"):
            self.process()
        self.assertLess(tracemalloc.get_traced_memory()[1], MIB)

    def test_the_longest_directory_of_one_entry(self) -> None:
        entry = zipfile.ZipInfo("d" * 65535)
        entry.comment = b"c" * 65535
        with zipfile.ZipFile(self.path, "w") as archive:
            archive.writestr(entry, b"data")
        self.assertEqual(4, self.process().image.size)

    def test_other_data_stays(self) -> None:
        for data in (b"", b"x", b"QFI\xfb" + bytes(100)):
            self.write(data)
            self.process()
            with open(self.path, "rb") as file:
                self.assertEqual(data, file.read())


def crc(data: bytes) -> int:
    """CRC-16/ARC, the checksum of LHA."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def lha(packed: bytes, size: int, checksum: int, method: bytes = b"-lh5-") -> bytes:
    """An archive (header of level 0) of one file."""
    head = (
        method
        + struct.pack("<IIIBB", len(packed), size, 0x210000, 0x20, 0)
        + b"\4disk"
        + struct.pack("<H", checksum)
    )
    return bytes([len(head), sum(head) & 255]) + head + packed + b"\0"


def runs(*blocks: tuple[int, int]) -> bytes:
    """-lh5- data of (length, symbol): a block whose only symbol takes no bits at all."""
    text = "".join(f"{length:016b}{0:010b}{0:09b}{symbol:09b}{0:08b}" for length, symbol in blocks)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[place : place + 8], 2) for place in range(0, len(text), 8))


#: Repeat what stood before 256 times.
REPEAT = 509


class LhaTest(DecompressionCase):
    def setUp(self) -> None:
        if importlib.util.find_spec("lhafile") is None:
            if os.environ.get("GLANCE_TEST_REQUIRE_SERVICES") == "1":
                self.fail("lhafile is not installed")
            self.skipTest("lhafile is not installed")
        super().setUp()

    def test_packed_and_stored(self) -> None:
        data = b"x" + b"x" * 256 * 1000
        for archive in (
            lha(runs((1, ord("x")), (1000, REPEAT)), len(data), crc(data)),
            lha(data, len(data), crc(data), b"-lh0-"),
        ):
            self.write(archive)
            self.assertEqual(len(data), self.process().image.size)
            with open(self.path, "rb") as file:
                self.assertEqual(data, file.read())

    def test_nothing_is_held_in_memory(self) -> None:
        """Some dozen bytes that grow to 64 MiB are stopped at the cap, piece by piece."""
        self.write(lha(runs((1, ord("x")), *((65535, REPEAT),) * 4), 1 + 65535 * 1024, 0))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        with self.assertRaisesRegex(errors.ImageTooLarge, "more than 32 MiB"):
            self.process(cap=32 * MIB)
        self.assertLess(tracemalloc.get_traced_memory()[1], 4 * MIB)
        self.assertLessEqual(os.path.getsize(f"{self.path}.decompressed"), 32 * MIB)

    def test_what_is_no_archive_of_one_file(self) -> None:
        whole = lha(runs((1, ord("x")), (10, REPEAT)), 2561, crc(b"x" * 2561))
        for data, text in (
            (whole[:15], "damaged"),
            (whole[:-5], "damaged"),
            (whole.replace(b"h5", b"h1"), "damaged"),
            (lha(runs((1, ord("x")), (10, REPEAT)), 2561, 0), "checksum"),
            (lha(b"data", 4, crc(b"dato"), b"-lh0-"), "checksum"),
            (whole[:-1] + whole, "exactly one file"),
        ):
            self.write(data)
            with self.subTest(data), self.assertRaisesRegex(errors.Invalid, text):
                self.process()


if __name__ == "__main__":
    unittest.main()
