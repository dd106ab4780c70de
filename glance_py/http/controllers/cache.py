"""Management of the image cache of this host.

wire: an image that does not exist is answered first, then the policy, then a missing cache.
"""

from __future__ import annotations

import webob

from glance_py.domain import errors
from glance_py.domain.cached_image import CachedImage
from glance_py.domain.image import ImageStatus
from glance_py.domain.json_types import JsonDocument
from glance_py.domain.ports import ImageOperations
from glance_py.http.ports import Cache, PolicyEnforcer
from glance_py.http.request import Request, accepted, json_response, no_content
from glance_py.wire.dump import dumps

_TARGET = "X-Image-Cache-Clear-Target"


class CacheController:
    """The cached images and the queue of images to cache."""

    def __init__(
        self, images: ImageOperations, cache: Cache | None, enforcer: PolicyEnforcer
    ) -> None:
        self._images = images
        self._cache = cache
        self._enforcer = enforcer

    def _authorized_cache(self, request: Request, rule: str) -> Cache:
        """The cache, when the policy rule ``rule`` holds for the caller.

        :raises errors.PolicyForbids: it does not.
        :raises errors.NotFound: this host has no cache.
        """
        self._enforcer.enforce(request.context, rule, {})
        if self._cache is None:
            raise errors.NotFound("Caching is not supported at this site.")
        return self._cache

    def index(self, request: Request) -> webob.Response:
        """GET /v2/cache"""
        cache = self._authorized_cache(request, "cache_list")
        return json_response(
            dumps(
                {
                    "cached_images": [cached_image_document(each) for each in cache.entries()],
                    "queued_images": cache.queued(),
                }
            )
        )

    def clear(self, request: Request) -> webob.Response:
        """DELETE /v2/cache"""
        cache = self._authorized_cache(request, "cache_delete")
        target = (request.header(_TARGET) or "").lower()
        if target not in ("", "cache", "queue"):
            raise errors.Invalid(
                "x-image-cache-clear-target must be cache or queue, or empty for both."
            )
        if target != "cache":
            cache.dequeue_all()
        if target != "queue":
            cache.delete_all()
        return no_content()

    def queue(self, request: Request, image_id: str) -> webob.Response:
        """PUT /v2/cache/{image_id}"""
        image = self._images.resolve(request.context, image_id)
        cache = self._authorized_cache(request, "cache_image")
        if image.status != ImageStatus.ACTIVE:
            raise errors.Invalid("Only images with status active can be cached.")
        cache.queue(image.id)
        return accepted()

    def delete(self, request: Request, image_id: str) -> webob.Response:
        """DELETE /v2/cache/{image_id}"""
        not_found = None
        try:
            self._images.resolve(request.context, image_id)
        except errors.NotFound as error:
            # An image that was deleted through another host may still be in this cache.
            if self._cache is None or not self._cache.is_cached(image_id):
                raise
            not_found = error
        if not_found is not None and not request.context.is_admin:
            raise not_found
        cache = self._authorized_cache(request, "cache_delete")
        cache.delete(image_id)
        cache.dequeue(image_id)
        return no_content()

    def nodes(self, request: Request, image_id: str) -> webob.Response:
        """GET /v2/cache/nodes/{image_id}"""
        self._images.resolve(request.context, image_id)
        cache = self._authorized_cache(request, "list_cached_nodes")
        return json_response(dumps(cache.nodes(image_id)))

    def clean(self, request: Request) -> webob.Response:
        """POST /v2/cache/clean"""
        self._authorized_cache(request, "cache_clean").clean()
        return accepted(200)

    def prune(self, request: Request) -> webob.Response:
        """POST /v2/cache/prune"""
        files, size = self._authorized_cache(request, "cache_prune").prune()
        return json_response(dumps({"total_files_pruned": files, "total_bytes_pruned": size}))


def cached_image_document(image: CachedImage) -> JsonDocument:
    """A cached image as the API shows it; times are seconds since the epoch."""
    document: JsonDocument = {
        "image_id": image.image_id,
        "hits": image.hits,
        "last_accessed": image.last_accessed,
        "last_modified": image.last_modified,
        "size": image.size,
    }
    if image.id is not None:
        document.update(id=image.id, checksum=image.checksum)
    return document
