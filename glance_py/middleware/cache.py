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
from glance_py.http.request import Request
from glance_py.middleware import composition
from glance_py.middleware.context import CONTEXT
from glance_py.notifications.byte_count import count_bytes
from glance_py.notifications.payloads import send_payload

LOG = logging.getLogger(__name__)

_FILE = re.compile("/+v2/+images/+([^/]+)/+file/*")
_IMAGE = re.compile("/+v2/+images/+([^/]+)/*")


class CacheFilter:
    """Serves GET /v2/images/{id}/file and watches DELETE /v2/images/{id}."""

    def __init__(self, app: Callable, parts: composition.Composition) -> None:
        self.app = app
        self._images = parts.images
        self._enforcer = parts.enforcer
        self._cache = parts.cache
        self._notifier = parts.notifier

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory.

        :raises LookupError: there is no cache on this node.
        """
        parts = composition.current()
        require_cache(parts)
        return lambda app: cls(app, parts)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method == "GET":
            found = _FILE.fullmatch(environ["PATH_INFO"])
            if found and "HTTP_RANGE" not in environ and "HTTP_CONTENT_RANGE" not in environ:
                return self._download(found[1], environ, start_response)
        elif method == "DELETE":
            found = _IMAGE.fullmatch(environ["PATH_INFO"])
            if found:
                return self._delete(found[1], environ, start_response)
        return self.app(environ, start_response)

    def _download(self, image_id: str, environ: dict, start_response: Callable) -> Iterable[bytes]:
        try:
            found = self._find(image_id, environ)
        except errors.GlanceError:
            # The application says it again, to the client.
            found = None
        if found is None:
            if not _needs_length(environ):
                start_response = _without_length(start_response)
            return self.app(environ, start_response)
        image, copy = found
        headers = [("Content-Type", download.OCTETS), *download.headers(image)]
        if copy.hit or _needs_length(environ):
            headers.append(("Content-Length", str(copy.data.length)))
        data = self._announced(environ, image, copy)
        body = download.body(environ, data, whole=True)
        start_response("200 OK", headers)
        return body

    def _find(self, image_id: str, environ: dict) -> tuple[Image, Any] | None:
        """The image and its data, if the cache has it or can get it for this caller."""
        context = environ.get(CONTEXT)
        if context is None or Request(environ).has_body:
            return None
        image = self._images.resolve(context, image_id)
        self._enforcer.check_image(context, "download_image", image)
        if image.status != "active" and not context.is_admin:
            return None
        if download.is_current(environ, image):
            return None
        # Which store to prefer has rules of its own, and matters only when one is read.
        chooses = "prefer=" in environ.get("QUERY_STRING", "")
        copy = self._cache.read(image, may_fill=not chooses, caller=context)
        return None if copy is None else (image, copy)

    def _announced(self, environ: dict, image: Image, copy: Any) -> Data:
        """The data, whose end is announced to those who want to hear of it."""
        if not self._notifier.is_enabled("image.send"):
            return copy.data

        def report(sent: int) -> None:
            payload = send_payload(environ[CONTEXT], image, sent)
            if copy.hit:
                payload["destination_ip"] = environ.get("REMOTE_ADDR")
            send = self._notifier.info if sent == copy.data.length else self._notifier.error
            send("image.send", payload)

        return count_bytes(copy.data, report)

    def _delete(self, image_id: str, environ: dict, start_response: Callable) -> Iterable[bytes]:
        answered = []

        def watch(status: str, headers: list, exc_info: Any = None) -> Callable:
            answered.append(status)
            return start_response(status, headers, exc_info)

        body = self.app(environ, watch)
        if answered and answered[-1].startswith("2"):
            try:
                self._cache.drop(image_id)
            except OSError as error:
                LOG.error("The deleted image %s stays in the cache: %s", image_id, error.strerror)
        return body


def require_cache(parts: composition.Composition) -> None:
    """A pipeline that asks for a cache does not start without one.

    :raises LookupError: there is no cache on this node.
    """
    if parts.cache is not None:
        return
    if not parts.conf.image_cache_dir:
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
