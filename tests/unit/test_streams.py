"""Byte filters: untouched chunks, right verdicts, no thread left behind."""

import base64
import dataclasses
import hashlib
import io
import struct
import tarfile
import threading
import unittest
from unittest import mock

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cursive import signature_utils

from glance_py import streams
from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.settings import FormatSettings
from tests.unit.factories import make_member

KIB = 1024


def pump(data, *filters, chunk: int = 64 * KIB) -> None:
    pieces = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    for _ in streams.filtered(pieces, filters):
        pass


class StreamTest(unittest.TestCase):
    def test_chunks_pass_as_the_same_objects(self):
        chunks = [b"ab", memoryview(b"cd"), b""]
        passed = list(
            streams.filtered(chunks, (streams.StreamFilter(), streams.HashFilter("sha256")))
        )
        for given, got in zip(chunks, passed, strict=True):
            self.assertIs(given, got)

    def test_a_filter_that_raises_stops_the_source_and_closes_all(self):
        closed, read = [], []

        class Closes(streams.StreamFilter):
            def close(self):
                closed.append(self)

        def source():
            for chunk in (b"aa", b"bb", b"cc"):
                read.append(chunk)
                yield chunk

        stream = streams.filtered(
            source(), (Closes(), streams.SizeLimit(3, errors.ImageTooLarge()))
        )
        self.assertEqual(b"aa", next(stream))
        with self.assertRaises(errors.ImageTooLarge):
            next(stream)
        self.assertEqual([b"aa", b"bb"], read)
        self.assertEqual(1, len(closed))

    def test_limit_is_inclusive(self):
        pump(b"x" * 10, streams.SizeLimit(10, errors.ImageTooLarge()), chunk=3)
        with self.assertRaises(errors.QuotaExceeded):
            pump(b"x" * 11, streams.SizeLimit(10, errors.QuotaExceeded()), chunk=3)


class HashTest(unittest.TestCase):
    def test_small_and_large_data(self):
        for size in (0, 1, 64 * KIB, 256 * KIB, 256 * KIB + 1, 3 * KIB * KIB + 17):
            data = bytes(range(251)) * (size // 251 + 1)
            data = data[:size]
            digest = streams.HashFilter("sha512")
            pump(data, digest)
            self.assertEqual(hashlib.md5(data).hexdigest(), digest.checksum)
            self.assertEqual(hashlib.sha512(data).hexdigest(), digest.value)
            self.assertEqual("sha512", digest.algorithm)

    def test_small_data_needs_no_thread(self):
        with mock.patch.object(threading, "Thread", side_effect=AssertionError):
            pump(b"x" * 200 * KIB, streams.HashFilter("sha256"))

    def test_no_thread_survives_a_failure(self):
        def source():
            for _ in range(20):
                yield b"x" * 64 * KIB
            raise OSError("the client went away")

        before = threading.active_count()
        with self.assertRaises(OSError):
            list(streams.filtered(source(), (streams.HashFilter("sha512"),)))
        self.assertEqual(before, threading.active_count())
        abandoned = streams.filtered(source(), (streams.HashFilter("sha512"),))
        for _ in range(10):
            next(abandoned)
        self.assertLess(before, threading.active_count())
        abandoned.close()
        self.assertEqual(before, threading.active_count())

    def test_an_error_in_a_thread_reaches_the_reader(self):
        seen = []

        def update(chunk):
            seen.append(chunk)
            if len(seen) == 10:
                raise ValueError("broken")

        with self.assertRaises(ValueError):
            pump(b"x" * 2000 * KIB, streams._ParallelFilter(update))
        self.assertEqual(10, len(seen))


def qcow2(version: int = 3, size: int = 1 << 20, backing: int = 0, features: int = 0) -> bytes:
    header = bytearray(64 * KIB)
    header[0:32] = struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing, 0, 16, size)
    header[0x48:0x50] = struct.pack(">Q", features)
    return bytes(header)


def vmdk(
    kind: str = "monolithicSparse", extent: str = 'RW 2048 SPARSE "x.vmdk"', footer: bool = False
) -> bytes:
    data = bytearray(64 * KIB)
    end = 0xFFFFFFFFFFFFFFFF if footer else 21
    data[0:64] = struct.pack("<4sIIQQQQIQQ", b"KDMV", 1, 3, 2048, 128, 1, 20, 512, 0, end)
    text = f'# Disk DescriptorFile\nversion=1\ncreateType="{kind}"\n{extent}\nddb.x = "1"\n'
    data[512 : 512 + len(text)] = text.encode()
    if footer:
        tail = bytearray(1536)
        tail[0:16] = struct.pack("<QII", 1, 0, 3)
        tail[512:576] = struct.pack("<4sIIQQQQIQQ", b"KDMV", 1, 3, 2048, 128, 1, 20, 512, 0, 21)
        data += tail
    return bytes(data)


def boot_sector(flag: int = 0, kind: int = 0x83) -> bytes:
    data = bytearray(64 * KIB)
    data[510:512] = b"\x55\xaa"
    data[446:462] = struct.pack("<B3BB3BII", flag, 0, 2, 0, kind, 0, 0, 0, 1, 100)
    return bytes(data)


def iso(boot: bytes = b"") -> bytes:
    data = bytearray(80 * KIB)
    volume = bytearray(2 * KIB)
    volume[0:7] = b"\x01CD001\x01"
    volume[80:88] = struct.pack("<I", 20) + struct.pack(">I", 20)
    volume[128:132] = b"\0\x08\x08\0"
    data[32 * KIB : 34 * KIB] = volume
    data[0 : len(boot[:512])] = boot[:512]
    return bytes(data)


def marked(mark: bytes, at: int, number: bytes = b"", number_at: int = 0) -> bytes:
    data = bytearray(64 * KIB)
    data[at : at + len(mark)] = mark
    data[number_at : number_at + len(number)] = number
    return bytes(data)


VHD = marked(b"conectix", 0, struct.pack(">Q", 12345), 40)
VDI = marked(struct.pack("<I", 0xBEDA107F), 64, struct.pack("<Q", 54321), 0x170)
QED = marked(b"QED\0", 0)
ZEROS = bytes(64 * KIB)


class InspectFormatTest(unittest.TestCase):
    def setUp(self):
        self.settings = FormatSettings()

    def set(self, **values):
        self.settings = dataclasses.replace(self.settings, **values)

    def inspect(self, data, disk_format, container_format="bare", chunk=64 * KIB):
        image = Image(id="i", disk_format=disk_format, container_format=container_format)
        inspection = streams.FormatFilter(image, self.settings)
        pump(data, inspection, chunk=chunk)
        return inspection

    def assert_size(self, expected, data, disk_format, **more):
        # Tiny chunks must not hide a header from the inspectors.
        for chunk in (1000, 64 * KIB):
            self.assertEqual(
                expected, self.inspect(data, disk_format, chunk=chunk, **more).virtual_size
            )

    def assert_refused(self, data, disk_format, **more):
        for chunk in (1000, 64 * KIB):
            with (
                self.subTest(disk_format, chunk=chunk),
                self.assertRaises(errors.InvalidImageFormat),
            ):
                self.inspect(data, disk_format, chunk=chunk, **more)

    def test_what_it_says_it_is(self):
        self.assert_size(1 << 20, qcow2(), "qcow2")
        self.assert_size(1 << 20, qcow2(version=2), "qcow2")
        self.assert_size(2048 * 512, vmdk(), "vmdk")
        self.assert_size(2048 * 512, vmdk("streamOptimized", footer=True), "vmdk")
        self.assert_size(12345, VHD, "vhd")
        self.assert_size(54321, VDI, "vdi")
        self.assert_size(20 * 2048, iso(), "iso")
        self.assert_size(20 * 2048, iso(boot_sector()), "iso")
        self.assert_size(64 * KIB, ZEROS, "raw")

    def test_a_header_without_a_size(self):
        without = bytearray(iso())
        without[32 * KIB] = 0
        self.assert_size(None, bytes(without), "iso")

    def test_anything_safe_is_raw_bytes(self):
        for data in (qcow2(), vmdk(), VHD, VDI, iso(), boot_sector()):
            self.assert_size(len(data), data, "raw")

    def test_what_cannot_be_told(self):
        for disk_format in ("ami", "ari", "aki", "ploop"):
            self.assert_size(None, ZEROS, disk_format)
            self.assert_refused(qcow2(), disk_format)

    def test_something_else_than_declared(self):
        for disk_format in ("qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"):
            self.assert_refused(ZEROS, disk_format)
            self.assert_refused(b"hello", disk_format)
            self.assert_refused(b"", disk_format)
        self.assert_refused(iso(), "qcow2")
        self.assert_refused(qcow2(), "vmdk")

    def test_unsafe_whatever_is_declared(self):
        for data in (
            qcow2(version=1),
            qcow2(backing=512),
            qcow2(features=4),
            qcow2(features=1 << 5),
            QED,
            vmdk("monolithicFlat"),
            vmdk(extent='RW 2048 SPARSE "/etc/passwd"'),
            boot_sector(flag=7),
        ):
            for disk_format in ("raw", "qcow2", "vmdk"):
                self.assert_refused(data, disk_format)

    def test_two_formats_in_one(self):
        self.assert_refused(iso(boot_sector()), "raw")
        self.assert_refused(iso(qcow2()), "iso")

    def test_vmdk_types_are_a_choice_of_the_operator(self):
        self.set(vmdk_allowed_types=["streamOptimized"])
        self.assert_refused(vmdk(), "vmdk")
        self.assert_refused(vmdk(), "raw")
        self.assert_size(2048 * 512, vmdk("streamOptimized", footer=True), "vmdk")

    def test_boot_sectors_that_an_operator_forgives(self):
        self.set(gpt_safety_checks_nonfatal=["mbr"])
        self.assert_size(64 * KIB, boot_sector(flag=7), "raw")

    def test_without_a_match_required_only_safety_counts(self):
        self.set(require_image_format_match=False)
        with self.assertLogs(streams.LOG, "WARNING"):
            self.assert_size(None, qcow2(), "vmdk")
        self.assert_size(1 << 20, qcow2(), "qcow2")
        self.assert_refused(qcow2(backing=512), "vmdk")

    def test_unsafe_in_any_container(self):
        for container in ("ovf", "ova", "ami", "docker", "aki", "whatever"):
            for data in (
                qcow2(backing=512),
                qcow2(features=4),
                vmdk("monolithicFlat"),
                QED,
                iso(qcow2(backing=512)),
                boot_sector(flag=7),
            ):
                for disk_format in ("raw", "qcow2", "vmdk", "iso"):
                    self.assert_refused(data, disk_format, container_format=container)

    def test_what_is_safe_in_a_container_need_not_be_the_disk(self):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member_of = tarfile.TarInfo("disk.qcow2")
            member_of.size = len(qcow2(backing=512))
            tar.addfile(member_of, io.BytesIO(qcow2(backing=512)))
        for container in ("ovf", "ova", "ami", "docker"):
            for data in (archive.getvalue(), qcow2(), iso(boot_sector()), ZEROS, b"", b"hello"):
                self.assert_size(None, data, "vmdk", container_format=container)

    def test_compressed_data_is_not_looked_into(self):
        self.assert_size(None, qcow2(backing=512), "qcow2", container_format="compressed")

    def test_no_data(self):
        self.assertIsNone(self.inspect(b"", "raw").virtual_size)

    def test_a_clear_case_is_refused_before_the_end(self):
        read = []

        def source():
            for chunk in [qcow2(backing=512)] + [ZEROS] * 100:
                read.append(chunk)
                yield chunk

        image = Image(id="i", disk_format="qcow2", container_format="bare")
        with self.assertRaises(errors.InvalidImageFormat):
            list(streams.filtered(source(), (streams.FormatFilter(image, self.settings),)))
        self.assertLess(len(read), 8)


class SignatureTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = rsa.generate_private_key(65537, 2048)

    def properties(self, data):
        signature = self.key.sign(
            data,
            padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH),
            hashes.SHA256(),
        )
        return {
            "img_signature": base64.b64encode(signature).decode(),
            "img_signature_hash_method": "SHA-256",
            "img_signature_key_type": "RSA-PSS",
            "img_signature_certificate_uuid": "c",
        }

    def verify(self, data, properties):
        public = self.key.public_key()
        with mock.patch.object(signature_utils, "get_public_key", lambda *a: public):
            filters = streams.signature_filters(make_member(), Image(id="i", properties=properties))
        pump(data, *filters)
        return filters

    def test_signed_data(self):
        for data in (b"hello", b"x" * 600 * KIB):
            self.assertEqual(1, len(self.verify(data, self.properties(data))))

    def test_changed_data(self):
        with self.assertRaises(errors.Invalid):
            self.verify(b"hellO", self.properties(b"hello"))

    def test_an_unsigned_image_has_no_filter(self):
        properties = self.properties(b"hello")
        del properties["img_signature_key_type"]
        self.assertEqual((), self.verify(b"hello", properties))

    def test_a_signature_that_makes_no_sense(self):
        for name in ("img_signature_hash_method", "img_signature_key_type"):
            with self.assertRaises(errors.Invalid):
                self.verify(b"hello", {**self.properties(b"hello"), name: "nonsense"})
