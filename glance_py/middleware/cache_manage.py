"""The old management API of the image cache, for tools that still speak it.

Adds /v2/cached_images and /v2/queued_images in front of the application.  New
tools use /v2/cache, which needs no filter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import webob

from glance_py.http import faults
from glance_py.http.controllers.cache import cached_image_document
from glance_py.http.request import Request, json_response
from glance_py.middleware import factory_deps
from glance_py.middleware.cache import require_cache
from glance_py.wire.dump import dumps

_PATH = re.compile("/+v2/+(cached_images|queued_images)(?:/+([^/]+))?/*")


class CacheManageFilter:
    """Answers what the policy ``manage_image_cache`` allows."""

    def __init__(self, app: Callable, deps: factory_deps.FactoryDependencies) -> None:
        self.app = app
        self._enforcer = deps.enforcer
        self._cache = deps.cache
        self._actions: dict[tuple[str, str, bool], Callable[..., Any]] = {
            ("GET", "cached_images", False): self._cached,
            ("DELETE", "cached_images", False): self._delete_all,
            ("DELETE", "cached_images", True): self._delete,
            ("GET", "queued_images", False): self._queued,
            ("DELETE", "queued_images", False): self._dequeue_all,
            ("PUT", "queued_images", True): self._queue,
            ("DELETE", "queued_images", True): self._dequeue,
        }

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory.

        :raises LookupError: there is no cache on this node.
        """
        deps = factory_deps.current()
        require_cache(deps)
        return lambda app: cls(app, deps)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        found = _PATH.fullmatch(environ["PATH_INFO"])
        if found is None:
            return self.app(environ, start_response)
        collection, image_id = found.groups()
        action = self._actions.get((environ["REQUEST_METHOD"], collection, image_id is not None))
        if action is None:
            return self.app(environ, start_response)
        request = Request(environ)
        try:
            response = self._answer(request, action, image_id)
        except Exception as error:
            response = faults.response(error, request)
        return response(environ, start_response)

    def _answer(
        self, request: Request, action: Callable[..., Any], image_id: str | None
    ) -> webob.Response:
        self._enforcer.enforce(request.context, "manage_image_cache", {})
        answer = action() if image_id is None else action(image_id)
        return json_response(dumps(answer))

    def _cached(self) -> dict[str, Any]:
        return {"cached_images": [cached_image_document(each) for each in self._cache.entries()]}

    def _delete_all(self) -> dict[str, Any]:
        return {"num_deleted": self._cache.delete_all()}

    def _delete(self, image_id: str) -> None:
        self._cache.delete(image_id)

    def _queued(self) -> dict[str, Any]:
        return {"queued_images": self._cache.queued()}

    def _dequeue_all(self) -> dict[str, Any]:
        return {"num_deleted": self._cache.dequeue_all()}

    def _queue(self, image_id: str) -> None:
        self._cache.queue(image_id)

    def _dequeue(self, image_id: str) -> None:
        self._cache.dequeue(image_id)
