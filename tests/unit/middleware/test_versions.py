"""Which version a request means, and what the version document says."""

from __future__ import annotations

import json
import unittest

from glance_py.middleware.versions import (
    VersionNegotiationFilter,
    Versions,
    enabled_versions,
    remove_dot_segments,
)
from glance_py.settings import CacheSettings, Settings, StoreSettings
from tests.unit.middleware.wsgi_helpers import RecordingApp, call

MEDIA = "application/vnd.openstack.images-"
CACHE = CacheSettings(image_cache_dir="/c")
STORES = StoreSettings(enabled_backends={"a": "file"})


class OfferedTest(unittest.TestCase):
    def test_by_configuration(self) -> None:
        """Several stores and a cache bring minor versions of their own; the newest leads."""
        for values, first, number in (
            ({}, "2.17", 11),
            ({"stores": STORES}, "2.17", 16),
            ({"cache": CACHE}, "2.18", 14),
            ({"stores": STORES, "cache": CACHE}, "2.18", 19),
        ):
            versions = enabled_versions(Settings(**values))
            self.assertEqual((first, number), (versions[0], len(versions)))
            self.assertEqual("2.0", versions[-1])


class NegotiationTest(unittest.TestCase):
    def ask(self, path: str, accept: str | None = None):
        """(status, path that reached the application or None)."""
        end = RecordingApp()
        environ = {} if accept is None else {"HTTP_ACCEPT": accept}
        document = Versions.from_settings(Settings(stores=STORES))
        status, _, _ = call(VersionNegotiationFilter(end, document), path, **environ)
        return status, end.environ and end.environ["PATH_INFO"]

    def test_path(self) -> None:
        for path, reached in (
            ("/v2/images", "/v2/images"),
            ("/v2.9/images", "/v2/images"),
            ("/v2", "/v2"),
            ("/v2/", "/v2/"),
            ("/v2.0", "/v2"),
            ("//v2//images", "/v2/images"),
            ("/v2.13/images/a/file", "/v2/images/a/file"),
            ("/v2/../v2/images", "/v2/images"),
        ):
            self.assertEqual((200, reached), self.ask(path), path)

    def test_no_known_version(self) -> None:
        """300 and the document; also for versions that this configuration does not offer."""
        for path in (
            "/",
            "/foo",
            "/v1/images",
            "/v2.18/images",
            "/v2x",
            "/V2/images",
            "/v2;x/a",
            "/versionsx",
            "",
        ):
            self.assertEqual((300, None), self.ask(path), path)

    def test_document(self) -> None:
        for path in ("/versions", "/versions/", "/versions/x"):
            self.assertEqual((200, None), self.ask(path), path)

    def test_accept(self) -> None:
        """A version in the Accept header replaces the one in the path."""
        self.assertEqual((200, "/v2/images"), self.ask("/images", MEDIA + "v2.0"))
        self.assertEqual((200, "/v2/v2/images"), self.ask("/v2/images", MEDIA + "v2"))
        self.assertEqual((300, None), self.ask("/images", MEDIA + "v1"))
        self.assertEqual((300, None), self.ask("/images", "text/html"))


class DocumentTest(unittest.TestCase):
    def document(self, path: str = "/", public_endpoint: str | None = None):
        versions = enabled_versions(Settings())
        status, headers, body = call(Versions(versions, public_endpoint), path)
        self.assertEqual("application/json", headers["content-type"])
        return status, json.loads(body)["versions"]

    def test_links(self) -> None:
        """Links show the address of the request, or public_endpoint."""
        status, versions = self.document()
        self.assertEqual(300, status)
        self.assertEqual(
            {
                "id": "v2.17",
                "status": "CURRENT",
                "links": [{"rel": "self", "href": "http://img.example/v2/"}],
            },
            versions[0],
        )
        self.assertEqual({"SUPPORTED"}, {v["status"] for v in versions[1:]})
        for endpoint in ("https://pub:9292/image", "https://pub:9292/image/"):
            _, versions = self.document(public_endpoint=endpoint)
            self.assertEqual("https://pub:9292/image/v2/", versions[0]["links"][0]["href"])

    def test_head(self) -> None:
        status, _, body = call(Versions(["2.17"]), method="HEAD")
        self.assertEqual((300, b""), (status, body))


class DotsTest(unittest.TestCase):
    def test_rfc3986(self) -> None:
        for path, expected in (
            ("/a/b/../c", "/a/c"),
            ("/a/./b", "/a/b"),
            ("/../a", "/a"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/a/.b/..c", "/a/.b/..c"),
        ):
            self.assertEqual(expected, remove_dot_segments(path), path)
