"""Small files that would grow without end are stopped while they grow."""

from __future__ import annotations

import gzip
import os
import tempfile
import types
import unittest
import zipfile
from unittest import mock

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.importing.plugins import decompression
from tests.unit.importing.test_conversion import FakeStaged

MIB = 1024 ** 2


class DecompressionTest(unittest.TestCase):

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.path = os.path.join(self.directory, "image")

    def process(self, cap: int = 1024 * MIB, ratio: int = 250) -> FakeStaged:
        staged = FakeStaged(self.path, Image("i", size=os.path.getsize(self.path)))
        conf = types.SimpleNamespace(
            image_size_cap=cap, image_decompression=types.SimpleNamespace(max_ratio=ratio))
        decompression.ImageDecompression(conf).process(staged)
        return staged

    def write(self, data: bytes) -> None:
        with open(self.path, "wb") as file:
            file.write(data)

    def test_the_cap(self) -> None:
        self.write(gzip.compress(bytes(16 * MIB)))
        with self.assertRaisesRegex(errors.ImageTooLarge, "more than 8 MiB"):
            self.process(cap=8 * MIB)
        self.assertLessEqual(os.path.getsize(f"{self.path}.decompressed"), 8 * MIB)

    def test_the_ratio(self) -> None:
        self.write(gzip.compress(bytes(16 * MIB)))
        with mock.patch.object(decompression, "_ALLOWED", MIB):
            self.assertRaises(errors.ImageTooLarge, self.process, ratio=100)
            self.assertEqual(16 * MIB, self.process(ratio=5000).image.size)

    def test_archives_that_are_none(self) -> None:
        """Damaged ones are the client's mistake, not an error of the service."""
        whole = gzip.compress(os.urandom(MIB))
        for data in (whole[:-20], whole[:1000] + b"x" * 1000 + whole[2000:],
                     b"PK\x03\x04" + b"x" * 100, b"\x1f\x8b\x08"):
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

    def test_other_data_stays(self) -> None:
        for data in (b"", b"x", b"QFI\xfb" + bytes(100)):
            self.write(data)
            self.process()
            with open(self.path, "rb") as file:
                self.assertEqual(data, file.read())


if __name__ == "__main__":
    unittest.main()
