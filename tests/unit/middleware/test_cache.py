"""The filters of the image cache: what they serve, and what they leave to the application."""

from __future__ import annotations

import io
import json
import unittest

from glance_py.cache.image_cache import CacheRead
from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.cached_image import CachedImage
from glance_py.domain.image import Image
from glance_py.domain.ports import Data
from glance_py.middleware.cache import CacheFilter
from glance_py.middleware.cache_manage import CacheManageFilter
from glance_py.middleware.context import CONTEXT_KEY
from glance_py.middleware.factory_deps import CacheDependencies
from glance_py.settings import CacheSettings, Settings
from tests.unit.middleware.wsgi_helpers import call, factory_dependencies

ID = "11111111-2222-3333-4444-555555555555"
IMAGE = Image(id=ID, status="active", size=4, checksum="c" * 32)


class Images:
    def __init__(self, image: Image | None) -> None:
        self.image = image

    def resolve(self, ctx, image_id: str) -> Image:
        if self.image is None or image_id != self.image.id:
            raise errors.ImageNotFound(image_id)
        return self.image


class Cache:
    """Delivers ``data``; records what it is asked."""

    def __init__(self, data: bytes | None = b"data", hit: bool = True) -> None:
        self.data, self.hit, self.calls = data, hit, []
        self.error: OSError | None = None

    def read(self, image, may_fill=True, caller=None) -> CacheRead | None:
        self.calls.append(("read", image.id, may_fill, caller))
        if self.data is None:
            return None
        return CacheRead(Data(iter([self.data]), len(self.data)), self.hit)

    def delete(self, image_id: str) -> bool:
        self.calls.append(("delete", image_id))
        if self.error is not None:
            raise self.error
        return True

    def delete_all(self) -> int:
        return 3

    def entries(self) -> list[CachedImage]:
        return [CachedImage(ID, 1, 2.0, 3.0, 4)]

    def queued(self) -> list[str]:
        return [ID]

    def queue(self, image_id: str) -> None:
        self.calls.append(("queue", image_id))

    def dequeue(self, image_id: str) -> bool:
        self.calls.append(("dequeue", image_id))
        return True

    def dequeue_all(self) -> int:
        return 2


class Enforcer:
    """Refuses the rules in ``refused``."""

    refused: tuple[str, ...] = ()

    def enforce(self, ctx, rule: str, target) -> None:
        if rule in self.refused:
            raise errors.PolicyForbids(rule)

    def enforce_image(self, ctx, rule: str, image: Image) -> None:
        self.enforce(ctx, rule, image)


class Notifier:
    def __init__(self) -> None:
        self.sent: list[tuple] = []
        self.enabled = True

    def is_enabled(self, event: str) -> bool:
        return self.enabled

    def info(self, event: str, payload: dict) -> None:
        self.sent.append(("info", event, payload))

    def error(self, event: str, payload: dict) -> None:
        self.sent.append(("error", event, payload))


class FilterCase(unittest.TestCase):
    kind: type = CacheFilter

    def setUp(self) -> None:
        self.cache, self.enforcer, self.notifier = Cache(), Enforcer(), Notifier()
        self.images = Images(IMAGE)
        self.ctx = RequestContext(user_id="u", project_id="p", roles=["member"])
        self.reached: list[str] = []
        self.status = "200 OK"

    def application(self, environ, start_response):
        self.reached.append(environ["PATH_INFO"])
        start_response(self.status, [("Content-Length", "8")])
        return [b"from app"]

    def ask(self, path: str = f"/v2/images/{ID}/file", method: str = "GET", **environ):
        deps = CacheDependencies(self.images, self.cache, self.notifier)
        app = self.kind(self.application, deps, self.enforcer)
        return call(app, path, method, **{CONTEXT_KEY: self.ctx, **environ})

    def assert_left(self, *args, **environ) -> None:
        """The application answers, and nothing is read."""
        answer = self.ask(*args, **environ)
        self.assertEqual((200, b"from app"), answer[::2])
        self.assertEqual([], self.cache.calls)


class DownloadTest(FilterCase):
    def test_a_hit(self) -> None:
        status, headers, body = self.ask(REMOTE_ADDR="10.0.0.9")
        self.assertEqual((200, b"data", []), (status, body, self.reached))
        self.assertEqual(
            ("application/octet-stream", "4", "c" * 32),
            (headers["content-type"], headers["content-length"], headers["content-md5"]),
        )
        self.assertEqual([("read", ID, True, self.ctx)], self.cache.calls)

    def test_data_that_is_fetched_has_no_length(self) -> None:
        """But for clients of HTTP/1.0, which would not notice the end of half an image."""
        self.cache.hit = False
        self.assertNotIn("content-length", self.ask()[1])
        self.assertEqual("4", self.ask(SERVER_PROTOCOL="HTTP/1.0")[1]["content-length"])

    def test_what_the_cache_cannot_deliver(self) -> None:
        """The application does, also without a length."""
        self.cache.data = None
        status, headers, body = self.ask()
        self.assertEqual((200, b"from app"), (status, body))
        self.assertNotIn("content-length", headers)
        self.assertEqual("8", self.ask(SERVER_PROTOCOL="HTTP/1.0")[1]["content-length"])
        self.status = "404 Not Found"
        self.assertEqual("8", self.ask()[1]["content-length"])

    def test_what_is_left_to_the_application(self) -> None:
        for environ in (
            {"HTTP_RANGE": "bytes=0-1"},
            {"HTTP_CONTENT_RANGE": "bytes 0-1/*"},
            {"HTTP_IF_NONE_MATCH": "*"},
            {"CONTENT_LENGTH": "1"},
            {CONTEXT_KEY: None},
            {"method": "HEAD"},
            {"path": f"/v2/images/{ID}"},
            {"path": "/v2/images/other/file"},
        ):
            with self.subTest(environ):
                self.assert_left(**environ)

    def test_a_refusal_is_left_to_the_application(self) -> None:
        self.enforcer.refused = ("download_image",)
        self.assert_left()

    def test_an_image_that_is_not_active(self) -> None:
        """Only administrators may download one."""
        self.images.image = Image(id=ID, status="deactivated", size=4)
        self.assert_left()
        self.ctx.is_admin = True
        self.assertEqual(b"data", self.ask()[2])

    def test_a_store_that_is_preferred(self) -> None:
        """A fill would read from another one."""
        self.ask(QUERY_STRING="prefer=slow")
        self.assertEqual([("read", ID, False, self.ctx)], self.cache.calls)

    def test_notifications(self) -> None:
        self.ask(REMOTE_ADDR="10.0.0.9")
        [(priority, event, payload)] = self.notifier.sent
        self.assertEqual(("info", "image.send"), (priority, event))
        self.assertEqual((4, "10.0.0.9"), (payload["bytes_sent"], payload["destination_ip"]))
        self.cache.hit = False
        self.ask(REMOTE_ADDR="10.0.0.9")
        self.assertIsNone(self.notifier.sent[1][2].get("destination_ip"))
        self.notifier.enabled = False
        self.ask()
        self.assertEqual(2, len(self.notifier.sent))

    def test_slashes(self) -> None:
        self.assertEqual(b"data", self.ask(f"//v2//images//{ID}//file/")[2])


class DeleteTest(FilterCase):
    def test_a_deleted_image_leaves_the_cache(self) -> None:
        self.status = "204 No Content"
        for path in (f"/v2/images/{ID}", f"//v2//images//{ID}//"):
            self.ask(path, "DELETE")
            self.assertEqual([("delete", ID)], self.cache.calls)
            self.cache.calls.clear()

    def test_an_image_that_is_not_deleted_stays(self) -> None:
        self.status = "403 Forbidden"
        self.ask(f"/v2/images/{ID}", "DELETE")
        self.status = "204 No Content"
        self.ask(f"/v2/images/{ID}/tags", "DELETE")
        self.ask(f"/v2/images/{ID}", "GET")
        self.assertEqual([], self.cache.calls)

    def test_a_cache_that_fails_fails_no_request(self) -> None:
        self.status, self.cache.error = "204 No Content", OSError(5, "I/O error")
        with self.assertLogs("glance_py.middleware.cache", "ERROR") as logs:
            self.assertEqual(204, self.ask(f"/v2/images/{ID}", "DELETE")[0])
        self.assertIn(f"{ID} stays in the cache: I/O error", logs.output[0])


class ManageTest(FilterCase):
    kind = CacheManageFilter

    def document(self, path: str, method: str = "GET") -> object:
        status, headers, body = self.ask(path, method)
        self.assertEqual((200, "application/json"), (status, headers["content-type"]))
        self.assertEqual([], self.reached)
        return json.loads(body)

    def test_cached_images(self) -> None:
        [entry] = self.document("/v2/cached_images")["cached_images"]
        self.assertEqual((ID, 1, 4), (entry["image_id"], entry["hits"], entry["size"]))
        self.assertEqual({"num_deleted": 3}, self.document("/v2/cached_images", "DELETE"))
        self.assertIsNone(self.document(f"/v2/cached_images/{ID}", "DELETE"))
        self.assertEqual([("delete", ID)], self.cache.calls)

    def test_queued_images(self) -> None:
        self.assertEqual({"queued_images": [ID]}, self.document("//v2//queued_images/"))
        self.assertEqual({"num_deleted": 2}, self.document("/v2/queued_images", "DELETE"))
        self.assertIsNone(self.document(f"/v2/queued_images/{ID}", "PUT"))
        self.assertIsNone(self.document(f"/v2/queued_images/{ID}", "DELETE"))
        self.assertEqual([("queue", ID), ("dequeue", ID)], self.cache.calls)

    def test_other_requests(self) -> None:
        for path, method in (
            ("/v2/images", "GET"),
            ("/v2/cached_images", "PUT"),
            (f"/v2/cached_images/{ID}", "GET"),
            ("/v2/queued_images/a/b", "GET"),
        ):
            self.assert_left(path, method)

    def test_a_caller_who_may_not(self) -> None:
        self.enforcer.refused = ("manage_image_cache",)
        for path, method in (("/v2/cached_images", "GET"), (f"/v2/queued_images/{ID}", "PUT")):
            self.assertEqual(403, self.ask(path, method)[0])
        self.assertEqual(([], []), (self.reached, self.cache.calls))


class FactoryTest(unittest.TestCase):
    def test_a_host_with_a_cache(self) -> None:
        cache = CacheDependencies(Images(IMAGE), Cache(), Notifier())
        deps = factory_dependencies(cache=cache)
        for kind in (CacheFilter, CacheManageFilter):
            self.assertIsInstance(kind.factory(deps, {})(io.BytesIO), kind)

    def test_a_host_without_one(self) -> None:
        settings = Settings(cache=CacheSettings(image_cache_dir="/c"))
        for kind in (CacheFilter, CacheManageFilter):
            with self.assertRaisesRegex(LookupError, "option image_cache_dir"):
                kind.factory(factory_dependencies(), {})
            with self.assertRaisesRegex(LookupError, "option worker_self_reference_url"):
                kind.factory(factory_dependencies(settings=settings), {})
