"""The old management API of the image cache, for tools that use it.

Answers /v2/cached_images and /v2/queued_images.  New tools use /v2/cache, which needs no filter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import webob

from glance_py.http import faults
from glance_py.http.controllers.cache import cached_image_document
from glance_py.http.request import Request, json_response
from glance_py.middleware.cache import cache_filter
from glance_py.middleware.factory_deps import (
    CacheDependencies,
    FactoryDependencies,
    Filter,
    needs_dependencies,
)
from glance_py.policies.enforcer import Enforcer
from glance_py.wire.dump import dumps

#: (method, path, does it name an image?) -> the answer, an object for JSON, from the id or "".
_Actions = dict[tuple[str, str, bool], Callable[[str], object]]

_PATH = re.compile("/+v2/+(cached_images|queued_images)(?:/+([^/]+))?/*")


class CacheManageFilter:
    """Serves callers that the policy rule ``manage_image_cache`` allows."""

    def __init__(self, app: WSGIApplication, deps: CacheDependencies, enforcer: Enforcer) -> None:
        self.app = app
        self._enforcer = enforcer
        self._cache = deps.cache
        self._actions: _Actions = {
            ("GET", "cached_images", False): self._cached,
            ("DELETE", "cached_images", False): self._delete_all,
            ("DELETE", "cached_images", True): self._delete,
            ("GET", "queued_images", False): self._queued,
            ("DELETE", "queued_images", False): self._dequeue_all,
            ("PUT", "queued_images", True): self._queue,
            ("DELETE", "queued_images", True): self._dequeue,
        }

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
        found = _PATH.fullmatch(environ["PATH_INFO"])
        if found is None:
            return self.app(environ, start_response)
        collection, image_id = found.groups()
        action = self._actions.get((environ["REQUEST_METHOD"], collection, image_id is not None))
        if action is None:
            return self.app(environ, start_response)
        request = Request(environ)
        try:
            response = self._answer(request, action, image_id or "")
        except Exception as error:
            response = faults.response(error, request)
        body: Iterable[bytes] = response(environ, start_response)
        return body

    def _answer(
        self, request: Request, action: Callable[[str], object], image_id: str
    ) -> webob.Response:
        self._enforcer.enforce(request.context, "manage_image_cache", {})
        return json_response(dumps(action(image_id)))

    def _cached(self, _: str) -> object:
        return {"cached_images": [cached_image_document(each) for each in self._cache.entries()]}

    def _delete_all(self, _: str) -> object:
        return {"num_deleted": self._cache.delete_all()}

    def _delete(self, image_id: str) -> None:
        self._cache.delete(image_id)

    def _queued(self, _: str) -> object:
        return {"queued_images": self._cache.queued()}

    def _dequeue_all(self, _: str) -> object:
        return {"num_deleted": self._cache.dequeue_all()}

    def _queue(self, image_id: str) -> None:
        self._cache.queue(image_id)

    def _dequeue(self, image_id: str) -> None:
        self._cache.dequeue(image_id)
