"""Whole downloads from the image cache of this node.

Looks the image up and asks the policies as the application would; a request
that is refused, conditional or partial, or that the cache cannot serve, goes to
the application, which also says what is wrong with it.  An image that is
deleted here leaves the cache.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.ports import Data
from glance_py.http import download
from glance_py.http.request import CONTEXT_KEY, Request
from glance_py.middleware import factory_deps
from glance_py.notifications.byte_count import count_bytes
from glance_py.notifications.payloads import send_payload
from glance_py.wire import media_types

LOG = logging.getLogger(__name__)

_FILE_PATH = re.compile("/+v2/+images/+([^/]+)/+file/*")
_IMAGE_PATH = re.compile("/+v2/+images/+([^/]+)/*")


class CacheFilter:
    """Serves GET /v2/images/{id}/file and watches DELETE /v2/images/{id}."""

    def __init__(self, app: Callable, deps: factory_deps.FactoryDependencies) -> None:
        self.app = app
        self._images = deps.images
        self._enforcer = deps.enforcer
        self._cache = deps.cache
        self._notifier = deps.notifier

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory.

        :raises LookupError: there is no cache on this node.
        """
        deps = factory_deps.current()
        require_cache(deps)
        return lambda app: cls(app, deps)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method == "GET":
            found = _FILE_PATH.fullmatch(environ["PATH_INFO"])
            if found and "HTTP_RANGE" not in environ and "HTTP_CONTENT_RANGE" not in environ:
                return self._download(found[1], environ, start_response)
        elif method == "DELETE":
            found = _IMAGE_PATH.fullmatch(environ["PATH_INFO"])
            if found:
                return self._delete(found[1], environ, start_response)
        return self.app(environ, start_response)

    def _download(self, image_id: str, environ: dict, start_response: Callable) -> Iterable[bytes]:
        try:
            found = self._read_cache(image_id, environ)
        except errors.GlanceError:
            # The application says it again, to the client.
            found = None
        if found is None:
            if not _needs_length(environ):
                start_response = _without_length(start_response)
            return self.app(environ, start_response)
        image, cache_read = found
        headers = [("Content-Type", media_types.OCTET_STREAM), *download.headers(image)]
        if cache_read.hit or _needs_length(environ):
            headers.append(("Content-Length", str(cache_read.data.length)))
        data = self._notify_when_sent(environ, image, cache_read)
        body = download.body(Request(environ), data, whole=True)
        start_response("200 OK", headers)
        return body

    def _read_cache(self, image_id: str, environ: dict) -> tuple[Image, Any] | None:
        """The image and its data, if the cache has it or can get it for this caller."""
        context = environ.get(CONTEXT_KEY)
        request = Request(environ)
        if context is None or request.has_body:
            return None
        image = self._images.resolve(context, image_id)
        self._enforcer.enforce_image(context, "download_image", image)
        if image.status != "active" and not context.is_admin:
            return None
        if download.is_not_modified(request, image):
            return None
        # Which store to prefer has rules of its own, and matters only when one is read.
        prefers_store = "prefer=" in environ.get("QUERY_STRING", "")
        cache_read = self._cache.read(image, may_fill=not prefers_store, caller=context)
        return None if cache_read is None else (image, cache_read)

    def _notify_when_sent(self, environ: dict, image: Image, cache_read: Any) -> Data:
        """The data, whose end is announced to those who want to hear of it."""
        if not self._notifier.is_enabled("image.send"):
            return cache_read.data

        def report(sent: int) -> None:
            payload = send_payload(environ[CONTEXT_KEY], image, sent)
            if cache_read.hit:
                payload["destination_ip"] = environ.get("REMOTE_ADDR")
            send = self._notifier.info if sent == cache_read.data.length else self._notifier.error
            send("image.send", payload)

        return count_bytes(cache_read.data, report)

    def _delete(self, image_id: str, environ: dict, start_response: Callable) -> Iterable[bytes]:
        statuses = []

        def record_status(status: str, headers: list, exc_info: Any = None) -> Callable:
            statuses.append(status)
            return start_response(status, headers, exc_info)

        body = self.app(environ, record_status)
        if statuses and statuses[-1].startswith("2"):
            try:
                self._cache.delete(image_id)
            except OSError as error:
                LOG.error("The deleted image %s stays in the cache: %s", image_id, error.strerror)
        return body


def require_cache(deps: factory_deps.FactoryDependencies) -> None:
    """A pipeline that asks for a cache does not start without one.

    :raises LookupError: there is no cache on this node.
    """
    if deps.cache is not None:
        return
    if not deps.conf.image_cache_dir:
        raise LookupError("the image cache needs the option image_cache_dir, its directory")
    raise LookupError(
        "the image cache with image_cache_driver = centralized_db needs the option "
        "worker_self_reference_url, the URL of this node"
    )


def _needs_length(environ: dict) -> bool:
    """HTTP/1.0 has no other way to tell whether all of a body has come."""
    return environ.get("SERVER_PROTOCOL") == "HTTP/1.0"


def _without_length(start_response: Callable) -> Callable:
    """wire: of whole downloads only those from the cache announce their length."""

    def start(status: str, headers: list, exc_info: Any = None) -> Callable:
        if status.startswith("200"):
            headers = [header for header in headers if header[0].lower() != "content-length"]
        return start_response(status, headers, exc_info)

    return start
