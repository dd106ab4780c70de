"""Where an image service of another region is, and where its answers may lead."""

from __future__ import annotations

import hashlib
import types
import unittest
from email.message import Message
from unittest import mock

from glance_py.domain import errors
from glance_py.importing import sources

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


class TimeTest(unittest.TestCase):
    """A source that sends as slowly as it may does not hold a thread for days."""

    def setUp(self) -> None:
        self.now = 1000.0
        clock = mock.patch.object(
            sources, "time", types.SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        )
        clock.start()
        self.addCleanup(clock.stop)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def trickle(self):
        """A minute for each piece."""
        while True:
            self.now += 60
            yield b"x" * 1024**2

    def open(self, uri, received, validator, headers) -> sources.Response:
        headers = Message()
        headers["ETag"] = '"1"'
        headers["Content-Range"] = f"bytes {received}-"
        return sources.Response(
            206 if received else 200, headers, None, self.trickle(), lambda: None
        )

    def test_all_of_it_has_a_limit(self) -> None:
        body = sources.ResumableBody(
            types.SimpleNamespace(open=self.open), "u", 1024**5, timeout=3600
        )
        with self.assertRaisesRegex(errors.SourceFailed, "within 3600 seconds"):
            for _ in body.chunks():
                pass
        self.assertLess(self.now, 1000 + 3600 + 120)

    def test_connections_that_end_do_not_prolong_it(self) -> None:
        def piece():
            self.now += 60
            yield b"x" * sources.PROGRESS_BYTES
            raise errors.StoreUnavailable("cut")

        self.trickle = piece
        body = sources.ResumableBody(
            types.SimpleNamespace(open=self.open), "u", 1024**5, timeout=3600
        )
        with self.assertRaisesRegex(errors.SourceFailed, "within 3600 seconds"):
            for _ in body.chunks():
                pass

    def test_no_limit(self) -> None:
        body = sources.ResumableBody(types.SimpleNamespace(open=self.open), "u", 1024**5)
        for _, _ in zip(range(10_000), body.chunks(), strict=False):
            pass


if __name__ == "__main__":
    unittest.main()
