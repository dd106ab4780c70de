"""Remote stores, and stores that fail: what the client gets, how soon, and what is left behind.

A real S3 service and a real Swift behind :mod:`tests.servers.faulty`, and a file
system that is full.  After every fault nothing may be left in the store and the
image can be uploaded again.  ``doc/source/admin/stores-faults.md`` is the table.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import Iterator
from urllib.parse import urlsplit

from glance_store_py.drivers import s3, swift
from glance_store_py.drivers.s3_options import OPTIONS as S3_OPTIONS
from glance_store_py.drivers.swift_options import OPTIONS as SWIFT_OPTIONS
from glance_store_py.testing import settings
from tests import stores
from tests.contract.store import seaweed, servers
from tests.functional.server import GLANCE_API, MIB, OCTETS, TOKEN, ServerProcess, chunks
from tests.servers import swift as own_swift
from tests.servers.faulty import CHUNK_SIZE, FaultyProxy
from tests.waiting import eventually

AGAIN = b"uploaded again"


class Answer:
    """What became of a request: ``status`` 0 stands for a broken connection.

    A client that cannot get rid of its data looks whether there is an answer already.
    """

    def __init__(
        self, server: ServerProcess, method: str, path: str, body=None, **headers: str
    ) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        with contextlib.closing(connection):
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(
                        method,
                        path,
                        body,
                        {
                            **TOKEN,
                            **{name.replace("_", "-"): value for name, value in headers.items()},
                        },
                        encode_chunked=headers.get("Transfer_Encoding") == "chunked",
                    )
                answer = connection.getresponse()
                self.status, self.body = answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.status, self.body = 0, repr(error).encode()


def small_file_system(case: type[unittest.TestCase], mib: int) -> str:
    """A file system of so many MiB for the time of a class; only root has that."""
    scratch = tempfile.TemporaryDirectory(prefix="glance-")
    case.addClassCleanup(scratch.cleanup)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", scratch.name], capture_output=True
    )
    if mounted.returncode:
        raise unittest.SkipTest("only root can mount a small file system")
    case.addClassCleanup(subprocess.run, ["umount", scratch.name], check=True)
    return scratch.name


class Remote:
    """A service whose store ``remote`` is behind ``cls.faulty``."""

    @classmethod
    def start(cls, target: str) -> None:
        """Set ``cls.faulty`` and ``cls.server``."""
        directory = tempfile.TemporaryDirectory(prefix="glance-")
        cls.addClassCleanup(directory.cleanup)
        cls.faulty = FaultyProxy(target)
        cls.addClassCleanup(cls.faulty.kill)
        cls.directory = directory.name
        cls.server = ServerProcess(
            directory.name,
            ["-m", "tests.functional.short_of_patience"],
            client_timeout=60,
            options=cls.options(),
        )
        cls.addClassCleanup(cls.server.end)

    @classmethod
    def options(cls, wrong: bool = False) -> str:
        """The configuration of the store, with wrong credentials if so wanted."""
        raise NotImplementedError

    def leftovers(self) -> list[str]:
        """Everything in the store, asked without a detour."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.image_id = self.server.create()
        self.addCleanup(self.tidy)

    def tidy(self) -> None:
        self.faulty.heal()
        self.server.ask("DELETE", f"/v2/images/{self.image_id}")

    def put(self, body, size: int | None = None) -> Answer:
        framing = (
            {"Transfer_Encoding": "chunked"} if size is None else {"Content_Length": str(size)}
        )
        return self.report(
            "upload",
            Answer(
                self.server,
                "PUT",
                f"/v2/images/{self.image_id}/file",
                body,
                Content_Type=OCTETS,
                X_Image_Meta_Store="remote",
                **framing,
            ),
        )

    def put_pieces(self, count: int, announced: bool = True) -> Answer:
        """Upload so many MiB."""
        return self.put(chunks(count, MIB), count * MIB if announced else None)

    def get(self) -> Answer:
        return self.report(
            "download", Answer(self.server, "GET", f"/v2/images/{self.image_id}/file")
        )

    def report(self, what: str, answer: Answer) -> Answer:
        """For who fills in the table: GLANCE_TEST_REPORT names a file."""
        if place := os.environ.get("GLANCE_TEST_REPORT"):
            text = b"" if 200 <= answer.status < 300 else answer.body[:200]
            with open(place, "a") as file:
                file.write(
                    f"{self.id().partition('.test_store_faults.')[2]:70} {what:9}"
                    f"{answer.status:4} {self.faulty.asked:4} requests {text!r}\n"
                )
        return answer

    def each_way(self) -> Iterator[tuple[int, bool]]:
        """MiB of an image, and whether its size is told: in parts, as a whole, in parts."""
        for way in ((24, False), (self.whole, True), (24, True)):
            with self.subTest(way=way):
                self.image_id = self.server.create()
                yield way
                self.tidy()

    def check_clean(self) -> None:
        """The image is queued, nothing is in the store, and all works again."""
        self.assertEqual("queued", self.server.show(self.image_id)["status"])
        self.faulty.heal()
        # What could not be removed is tried again every five seconds.
        eventually(self.leftovers, lambda found: not found, explain=self.server.log)
        # A store that counted as away is tried again after a while.
        eventually(
            lambda: self.server.ask(
                "PUT",
                f"/v2/images/{self.image_id}/file",
                AGAIN,
                Content_Type=OCTETS,
                X_Image_Meta_Store="remote",
            )[0],
            lambda status: status == 204,
            explain=self.server.log,
        )
        self.assertEqual(AGAIN, self.server.download(self.image_id))
        self.server.ask("DELETE", f"/v2/images/{self.image_id}")
        self.assertEqual([], self.leftovers())

    def check_refused(self, answer: Answer, status: int) -> None:
        """The answer came, before the client lost its patience (``Answer``)."""
        self.assertEqual(status, answer.status, answer.body)
        self.assertNotIn(b"Traceback", answer.body)


class Faults(Remote):
    """Cases for every such service."""

    def test_parts_of_an_image(self) -> None:
        """Ranges without faults: across parts, segments and pieces."""
        data = os.urandom(12 * MIB + 17)
        self.assertEqual(204, self.put(data, len(data)).status)
        path, border = f"/v2/images/{self.image_id}/file", 5 * MIB
        for text, part in (
            ("0-0", data[:1]),
            (f"{border - 3}-{border + 3}", data[border - 3 : border + 4]),
            ("12582900-", data[12582900:]),
            ("-20", data[-20:]),
            ("2000000-9000000", data[2000000:9000001]),
        ):
            status, body = self.server.ask("GET", path, Range=f"bytes={text}")
            self.assertEqual((206, True), (status, part == body), text)
        self.assertEqual(416, self.server.ask("GET", path, Range=f"bytes={len(data)}-")[0])

    def test_killed_in_the_middle_of_an_upload(self) -> None:
        for way in self.each_way():
            self.faulty.kill_after_received = 3 * MIB
            self.check_refused(self.put_pieces(*way), 503)
            self.check_clean()

    def test_killed_in_the_middle_of_a_download(self) -> None:
        self.assertEqual(204, self.put_pieces(24).status)
        self.faulty.kill_after_sent = 6 * MIB
        answer = self.get()
        # Half an image must not look like a whole one.
        self.assertEqual(0, answer.status)
        self.faulty.heal()
        found = eventually(lambda: self.get().body, lambda body: len(body) == 24 * MIB)
        self.assertEqual(b"".join(chunks(24, MIB)), found)

    def test_a_download_that_breaks_off_is_taken_up(self) -> None:
        self.assertEqual(204, self.put_pieces(24).status)
        self.faulty.break_after_sent = 6 * MIB
        self.assertEqual(b"".join(chunks(24, MIB)), self.get().body)
        self.assertIsNone(self.faulty.break_after_sent)

    def test_refused(self) -> None:
        self.faulty.kill()
        self.check_refused(self.put(AGAIN, len(AGAIN)), 503)
        self.check_clean()

    def test_refused_many_times(self) -> None:
        """After five failures the service is not asked for a while."""
        self.faulty.hangs_up = True
        for _ in range(5):
            self.put(AGAIN, len(AGAIN))

        def is_answered_without_the_service() -> bool:
            asked = self.faulty.asked
            self.check_refused(self.put(AGAIN, len(AGAIN)), 503)
            return asked == self.faulty.asked

        eventually(is_answered_without_the_service)
        self.check_clean()

    def test_a_download_from_a_service_that_is_away(self) -> None:
        self.assertEqual(204, self.put(AGAIN, len(AGAIN)).status)
        self.faulty.kill()
        self.check_refused(self.get(), 503)

    def test_overloaded_for_some_seconds(self) -> None:
        """A service that asks to come later is asked later, not given up after a second."""
        for operation in (lambda: self.put(AGAIN, len(AGAIN)), self.get):
            # Three attempts are made of a request that fails and does not ask for time.
            self.faulty.overloaded = 4
            answer = operation()
            self.assertIn(answer.status, (200, 204), answer.body)
            self.assertEqual(0, self.faulty.overloaded)

    def test_overloaded_for_ever(self) -> None:
        self.faulty.overloaded = sys.maxsize
        self.check_refused(self.put(AGAIN, len(AGAIN)), 503)
        first = self.faulty.asked
        # Who comes now does not wait for so long, too.
        self.check_refused(self.put(AGAIN, len(AGAIN)), 503)
        self.assertLess(self.faulty.asked - first, first)
        self.check_clean()

    def test_full(self) -> None:
        for way in self.each_way():
            self.faulty.status_for_puts = 507
            self.check_refused(self.put_pieces(*way), 413)
            self.check_clean()

    def test_slow(self) -> None:
        data = os.urandom(2 * CHUNK_SIZE)
        for operation in (lambda: self.put(data, len(data)), self.get):
            held = self.faulty.chunks = threading.Semaphore(1)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                answer = pool.submit(operation)
                # One piece went, the next one is awaited; nothing but that piece is missing.
                eventually(lambda held=held: held._value == 0)
                self.assertFalse(answer.done())
                self.faulty.chunks = None
                held.release(10)
                self.assertIn(answer.result().status, (200, 204), answer.result().body)
        self.assertEqual(data, answer.result().body)

    def test_every_third_request_fails(self) -> None:
        self.faulty.fail_every = 3
        data = b"".join(chunks(24, MIB))
        self.assertEqual(self.third_upload, self.put_pieces(24, announced=False).status)
        if self.third_upload == 204:
            self.assertEqual(data, self.get().body)
        else:
            self.check_clean()

    def test_wrong_credentials(self) -> None:
        self.assertEqual(204, self.put(AGAIN, len(AGAIN)).status)
        self.restart(wrong=True)
        try:
            self.check_refused(self.get(), 403)
            other = self.server.create()
            status, body = self.server.ask(
                "PUT",
                f"/v2/images/{other}/file",
                AGAIN,
                Content_Type=OCTETS,
                X_Image_Meta_Store="remote",
            )
            self.assertEqual(503, status, body)
            self.assertNotIn(b"canary", body + self.server.log().encode())
            self.server.ask("DELETE", f"/v2/images/{other}")
        finally:
            self.restart(wrong=False)
        self.assertEqual(AGAIN, self.get().body)

    def restart(self, wrong: bool) -> None:
        self.server.end()
        self.server.write_config(self.options(wrong))
        self.server.start()


class Full(Remote):
    """Cases for a service that has no room for 48 MiB, until :meth:`grow`.

    What it says of that is 500 or 503: more it does not know itself.
    """

    #: A file system on which everything lies.
    small: str

    def grow(self) -> None:
        subprocess.run(["mount", "-o", "remount,size=512m", self.small], check=True)

    def test_an_upload_that_does_not_fit(self) -> None:
        small = self.image_id
        self.addCleanup(self.server.ask, "DELETE", f"/v2/images/{small}")
        self.assertEqual(204, self.put(AGAIN, len(AGAIN)).status)
        kept = self.leftovers()
        for announced in (True, False):
            self.image_id = self.server.create()
            self.addCleanup(self.server.ask, "DELETE", f"/v2/images/{self.image_id}")
            # What can be compressed might fit.
            answer = self.put((os.urandom(MIB) for _ in range(48)), 48 * MIB if announced else None)
            self.check_refused(answer, 503)
            self.assertIn(b"it may be full", answer.body)
            self.assertEqual("queued", self.server.show(self.image_id)["status"])
            eventually(self.leftovers, lambda found, kept=kept: found == kept)
        self.assertEqual(AGAIN, self.server.download(small))
        self.grow()
        eventually(lambda: self.put_pieces(24).status, lambda status: status == 204)
        self.assertEqual(b"".join(chunks(24, MIB)), self.get().body)


class OnS3(Remote):
    whole = 8

    @classmethod
    def service(cls) -> str:
        return servers.s3()

    @classmethod
    def setUpClass(cls) -> None:
        cls.url = urlsplit(cls.service())
        host = cls.url.netloc.rpartition("@")[2]
        cls.client = s3.S3Driver(
            settings(
                S3_OPTIONS,
                s3_store_host=f"http://{host}",
                s3_store_access_key=cls.url.username,
                s3_store_secret_key=cls.url.password,
                s3_store_bucket="faults",
            ),
            "faults",
        )._client
        cls.client.create_bucket()
        cls.start(host)

    @classmethod
    def options(cls, wrong: bool = False) -> str:
        return "enabled_backends = local:file, remote:s3\n" + stores.s3(
            "remote",
            f"http://{cls.faulty.address}",
            cls.url.username,
            "canary" if wrong else cls.url.password,
            "faults",
        )

    def leftovers(self) -> list[str]:
        return [each.key for each in (*self.client.list_objects(), *self.client.list_uploads())]


class S3Faults(OnS3, Faults, unittest.TestCase):
    third_upload = 204

    def test_an_upload_that_is_confirmed_and_forgotten(self) -> None:
        for content in (b"", b"<?xml version=", b"<Error><Code>InternalError</Code></Error>"):
            with self.subTest(content=content):
                self.faulty.fake_completion = content
                self.check_refused(self.put_pieces(12, announced=False), 503)
                self.check_clean()
                self.image_id = self.server.create()


class FullS3(OnS3, Full, unittest.TestCase):
    @classmethod
    def service(cls) -> str:
        if not seaweed.program():
            raise unittest.SkipTest("there is no program 'weed'")
        cls.small = small_file_system(cls, 32)
        url, process = seaweed.start_in(cls.small, volumes=20)
        cls.addClassCleanup(seaweed.end, process)
        return url


class OnSwift(Remote):
    resumes = 2
    whole = 4

    @classmethod
    def service(cls) -> str:
        return servers.swift_keystone()

    @classmethod
    def setUpClass(cls) -> None:
        url = urlsplit(cls.service().partition(",")[0])
        credentials, _, host = url.netloc.rpartition("@")
        cls.user, _, cls.key = credentials.rpartition(":")
        cls.keystone = f"http://{host}{url.path}"
        scratch = servers.scratch()
        cls.addClassCleanup(scratch.cleanup)
        cls.references = pathlib.Path(scratch.name, "references.conf")
        cls.write_references(cls.key)
        made = swift.SwiftDriver(
            settings(
                SWIFT_OPTIONS,
                swift_store_config_file=str(cls.references),
                default_swift_reference="ours",
            ),
            "faults",
        )
        cls.client = made._client(made._references["ours"])
        account = urlsplit(cls.client.account.url())
        cls.account = account.path
        cls.start(account.netloc)

    @classmethod
    def write_references(cls, key: str) -> None:
        stores.write_references(cls.references, cls.keystone, cls.user, key)

    @classmethod
    def options(cls, wrong: bool = False) -> str:
        cls.write_references("canary" if wrong else cls.key)
        return "enabled_backends = local:file, remote:swift\n" + stores.swift(
            "remote",
            cls.references,
            "faults",
            more=f"swift_store_endpoint = http://{cls.faulty.address}{cls.account}\n"
            f"swift_store_retry_get_count = {cls.resumes}\n",
        )

    def leftovers(self) -> list[str]:
        if not self.client.has_container("faults"):
            return []
        return [each.name for each in self.client.list_objects("faults")]


class SwiftFaults(OnSwift, Faults, unittest.TestCase):
    #: Segments are sent once, as they come.
    third_upload = 503

    def test_quota_of_the_container(self) -> None:
        if not self.client.has_container("faults"):
            self.client.put_container("faults")
        for way in self.each_way():
            self.client.post_container("faults", {"x-container-meta-quota-bytes": str(3 * MIB)})
            answer = self.put_pieces(*way)
            self.check_refused(answer, 413)
            self.assertIn(b"not enough room", answer.body)
            self.check_clean()
            self.client.post_container("faults", {"x-container-meta-quota-bytes": ""})


class FullSwift(OnSwift, Full, unittest.TestCase):
    @classmethod
    def service(cls) -> str:
        if not own_swift.program():
            raise unittest.SkipTest("Swift is not installed")
        cls.small = small_file_system(cls, 32)
        try:
            os.setxattr(cls.small, "user.test", b"x")
        except OSError:
            raise unittest.SkipTest("tmpfs has no extended attributes here") from None
        swift_here = own_swift.start_in(cls.small)
        cls.addClassCleanup(swift_here.end)
        return swift_here.keystone


class FullFileSystem(unittest.TestCase):
    """The file store on a file system of eight MiB."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.small = small_file_system(cls, 8)
        place = tempfile.TemporaryDirectory(prefix="glance-")
        cls.addClassCleanup(place.cleanup)
        cls.server = ServerProcess(
            place.name,
            GLANCE_API,
            client_timeout=60,
            options=(
                "enabled_backends = local:file, small:file\n"
                f"[small]\nfilesystem_store_datadir = {cls.small}"
            ),
        )
        cls.addClassCleanup(cls.server.end)

    def test_an_upload_that_does_not_fit(self) -> None:
        for size in (None, 24 * MIB):
            image_id = self.server.create()
            framing = (
                {"Transfer_Encoding": "chunked"} if size is None else {"Content_Length": str(size)}
            )
            answer = Answer(
                self.server,
                "PUT",
                f"/v2/images/{image_id}/file",
                chunks(24, MIB),
                Content_Type=OCTETS,
                X_Image_Meta_Store="small",
                **framing,
            )
            self.assertEqual(413, answer.status, answer.body)
            self.assertEqual("queued", self.server.show(image_id)["status"])
            self.assertEqual([], os.listdir(self.small))
            status, body = self.server.ask(
                "PUT",
                f"/v2/images/{image_id}/file",
                AGAIN,
                Content_Type=OCTETS,
                X_Image_Meta_Store="small",
            )
            self.assertEqual(204, status, body)
            self.assertEqual(AGAIN, self.server.download(image_id))
            self.server.ask("DELETE", f"/v2/images/{image_id}")

    def test_a_copy_that_does_not_fit(self) -> None:
        """The image keeps what it has."""
        image_id = self.server.create()
        self.assertEqual(204, self.server.upload(image_id, chunks(24, MIB)))
        status, body = self.server.ask(
            "POST",
            f"/v2/images/{image_id}/import",
            json.dumps({"method": {"name": "copy-image"}, "stores": ["small"]}),
            Content_Type="application/json",
            X_Auth_Token="u:p:admin",
        )
        self.assertEqual(202, status, body)
        found = eventually(
            lambda: self.server.show(image_id), lambda image: image.get("os_glance_failed_import")
        )
        self.assertEqual(
            ("active", "local", "small"),
            (found["status"], found["stores"], found["os_glance_failed_import"]),
        )
        self.assertEqual([], os.listdir(self.small))
