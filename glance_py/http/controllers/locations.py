"""The locations of an image, and its copy in one store."""

from __future__ import annotations

import webob

from glance_py.domain import errors
from glance_py.domain.ports import ImageOperations
from glance_py.http.ports import StoreList
from glance_py.http.request import Request, accepted, json_response, no_content
from glance_py.wire.dump import dumps
from glance_py.wire.locations import load_registration


class LocationsController:
    """Locations for services that put data into stores themselves (Image API v2.17)."""

    def __init__(self, images: ImageOperations) -> None:
        self._images = images

    def index(self, request: Request, image_id: str) -> webob.Response:
        """GET /v2/images/{image_id}/locations"""
        image = self._images.resolve(request.context, image_id)
        locations = self._images.list_locations(request.context, image)
        return json_response(
            dumps([{"url": location.url, "metadata": location.metadata} for location in locations])
        )

    def create(self, request: Request, image_id: str) -> webob.Response:
        """POST /v2/images/{image_id}/locations"""
        registration = load_registration(request.read_json_body())
        image = self._images.resolve(request.context, image_id)
        self._images.add_location(request.context, image, registration)
        return accepted()


class StoresController:
    """The copy of an image in one store (Image API v2.10)."""

    def __init__(self, images: ImageOperations, stores: StoreList) -> None:
        self._images = images
        self._stores = stores

    def delete(self, request: Request, store_id: str, image_id: str) -> webob.Response:
        """DELETE /v2/stores/{store_id}/{image_id}"""
        if not self._stores.multi:
            raise errors.NotFound("This service has a single store.")
        if store_id not in self._stores.ids:
            # wire: an unknown store is a conflict with the configuration here.
            raise errors.Conflict(f"There is no store {store_id!r}.")
        image = self._images.resolve(request.context, image_id)
        self._images.delete_from_store(request.context, image, store_id)
        return no_content()
