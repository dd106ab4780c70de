"""The data of an image: upload, stage, download.

The bytes are passed on in chunks; no more than one chunk is in memory here.
"""

from __future__ import annotations

import re
import urllib.parse

import webob

from glance_py.domain import errors
from glance_py.domain.importing import GLANCE_DIRECT
from glance_py.domain.ports import Download, ImageOperations, Upload
from glance_py.http import download
from glance_py.http.ranges import requested_range
from glance_py.http.request import Request, no_content
from glance_py.settings import ApiSettings
from glance_py.wire import media_types

_SIZE = re.compile(r"\s*\+?\d{1,19}\s*", re.ASCII)
_ZERO_SIZE = re.compile(r"\s*\+?0+\s*")


class ImageDataController:
    """The data of images."""

    def __init__(self, images: ImageOperations, api: ApiSettings) -> None:
        self._images = images
        self._is_staging_enabled = GLANCE_DIRECT in api.enabled_import_methods

    def upload(self, request: Request, image_id: str) -> webob.Response:
        """PUT /v2/images/{image_id}/file"""
        upload = _upload(request)
        image = self._images.resolve(request.context, image_id)
        self._images.upload(request.context, image, upload)
        return no_content()

    def stage(self, request: Request, image_id: str) -> webob.Response:
        """PUT /v2/images/{image_id}/stage"""
        upload = _upload(request)
        if not self._is_staging_enabled:
            raise errors.NotFound("Image staging is not offered by this service.")
        image = self._images.resolve(request.context, image_id)
        self._images.stage(request.context, image, upload)
        return no_content()

    def download(self, request: Request, image_id: str) -> webob.Response:
        """GET /v2/images/{image_id}/file"""
        image = self._images.resolve(request.context, image_id)
        byte_range = None
        if image.size is not None and download.if_range_matches(request, image):
            byte_range = requested_range(
                request.header("Range"), request.header("Content-Range"), image.size
            )
        start, stop = byte_range or (0, None)
        data = self._images.download(
            request.context, image, Download(start, stop, _preferred_stores(request))
        )
        if data is None:
            return no_content()
        if download.is_not_modified(request, image):
            data.close()
            return webob.Response(status=304, headerlist=download.headers(image), app_iter=[])
        headers = [
            ("Content-Type", media_types.OCTET_STREAM),
            ("Content-Length", str(data.length)),
            *download.headers(image),
        ]
        if byte_range is not None:
            headers.append(
                ("Content-Range", f"bytes {byte_range[0]}-{byte_range[1] - 1}/{image.size}")
            )
        return webob.Response(
            status=200 if byte_range is None else 206,
            headerlist=headers,
            app_iter=download.body(request, data, whole=byte_range is None),
        )


def _upload(request: Request) -> Upload:
    """The data that a request carries, of which nothing has been read yet.

    :raises errors.UnsupportedMediaType: the Content-Type is not that of plain bytes.
    :raises errors.Invalid: the announced size is no number.
    """
    # wire: unlike other media types this one is compared exactly.
    if request.content_type != media_types.OCTET_STREAM:
        raise errors.UnsupportedMediaType(
            f"The Content-Type of image data must be {media_types.OCTET_STREAM}."
        )
    size = request.header("X-Openstack-Image-Size")
    if size is None and not request.is_chunked:
        size = request.content_length_text
    elif size is not None and _ZERO_SIZE.fullmatch(size):
        # wire: 0 means that the client does not know the size.
        size = None
    if size is not None and not _SIZE.fullmatch(size):
        raise errors.Invalid("The size of the image must be a number of bytes.")
    return Upload(
        source=request.chunks(),
        size=None if size is None else int(size),
        store=request.header("X-Image-Meta-Store"),
    )


def _preferred_stores(request: Request) -> tuple[str, ...]:
    """The ids of stores in the query parameter ``prefer``, in their order."""
    query = request.query_string
    if not query or "prefer" not in query:
        return ()
    values = urllib.parse.parse_qs(query).get("prefer", [])
    named = [store.strip() for store in values[-1].split(",")] if values else []
    return tuple(store for store in named if store)
