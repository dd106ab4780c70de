"""Data that would make a hypervisor read what it should not is never stored.

Headers of disk formats are built here, byte by byte, as their specifications
say; the service must look at them itself and believe no name.
"""

from __future__ import annotations

import struct
import unittest

from tests.functional.client import files
from tests.functional.test_security import SecurityTestCase


def qcow2(backing: bytes = b"", incompatible: int = 0, size: int = 1 << 20) -> bytes:
    """A QCOW2 version 3 header, one cluster long (docs/interop/qcow2 of QEMU)."""
    offset = 512 if backing else 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, offset, len(backing), 16, size, 0, 1,
        3 << 16, 1 << 16, 1, 0, 0, incompatible, 0, 0, 4, 104)
    return (header.ljust(512, b"\0") + backing).ljust(65536, b"\0")


def vmdk(create_type: str) -> bytes:
    """A sparse VMDK header with its descriptor in sectors 1 to 20."""
    header = struct.pack("<4sIIQQQQIQQQ?4s", b"KDMV", 1, 3, 2048, 128, 1, 20, 512, 21, 26, 128,
                         False, b"\n \r\n").ljust(512, b"\0")
    descriptor = (
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="{create_type}"\n# Extent description\nRW 2048 SPARSE "disk.vmdk"\n')
    return (header + descriptor.encode().ljust(20 * 512, b"\0")).ljust(65536, b"\0")


QED = struct.pack("<4sIIIQQQQQII", b"QED\0", 65536, 4, 1, 0, 0, 0, 65536, 1 << 20, 0, 0)


class TestRefused(SecurityTestCase):
    """415, the image is queued again and no store holds a byte."""

    def refuse(self, disk_format: str, data: bytes) -> None:
        for pieces in (iter([data]), (data[i:i + 1] for i in range(len(data)))):
            image_id = self.ann.create(disk_format=disk_format)
            answer = self.ann.upload_pieces(image_id, pieces)
            self.assert_refused(answer, 415)
            self.assertEqual("queued", self.ann.show(image_id)["status"])
            self.assertEqual([], files(self.directory + "/fast"))

    def test_ossa_2015_014_a_backing_file(self) -> None:
        self.refuse("qcow2", qcow2(backing=b"/etc/passwd"))

    def test_ossa_2024_001_an_external_data_file(self) -> None:
        self.refuse("qcow2", qcow2(incompatible=1 << 2))

    def test_unknown_features(self) -> None:
        self.refuse("qcow2", qcow2(incompatible=1 << 40))

    def test_ossa_2023_002_extents_in_other_files(self) -> None:
        self.refuse("vmdk", vmdk("monolithicFlat"))

    def test_qed(self) -> None:
        self.refuse("qcow2", QED.ljust(65536, b"\0"))

    def test_something_else_than_declared(self) -> None:
        self.refuse("qcow2", b"no header at all".ljust(65536, b"."))


class TestAccepted(SecurityTestCase):
    """What is harmless is stored, with the size that the header tells."""

    def accept(self, disk_format: str, data: bytes) -> dict:
        image_id = self.ann.create(disk_format=disk_format)
        answer = self.ann.upload(image_id, data)
        self.assertEqual(204, answer.status_int, answer.text)
        return self.ann.show(image_id)

    def test_qcow2(self) -> None:
        self.assertEqual(1 << 20, self.accept("qcow2", qcow2())["virtual_size"])

    def test_vmdk(self) -> None:
        self.assertEqual("active", self.accept("vmdk", vmdk("monolithicSparse"))["status"])

    def test_qcow2_declared_raw_stays_raw(self) -> None:
        image = self.accept("raw", qcow2())
        self.assertEqual("raw", image["disk_format"])

    def test_the_format_of_an_active_image_stays(self) -> None:
        image = self.accept("qcow2", qcow2())
        self.assert_refused(self.ann.patch(
            image["id"], {"op": "replace", "path": "/disk_format", "value": "raw"}), 403)
        self.assertEqual("qcow2", self.ann.show(image["id"])["disk_format"])


if __name__ == "__main__":
    unittest.main()
