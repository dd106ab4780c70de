"""Data that would make a hypervisor read what it should not is never stored.

Headers of disk formats are built here, byte by byte, as their specifications
say; the service must look at them itself and believe no name.
"""

from __future__ import annotations

import hashlib
import os
import struct
import unittest

from tests.functional.client import OCTETS, files
from tests.functional.test_security import SecurityTestCase


def qcow2(backing: bytes = b"", incompatible: int = 0, size: int = 1 << 20) -> bytes:
    """A QCOW2 version 3 header, one cluster long (docs/interop/qcow2 of QEMU)."""
    offset = 512 if backing else 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb",
        3,
        offset,
        len(backing),
        16,
        size,
        0,
        1,
        3 << 16,
        1 << 16,
        1,
        0,
        0,
        incompatible,
        0,
        0,
        4,
        104,
    )
    return (header.ljust(512, b"\0") + backing).ljust(65536, b"\0")


def vmdk(create_type: str) -> bytes:
    """A sparse VMDK header with its descriptor in sectors 1 to 20."""
    header = struct.pack(
        "<4sIIQQQQIQQQ?4s", b"KDMV", 1, 3, 2048, 128, 1, 20, 512, 21, 26, 128, False, b"\n \r\n"
    ).ljust(512, b"\0")
    descriptor = (
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="{create_type}"\n# Extent description\nRW 2048 SPARSE "disk.vmdk"\n'
    )
    return (header + descriptor.encode().ljust(20 * 512, b"\0")).ljust(65536, b"\0")


QED = struct.pack("<4sIIIQQQQQII", b"QED\0", 65536, 4, 1, 0, 0, 0, 65536, 1 << 20, 0, 0)


class TestRefused(SecurityTestCase):
    """415, the image is queued again and no store holds a byte."""

    def refuse(self, disk_format: str, data: bytes, **more: str) -> None:
        for chunks in (iter([data]), (data[i : i + 1] for i in range(len(data)))):
            image_id = self.ann.create(disk_format=disk_format, **more)
            answer = self.ann.upload_chunked(image_id, chunks)
            self.assert_refused(answer, 415)
            self.assertEqual("queued", self.ann.show(image_id)["status"])
            self.assertEqual([], files(self.directory + "/fast"))

    def test_ossa_2015_014_a_backing_file(self) -> None:
        self.refuse("qcow2", qcow2(backing=b"/etc/passwd"))

    def test_a_backing_file_in_a_container(self) -> None:
        for container in ("ovf", "ami", "docker"):
            self.refuse("qcow2", qcow2(backing=b"/etc/passwd"), container_format=container)

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

    def refused(self, data: bytes = b"no disk") -> str:
        image_id = self.ann.create(disk_format="qcow2")
        self.assert_refused(self.ann.upload(image_id, data), 415)
        return image_id

    def digests(self, data: bytes) -> tuple[str, str, str]:
        return hashlib.md5(data).hexdigest(), "sha512", hashlib.sha512(data).hexdigest()

    def assert_digests(self, image_id: str, data: bytes) -> None:
        image = self.ann.show(image_id)
        self.assertEqual(
            self.digests(data), (image["checksum"], image["os_hash_algo"], image["os_hash_value"])
        )

    def test_the_image_says_what_was_refused_and_has_none_of_it(self) -> None:
        # What is wrong here is seen long before the data ends.
        data = qcow2(backing=b"/etc/passwd") + b"x" * (1 << 20)
        image_id = self.refused(data)
        self.assert_digests(image_id, data)
        image = self.ann.show(image_id)
        self.assertEqual(
            ("queued", None, None, "fast"),
            (image["status"], image["size"], image["virtual_size"], image["stores"]),
        )
        self.assertEqual(b"", self.ann.download(image_id).body)
        self.assertEqual([], self.stored())
        self.assertEqual(204, self.ann.call("DELETE", f"/v2/images/{image_id}").status_int)

    def test_the_next_data_wipes_that_away(self) -> None:
        image_id = self.refused()
        self.assertEqual(
            204, self.ann.upload(image_id, qcow2(), X_Image_Meta_Store="slow").status_int
        )
        self.assert_digests(image_id, qcow2())
        self.assertEqual(
            ("active", "slow"),
            (self.ann.show(image_id)["status"], self.ann.show(image_id)["stores"]),
        )
        self.assertEqual(qcow2(), self.ann.download(image_id).body)
        self.ann.call("DELETE", f"/v2/images/{image_id}")
        self.assertEqual([], self.stored())

    def test_staged_data_wipes_it_away(self) -> None:
        image_id = self.refused()
        self.assertEqual(
            204,
            self.ann.call(
                "PUT", f"/v2/images/{image_id}/stage", qcow2(), content_type=OCTETS
            ).status_int,
        )
        image = self.ann.show(image_id)
        self.assertEqual(("uploading", None), (image["status"], image["checksum"]))
        self.assertNotIn("stores", image)
        self.ann.call("DELETE", f"/v2/images/{image_id}")

    def test_bytes_that_another_service_left_there_go_first(self) -> None:
        # The original keeps refused data in the store.
        image_id = self.refused()
        path = os.path.join(self.directory, "fast", image_id)
        with open(path, "wb") as file:
            file.write(b"no disk")
        self.assertEqual(204, self.ann.upload(image_id, qcow2()).status_int)
        self.assertEqual(qcow2(), self.ann.download(image_id).body)
        self.assertEqual([f"{path}.2"], self.stored())
        self.ann.call("DELETE", f"/v2/images/{image_id}")

    def test_data_that_breaks_off_leaves_nothing(self) -> None:
        def chunks():
            yield qcow2(backing=b"/etc/passwd")
            yield b"x" * (1 << 20)
            raise OSError("the client went away")

        image_id = self.ann.create(disk_format="qcow2")
        self.assert_refused(self.ann.upload_chunked(image_id, chunks()), 415)
        image = self.ann.show(image_id)
        self.assertEqual(
            ("queued", None, None), (image["status"], image["checksum"], image["os_hash_value"])
        )
        self.assertNotIn("stores", image)


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
        self.assert_refused(
            self.ann.patch(image["id"], {"op": "replace", "path": "/disk_format", "value": "raw"}),
            403,
        )
        self.assertEqual("qcow2", self.ann.show(image["id"])["disk_format"])


if __name__ == "__main__":
    unittest.main()
