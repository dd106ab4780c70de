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
from glance_py.http.controllers.cache import entry
from glance_py.http.request import Request, json_response
from glance_py.middleware import composition
from glance_py.middleware.cache import require_cache
from glance_py.wire.dump import dumps

_PATH = re.compile("/+v2/+(cached_images|queued_images)(?:/+([^/]+))?/*")


class CacheManageFilter:
    """Answers what the policy ``manage_image_cache`` allows."""

    def __init__(self, app: Callable, parts: composition.Composition) -> None:
        self.app = app
        self._enforcer = parts.enforcer
        self._cache = parts.cache
        self._actions: dict[tuple[str, str, bool], Callable[..., Any]] = {
            ("GET", "cached_images", False): self._cached,
            ("DELETE", "cached_images", False): self._drop_all,
            ("DELETE", "cached_images", True): self._drop,
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
        parts = composition.current()
        require_cache(parts)
        return lambda app: cls(app, parts)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        found = _PATH.fullmatch(environ["PATH_INFO"])
        if found is None:
            return self.app(environ, start_response)
        kind, image_id = found.groups()
        action = self._actions.get((environ["REQUEST_METHOD"], kind, image_id is not None))
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
        self._enforcer.check(request.context, "manage_image_cache", {})
        answer = action() if image_id is None else action(image_id)
        return json_response(dumps(answer))

    def _cached(self) -> dict[str, Any]:
        return {"cached_images": [entry(each) for each in self._cache.entries()]}

    def _drop_all(self) -> dict[str, Any]:
        return {"num_deleted": self._cache.drop_all()}

    def _drop(self, image_id: str) -> None:
        self._cache.drop(image_id)

    def _queued(self) -> dict[str, Any]:
        return {"queued_images": self._cache.queued()}

    def _dequeue_all(self) -> dict[str, Any]:
        return {"num_deleted": self._cache.dequeue_all()}

    def _queue(self, image_id: str) -> None:
        self._cache.queue(image_id)

    def _dequeue(self, image_id: str) -> None:
        self._cache.dequeue(image_id)
