"""Management of the image cache over HTTP."""

from __future__ import annotations

import unittest
from unittest import mock

from glance_py.domain.cached_image import CachedImage
from glance_py.http.ports import Cache
from tests.unit.http.fakes import Answer, Service

GONE = "22222222-2222-4222-8222-222222222222"


class CacheTest(unittest.TestCase):
    def setUp(self) -> None:
        self.cache = mock.create_autospec(Cache, instance=True)
        self.service = Service(cache=self.cache)
        self.image = self.service.image()
        self.service.images.images[self.image].status = "active"

    def call(self, method: str, path: str, **how: object) -> Answer:
        return self.service.call(method, path, **{"admin": True, **how})

    def test_list(self) -> None:
        self.cache.entries.return_value = [
            CachedImage("i", 1, 2.5, 1.5, 3),
            CachedImage("j", 0, 0.0, 0.0, 4, id=7, checksum="c"),
        ]
        self.cache.queued.return_value = ["q"]
        entry = {"image_id": "i", "hits": 1, "last_accessed": 2.5, "last_modified": 1.5, "size": 3}
        other = {"image_id": "j", "hits": 0, "last_accessed": 0.0, "last_modified": 0.0, "size": 4}
        self.assertEqual(
            {
                "cached_images": [entry, {**other, "id": 7, "checksum": "c"}],
                "queued_images": ["q"],
            },
            self.call("GET", "/cache").json,
        )

    def test_clear(self) -> None:
        for target, queue, cache in (
            ("", 1, 1),
            (None, 1, 1),
            ("Queue", 1, 0),
            ("cache", 0, 1),
        ):
            with self.subTest(target):
                self.cache.reset_mock()
                header = {} if target is None else {"x_image_cache_clear_target": target}
                self.assertEqual(204, self.call("DELETE", "/cache", **header).status)
                self.assertEqual(
                    (queue, cache),
                    (self.cache.dequeue_all.call_count, self.cache.delete_all.call_count),
                )
        answer = self.call("DELETE", "/cache", x_image_cache_clear_target="all")
        self.assertEqual(400, answer.status)

    def test_queue(self) -> None:
        answer = self.call("PUT", f"/cache/{self.image}")
        self.assertEqual(
            (202, b"", "text/html; charset=UTF-8", "0"),
            (
                answer.status,
                answer.body,
                answer.headers["content-type"],
                answer.headers["content-length"],
            ),
        )
        self.cache.queue.assert_called_once_with(self.image)
        self.service.images.images[self.image].status = "queued"
        self.assertEqual(400, self.call("PUT", f"/cache/{self.image}").status)
        self.assertEqual(404, self.call("PUT", f"/cache/{GONE}").status)
        self.cache.queue.assert_called_once_with(self.image)

    def test_delete(self) -> None:
        self.assertEqual(204, self.call("DELETE", f"/cache/{self.image}").status)
        self.cache.delete.assert_called_once_with(self.image)
        self.cache.dequeue.assert_called_once_with(self.image)

    def test_delete_of_an_image_that_another_host_deleted(self) -> None:
        """Only administrators learn that the image was here."""
        self.cache.is_cached.return_value = True
        self.assertEqual(404, self.call("DELETE", f"/cache/{GONE}", admin=False).status)
        self.cache.delete.assert_not_called()
        self.assertEqual(204, self.call("DELETE", f"/cache/{GONE}").status)
        self.cache.delete.assert_called_once_with(GONE)
        self.cache.is_cached.return_value = False
        self.assertEqual(404, self.call("DELETE", f"/cache/{GONE}").status)

    def test_nodes(self) -> None:
        self.cache.nodes.return_value = ["http://a"]
        self.assertEqual(["http://a"], self.call("GET", f"/cache/nodes/{self.image}").json)
        self.assertEqual(404, self.call("GET", f"/cache/nodes/{GONE}").status)

    def test_clean_and_prune(self) -> None:
        self.assertEqual(200, self.call("POST", "/cache/clean").status)
        self.cache.clean.assert_called_once_with()
        self.cache.prune.return_value = (2, 30)
        self.assertEqual(
            {"total_files_pruned": 2, "total_bytes_pruned": 30},
            self.call("POST", "/cache/prune").json,
        )

    REQUESTS = (
        ("GET", "/cache"),
        ("DELETE", "/cache"),
        ("PUT", "/cache/{}"),
        ("DELETE", "/cache/{}"),
        ("GET", "/cache/nodes/{}"),
        ("POST", "/cache/clean"),
        ("POST", "/cache/prune"),
    )

    def test_policy_comes_before_a_missing_cache(self) -> None:
        without = Service()
        image = without.image()
        without.images.images[image].status = "active"
        for method, path in self.REQUESTS:
            with self.subTest(f"{method} {path}"):
                self.assertEqual(404, without.call(method, path.format(image), admin=True).status)
                self.assertEqual(403, without.call(method, path.format(image)).status)

    def test_a_missing_image_comes_before_both(self) -> None:
        for method, path in self.REQUESTS:
            if "{}" in path:
                self.assertEqual(404, Service().call(method, path.format(GONE)).status, path)


if __name__ == "__main__":
    unittest.main()
