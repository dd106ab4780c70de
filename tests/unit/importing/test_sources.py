"""Where an image service of another region is, and where its answers may lead."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import unittest
from email.message import Message
from unittest import mock

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.importing import sources
from glance_py.importing.job import ImportJob
from glance_py.settings import ImportSettings, QuotaSettings, Settings
from tests.manual_clock import ManualClock
from tests.unit.importing.fakes import ID, World, web

CATALOGUE = [
    {"type": "compute", "endpoints": [{"region": "two", "publicURL": "http://nova"}]},
    {
        "type": "image",
        "endpoints": [
            {"region": "one", "publicURL": "http://one"},
            {"region": "two", "publicURL": "http://two/image/v2/", "adminURL": "http://admin"},
            {"region": "three", "interface": "public", "url": "http://three"},
        ],
    },
]


class Judge:
    def resolve_trusted(self, url):
        return ("trusted", url)

    def check(self, url):
        return ("judged", url)


class EndpointTest(unittest.TestCase):
    def find(self, region: str, interface: str = "public", catalogue=CATALOGUE) -> str:
        ctx = types.SimpleNamespace(service_catalog=catalogue)
        return sources.find_endpoint(ctx, region, interface)

    def test_of_a_region(self) -> None:
        self.assertEqual("http://two/image", self.find("two"))
        self.assertEqual("http://admin", self.find("two", "admin"))
        self.assertEqual("http://three", self.find("three"))

    def test_none(self) -> None:
        for region, interface, catalogue in (
            ("four", "public", CATALOGUE),
            ("three", "admin", CATALOGUE),
            ("one", "public", None),
        ):
            self.assertRaises(errors.Invalid, self.find, region, interface, catalogue)

    def test_only_the_endpoint_itself_is_trusted(self) -> None:
        """A redirect, and a name that only begins like the endpoint, are judged."""
        judge = sources.CatalogEndpointFilter(Judge(), "http://image.example:9292/v2")
        self.assertEqual("trusted", judge.check("http://image.example:9292/v2/images/x")[0])
        for url in (
            "http://image.example/x",
            "https://image.example:9292/",
            "http://image.example:9292@evil/",
            "http://image.example:92920/",
        ):
            self.assertEqual("judged", judge.check(url)[0], url)


class DigestTest(unittest.TestCase):
    def test_right_and_wrong(self) -> None:
        right = hashlib.sha256(b"data").hexdigest().upper()
        for wanted, good in ((right, True), ("0" * 64, False)):
            digest = sources.ChecksumFilter("sha256", wanted)
            digest.update(b"da")
            digest.update(memoryview(b"ta"))
            if good:
                digest.finish()
            else:
                self.assertRaisesRegex(errors.SourceFailed, "checksum differs", digest.finish)

    def test_words_for_a_cap(self) -> None:
        self.assertIn("(10 GiB)", str(sources.too_large_error(10 * 1024**3)))
        self.assertIn("(7 bytes)", str(sources.too_large_error(7)))


class SourceServer:
    """Answers requests with what a test prepared, one after the other; counts closed answers."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[tuple] = []
        self.closed = 0

    def open(self, url, start=0, if_range=None, headers=None) -> sources.Response:
        self.asked.append((url, start, if_range, dict(headers or {})))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(start)

    def close(self) -> None:
        self.closed += 1

    def answer(self, *pieces: object, status: int | None = None, length=None, **headers):
        """An answer whose body is ``pieces``; an exception among them is raised."""

        def make(start: int) -> sources.Response:
            found = Message()
            given = {"Content_Range": f"bytes {start}-", "ETag": '"1"', **headers}
            for name, value in given.items():
                if value is not None:
                    found[name.replace("_", "-")] = value
            code = status or (206 if start else 200)
            return sources.Response(code, found, length, self.body(pieces), self.close)

        return make

    @staticmethod
    def body(pieces):
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


CUT = errors.StoreUnavailable("cut")
LARGE = b"x" * sources.PROGRESS_BYTES


class ResumableBodyTest(unittest.TestCase):
    def setUp(self) -> None:
        self.server, self.clock = SourceServer(), ManualClock()

    def read(self, *answers: object, cap: int = 1000, **more: object) -> bytes:
        self.server.answers = list(answers)
        self.server.asked.clear()
        body = sources.ResumableBody(self.server, "u", cap, {"H": "v"}, clock=self.clock, **more)
        return b"".join(body.chunks())

    def refused(self, text: str, *answers: object, **more: object) -> None:
        with self.assertRaisesRegex(errors.SourceFailed, text):
            self.read(*answers, **more)

    def test_in_one_answer(self) -> None:
        self.assertEqual(b"data", self.read(self.server.answer(b"da", b"ta", length=4)))
        self.assertEqual([("u", 0, None, {"H": "v"})], self.server.asked)
        self.assertEqual((1, 1000.0), (self.server.closed, self.clock.now))

    def test_the_rest_after_a_lost_connection(self) -> None:
        answer = self.server.answer
        self.assertEqual(b"data", self.read(answer(b"da", CUT), answer(b"t", CUT), answer(b"a")))
        self.assertEqual(
            [(0, None), (2, '"1"'), (3, '"1"')], [asked[1:3] for asked in self.server.asked]
        )
        self.assertEqual(1000 + 1 + 2, self.clock.now)
        self.assertEqual(3, self.server.closed)

    def test_a_date_proves_the_same_object_too(self) -> None:
        answer = self.server.answer
        for headers, validator in (
            ({"ETag": None, "Last_Modified": "yesterday"}, "yesterday"),
            ({"ETag": 'W/"1"', "Last_Modified": "yesterday"}, "yesterday"),
        ):
            self.read(answer(b"da", CUT, **headers), answer(b"ta"))
            self.assertEqual(validator, self.server.asked[1][2])

    def test_without_a_proof_all_of_it_is_fetched_again(self) -> None:
        answer = self.server.answer
        with self.assertRaisesRegex(sources._RestartRequired, "cut"):
            self.read(answer(b"da", CUT, ETag=None))
        self.assertEqual(b"data", self.read(answer(CUT, ETag=None), answer(b"data", ETag=None)))

    def test_another_object(self) -> None:
        answer = self.server.answer
        for second in (
            answer(b"other", status=200),
            answer(b"ta", Content_Range="bytes 3-"),
            answer(b"ta", Content_Range=None),
        ):
            with self.assertRaises(sources._RestartRequired):
                self.read(answer(b"da", CUT), second)

    def test_answers_that_end_it(self) -> None:
        answer = self.server.answer
        self.refused("answered 404", answer(status=404))
        self.refused("answered 206", answer(status=206))
        self.refused("fewer bytes", answer(b"da", CUT), answer(status=416))
        self.refused("answered 416", answer(status=416))
        self.refused("answered 403", answer(b"da", CUT), answer(status=403))

    def test_answers_that_are_tried_again(self) -> None:
        answer = self.server.answer
        for first in (answer(status=500), answer(status=599), answer(status=429), CUT):
            self.assertEqual(b"data", self.read(first, answer(b"data")))
        self.refused("answered 503", *[answer(status=503)] * 6)
        self.assertEqual(6, len(self.server.asked))
        self.refused("cut", *[CUT] * 6)

    def test_waits_between_two_attempts(self) -> None:
        self.refused("cut", *[CUT] * 6)
        self.assertEqual(1000 + 1 + 2 + 4 + 8 + 8, self.clock.now)

    def test_progress_starts_the_count_anew(self) -> None:
        answer = self.server.answer
        pieces = [answer(LARGE, CUT)] * 20
        self.assertEqual(20 * len(LARGE), len(self.read(*pieces, answer(), cap=2**30)))
        self.assertEqual(1000 + 20, self.clock.now)
        small = [answer(LARGE[1:], CUT)] * 6
        self.refused("cut", *small, cap=2**30)

    def test_announced_sizes(self) -> None:
        answer = self.server.answer
        self.read(answer(b"", length=1000))
        with self.assertRaises(errors.ImageTooLarge):
            self.read(answer(length=1001))
        with self.assertRaises(errors.ImageTooLarge):
            self.read(answer(b"da", CUT), answer(length=999))
        self.read(answer(b"da", CUT), answer(length=998))

    # ------------------------------------------------------------ a source that is slow

    def trickle(self, seconds: float = 60):
        while True:
            self.clock.now += seconds
            yield LARGE

    def slow(self, start: int) -> sources.Response:
        headers = Message()
        headers["ETag"] = '"1"'
        headers["Content-Range"] = f"bytes {start}-"
        return sources.Response(
            206 if start else 200, headers, None, self.trickle(), self.server.close
        )

    def test_all_of_it_has_a_limit(self) -> None:
        self.refused("within 3600 seconds", self.slow, cap=2**50, timeout=3600)
        self.assertEqual(1000 + 3600 + 60, self.clock.now)

    def test_connections_that_end_do_not_prolong_it(self) -> None:
        self.clock.wake = lambda: setattr(self.clock, "now", self.clock.now + 59)
        pieces = [self.server.answer(LARGE, CUT)] * 100
        self.refused("within 3600 seconds", *pieces, cap=2**50, timeout=3600)
        self.assertEqual(1000 + 61 * 60, self.clock.now)

    def test_no_limit(self) -> None:
        self.server.answers = [self.slow]
        body = sources.ResumableBody(self.server, "u", 2**50, clock=self.clock)
        for _, _ in zip(range(10_000), body.chunks(), strict=False):
            pass


class StageTest(unittest.TestCase):
    """Fetching to the staging store, in a job."""

    def setUp(self) -> None:
        self.world = World(self, Settings(quota=QuotaSettings(image_size_cap=1000)))
        self.world.image("importing")
        self.server = SourceServer()
        self.claim = self.world.hold()
        self.job = ImportJob(
            dataclasses.replace(self.world.importer._job_deps, fetcher=self.server),
            RequestContext(auth_token="secret", service_catalog=CATALOGUE),
            self.world.now(),
            web(),
            ["one"],
            self.world.running_task(),
            self.claim,
        )

    def fetch(self, *answers: object, checksum: tuple[str, str] | None = None) -> None:
        self.server.answers = list(answers)
        sources.WebDownload("http://source/x", checksum).fetch(self.job)

    def staged(self) -> bytes:
        with open(self.world.staging.path(ID), "rb") as file:
            return file.read()

    def test_staged_data(self) -> None:
        digest = hashlib.md5(b"data", usedforsecurity=False).hexdigest()
        self.fetch(self.server.answer(b"da", b"ta"), checksum=("md5", digest))
        self.assertEqual((b"data", 4), (self.staged(), self.world.now().size))
        self.assertEqual("Fetched 0 MiB", self.job.running_task.message)
        self.assertEqual(self.claim.holder, self.world.images.changes[-1].holder)

    def test_a_wrong_checksum(self) -> None:
        with self.assertRaisesRegex(errors.SourceFailed, "checksum differs"):
            self.fetch(self.server.answer(b"data"), checksum=("md5", "00"))

    def test_too_many_bytes(self) -> None:
        self.fetch(self.server.answer(b"x" * 1000))
        with self.assertRaisesRegex(errors.ImageTooLarge, "1000 bytes"):
            self.fetch(self.server.answer(b"x" * 1001))

    def test_data_that_is_fetched_again(self) -> None:
        """The checksum counts the bytes of the last attempt only."""
        digest = hashlib.md5(b"data", usedforsecurity=False).hexdigest()
        answer = self.server.answer
        self.fetch(
            answer(b"dat", CUT, ETag=None), answer(b"data", ETag=None), checksum=("md5", digest)
        )
        self.assertEqual((b"data", 1001.0), (self.staged(), self.world.clock.now))

    def test_data_that_is_fetched_again_too_often(self) -> None:
        with self.assertRaisesRegex(errors.SourceFailed, "cut"):
            self.fetch(*[self.server.answer(b"dat", CUT, ETag=None)] * 6)
        self.assertEqual(
            ([], 1000 + 1 + 2 + 4 + 8 + 8), (self.server.answers, self.world.clock.now)
        )

    def test_a_task_that_is_cancelled(self) -> None:
        self.job.running_task.cancel_reason = "stop"
        with self.assertRaisesRegex(errors.TaskCancelled, "stop"):
            self.fetch(self.server.answer(b"data"))
        self.assertEqual([], self.server.asked)

    def test_a_claim_that_is_lost_while_data_arrives(self) -> None:
        def pieces(start: int) -> sources.Response:
            self.claim.is_lost = True
            return self.server.answer(b"data")(start)

        self.assertRaises(errors.ClaimLost, self.fetch, pieces)

    # ------------------------------------------------------------ another region

    def download(self, remote: object, *answers: object) -> None:
        text = remote if isinstance(remote, bytes) else json.dumps(remote).encode()
        self.server.answers = [self.server.answer(text), *answers]
        with mock.patch.object(sources, "Fetcher", lambda uri_filter: self.server):
            sources.GlanceDownload("two", "public", "id").fetch(self.job)

    def refused(self, text: str, remote: object, *answers: object) -> None:
        with self.assertRaisesRegex(errors.SourceFailed, text):
            self.download(remote, *answers)

    def test_an_image_of_another_region(self) -> None:
        remote = {
            "status": "active",
            "size": 4,
            "disk_format": "qcow2",
            "container_format": None,
            "os_hash_algo": "sha256",
            "os_hash_value": hashlib.sha256(b"data").hexdigest(),
            "hw_a": "1",
            "hw_b": 2,
            "other": "x",
            "os_type": "linux",
        }
        self.download(remote, self.server.answer(b"data"))
        self.assertEqual(
            ["http://two/image/v2/images/id", "http://two/image/v2/images/id/file"],
            [asked[0] for asked in self.server.asked],
        )
        self.assertEqual([{"X-Auth-Token": "secret"}] * 2, [x[3] for x in self.server.asked])
        after = self.world.now()
        self.assertEqual(
            ("qcow2", "bare", 4), (after.disk_format, after.container_format, after.size)
        )
        self.assertEqual(
            ("1", "linux", None, None),
            tuple(after.properties.get(name) for name in ("hw_a", "os_type", "hw_b", "other")),
        )
        self.assertEqual((b"data", 2), (self.staged(), self.server.closed))

    def test_reserved_properties_are_not_copied(self) -> None:
        self.job.deps = dataclasses.replace(
            self.job.deps, imports=ImportSettings(extra_properties=("os_",))
        )
        self.download(
            {"status": "active", "os_glance_x": "1", "os_x": "1"}, self.server.answer(b"data")
        )
        self.assertEqual({"os_x": "1"}, self.world.images.changes[1].set_properties)

    def test_other_data_than_announced(self) -> None:
        answer = self.server.answer
        self.refused("4 bytes instead of 5", {"status": "active", "size": 5}, answer(b"data"))
        remote = {"status": "active", "os_hash_algo": "sha256", "os_hash_value": "00"}
        self.refused("checksum differs", remote, answer(b"data"))
        for other in (
            {"os_hash_algo": "sha256", "os_hash_value": 1},
            {"os_hash_algo": "shake_128", "os_hash_value": "00"},
            {"size": "5"},
        ):
            self.download({"status": "active", **other}, answer(b"data"))

    def test_no_image_there(self) -> None:
        self.refused("not active", {"status": "queued"})
        self.refused("in JSON", b"not JSON")
        self.refused("in JSON", [])
        self.download(
            b" " * (sources.MAX_METADATA_BYTES - 19) + b'{"status":"active"}',
            self.server.answer(b"data"),
        )
        self.refused("too long", b" " * (sources.MAX_METADATA_BYTES + 1))
        self.server.closed = 0
        with mock.patch.object(sources, "Fetcher", lambda uri_filter: self.server):
            self.server.answers = [self.server.answer(status=404)]
            with self.assertRaisesRegex(errors.SourceFailed, "answered 404"):
                sources.GlanceDownload("two", "public", "id").fetch(self.job)
        self.assertEqual(1, self.server.closed)


if __name__ == "__main__":
    unittest.main()
