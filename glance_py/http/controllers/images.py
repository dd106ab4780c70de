"""Images: list, create, show, change, delete."""

from __future__ import annotations

import webob
from webob import exc

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import RejectedChange
from glance_py.domain.image import Image
from glance_py.domain.ports import ImageOperations
from glance_py.http.ports import StoreList
from glance_py.http.request import Request, json_response, no_content
from glance_py.settings import ApiSettings
from glance_py.wire import media_types, patch, paths
from glance_py.wire.dump import ImageDumper
from glance_py.wire.field import Resource
from glance_py.wire.load import ImageLoader
from glance_py.wire.query import ImageQueryLoader

#: A PATCH of more operations than this asks for the caller's rights before they are applied.
AUTHORIZE_FIRST_ABOVE = 100


class ImagesController:
    """Images as a whole."""

    def __init__(
        self, images: ImageOperations, api: ApiSettings, stores: StoreList, schema: Resource
    ) -> None:
        self._images = images
        self._load = ImageLoader(schema)
        self._load_patch = patch.PatchLoader(self._load)
        self._load_query = ImageQueryLoader(schema, api.limit_param_default, api.api_limit_max)
        self._dump = ImageDumper(schema, api, stores)
        self._location_rules = patch.LocationRules(
            allowed=api.show_multiple_locations,
            algorithm=api.hashing_algorithm,
            sort_locations=self._dump.sort_locations,
        )
        self._import_headers = _import_headers(api, stores)

    def index(self, request: Request) -> webob.Response:
        """GET /v2/images"""
        page_request = self._load_query.load(request.query_string)
        page = self._images.list(request.context, page_request.query)
        next_page = (
            page_request.page_after(page.images[-1].id) if page.full and page.images else None
        )
        return json_response(
            self._dump.dump_page(request.context, page.images, page_request.first_page, next_page)
        )

    def create(self, request: Request) -> webob.Response:
        """POST /v2/images"""
        image = self._load.image(request.context, request.read_json_body())
        image = self._images.create(request.context, image)
        return json_response(
            self._dump.dump_image(request.context, image),
            201,
            (("Location", f"{paths.IMAGES}/{image.id}"), *self._import_headers),
        )

    def show(self, request: Request, image_id: str) -> webob.Response:
        """GET /v2/images/{image_id}"""
        image = self._images.get(request.context, image_id)
        return json_response(self._dump.dump_image(request.context, image))

    def update(self, request: Request, image_id: str) -> webob.Response:
        """PATCH /v2/images/{image_id}"""
        media_type = request.content_type
        if media_type not in media_types.PATCH:
            raise exc.HTTPUnsupportedMediaType(
                explanation=f"A PATCH of an image has a Content-Type of "
                f"{' or '.join(media_types.PATCH)}.",
                headers={"Accept-Patch": ", ".join(media_types.PATCH)},
            )
        operations = self._load_patch.operations(media_type, request.read_json_body())
        image = self._images.resolve(request.context, image_id)
        if len(operations) > AUTHORIZE_FIRST_ABOVE:
            self._authorize_update(request.context, image)
        change = patch.apply(image, operations, self._load, self._location_rules)
        if change:
            image = self._images.update(request.context, image, change)
        return json_response(self._dump.dump_image(request.context, image))

    def _authorize_update(self, ctx: Caller, image: Image) -> None:
        """Ask for the caller's rights before much work is done.

        :raises errors.Forbidden: the caller may not change the image.
        """
        sentinel = errors.GlanceError()
        try:
            self._images.update(ctx, image, RejectedChange(error=sentinel))
        except errors.GlanceError as error:
            # The layers raise the error of a RejectedChange after they asked for all rights.
            if error is not sentinel:
                raise

    def delete(self, request: Request, image_id: str) -> webob.Response:
        """DELETE /v2/images/{image_id}"""
        image = self._images.resolve(request.context, image_id)
        self._images.delete(request.context, image)
        return no_content()


def _import_headers(api: ApiSettings, stores: StoreList) -> tuple[tuple[str, str], ...]:
    """Headers of a new image: the methods of import and the stores that its data may use."""
    headers = []
    if api.enabled_import_methods:
        headers.append(("OpenStack-image-import-methods", ",".join(api.enabled_import_methods)))
    if stores.multi:
        headers.append(("OpenStack-image-store-ids", ",".join(stores.ids)))
    return tuple(headers)
