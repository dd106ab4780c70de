"""Serves whole downloads from the image cache of this host.

Looks the image up and asks the policies as the application does.  A request that is refused,
conditional or partial, or that the cache cannot serve, is passed to the application, which answers
it, also with the error.  When a DELETE request succeeds, the image is removed from the cache.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from glance_py.domain import errors
from glance_py.domain.image import Image, ImageStatus
from glance_py.domain.ports import Data
from glance_py.http import download
from glance_py.http.request import CONTEXT_KEY, Request
from glance_py.middleware.factory_deps import (
    CacheDependencies,
    FactoryDependencies,
    Filter,
    needs_dependencies,
)
from glance_py.notifications.byte_count import count_bytes
from glance_py.notifications.payloads import send_payload
from glance_py.policies.enforcer import Enforcer
from glance_py.wire import media_types

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

    from glance_py.cache.image_cache import CacheRead

LOG = logging.getLogger(__name__)

_FILE_PATH = re.compile("/+v2/+images/+([^/]+)/+file/*")
_IMAGE_PATH = re.compile("/+v2/+images/+([^/]+)/*")


class CacheFilter:
    """Handles GET /v2/images/{id}/file and DELETE /v2/images/{id}."""

    def __init__(self, app: WSGIApplication, deps: CacheDependencies, enforcer: Enforcer) -> None:
        self.app = app
        self._images = deps.images
        self._enforcer = enforcer
        self._cache = deps.cache
        self._notifier = deps.notifier

    @classmethod
    @needs_dependencies
    def factory(
        cls, deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
    ) -> Filter:
        """Paste filter factory.

        :raises LookupError: this host has no image cache.
        """
        return cache_filter(cls, deps)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
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

    def _download(
        self, image_id: str, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        try:
            found = self._read_cache(image_id, environ)
        except errors.GlanceError:
            # The application meets the same error and answers with it.
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

    def _read_cache(
        self, image_id: str, environ: WSGIEnvironment
    ) -> tuple[Image, CacheRead] | None:
        """The image and its data, None when the application must answer.

        :raises errors.GlanceError: the image does not exist or the caller may not download it.
        """
        context = environ.get(CONTEXT_KEY)
        request = Request(environ)
        if context is None or request.has_body:
            return None
        image = self._images.resolve(context, image_id)
        self._enforcer.enforce_image(context, "download_image", image)
        if image.status != ImageStatus.ACTIVE and not context.is_admin:
            return None
        if download.is_not_modified(request, image):
            return None
        # The preference for a store has a policy of its own.  Only the application asks it.
        prefers_store = "prefer=" in environ.get("QUERY_STRING", "")
        cache_read = self._cache.read(image, may_fill=not prefers_store, caller=context)
        return None if cache_read is None else (image, cache_read)

    def _notify_when_sent(
        self, environ: WSGIEnvironment, image: Image, cache_read: CacheRead
    ) -> Data:
        """The data; sends the notification ``image.send``, if that is enabled, at its end."""
        if not self._notifier.is_enabled("image.send"):
            return cache_read.data

        def report(sent: int) -> None:
            payload = send_payload(environ[CONTEXT_KEY], image, sent)
            if cache_read.hit:
                payload["destination_ip"] = environ.get("REMOTE_ADDR")
            send = self._notifier.info if sent == cache_read.data.length else self._notifier.error
            send("image.send", payload)

        return count_bytes(cache_read.data, report)

    def _delete(
        self, image_id: str, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        statuses = []

        def record_status(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            statuses.append(status)
            return start_response(status, headers, exc_info)

        body = self.app(environ, record_status)
        if statuses and statuses[-1].startswith("2"):
            try:
                self._cache.delete(image_id)
            except OSError as error:
                LOG.error("The deleted image %s stays in the cache: %s", image_id, error.strerror)
        return body


class _CacheFilterClass(Protocol):
    """A class of filters that need the image cache."""

    def __call__(
        self, app: WSGIApplication, deps: CacheDependencies, enforcer: Enforcer
    ) -> WSGIApplication: ...


def cache_filter(cls: _CacheFilterClass, deps: FactoryDependencies) -> Filter:
    """The Paste filter of a class that needs the image cache.

    :raises LookupError: this host has no image cache.
    """
    cache = require_cache(deps)
    return lambda app: cls(app, cache, deps.enforcer)


def require_cache(deps: FactoryDependencies) -> CacheDependencies:
    """The image cache of this host: a pipeline with a cache filter does not start without it.

    :raises LookupError: there is none; the text names the option that is missing.
    """
    if deps.cache is not None:
        return deps.cache
    if not deps.settings.cache.image_cache_dir:
        raise LookupError("the image cache needs the option image_cache_dir, its directory")
    raise LookupError(
        "the image cache with image_cache_driver = centralized_db needs the option "
        "worker_self_reference_url, the URL of this host"
    )


def _needs_length(environ: WSGIEnvironment) -> bool:
    """Does the client need a Content-Length to notice a body that is cut off?

    HTTP/1.0 has no chunked encoding (RFC 9112, appendix C.2.3).
    """
    return environ.get("SERVER_PROTOCOL") == "HTTP/1.0"


def _without_length(start_response: StartResponse) -> StartResponse:
    """A start_response that leaves Content-Length out.

    wire: of whole downloads only those that are served from the cache have it.
    """

    def start(
        status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        if status.startswith("200"):
            headers = [header for header in headers if header[0].lower() != "content-length"]
        return start_response(status, headers, exc_info)

    return start
