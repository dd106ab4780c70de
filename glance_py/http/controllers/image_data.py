"""The data of an image: upload, stage, download.

Bytes pass through unread; nothing here holds more than one chunk.
"""

from __future__ import annotations

import re
import urllib.parse

import webob

from glance_py.domain import errors
from glance_py.domain.ports import Download, ImageOperations, Upload
from glance_py.http import download
from glance_py.http.body import CHUNK_SIZE, body_chunks, is_chunked
from glance_py.http.ranges import requested_range
from glance_py.http.request import Request, no_content

_SIZE = re.compile(r"\s*\+?\d{1,19}\s*", re.ASCII)
_ZERO_SIZE = re.compile(r"\s*\+?0+\s*")


class ImageDataController:
    """The data of images."""

    def __init__(self, images: ImageOperations, conf) -> None:
        self._images = images
        self._is_staging_enabled = "glance-direct" in conf.enabled_import_methods

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
        environ = request.environ
        image = self._images.resolve(request.context, image_id)
        byte_range = None
        if image.size is not None and download.if_range_matches(environ, image):
            byte_range = requested_range(environ, image.size)
        start, stop = byte_range or (0, None)
        data = self._images.download(
            request.context, image, Download(start, stop, _preferred_stores(request))
        )
        if data is None:
            return no_content()
        if download.is_not_modified(environ, image):
            data.close()
            return webob.Response(status=304, headerlist=download.headers(image), app_iter=[])
        headers = [
            ("Content-Type", download.OCTET_STREAM),
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
            app_iter=download.body(environ, data, whole=byte_range is None),
        )


def _upload(request: Request) -> Upload:
    """The data of a request, unread.

    :raises errors.UnsupportedMediaType: it is not declared as plain bytes.
    :raises errors.Invalid: its announced size is no number.
    """
    environ = request.environ
    # wire: unlike other media types this one is compared exactly.
    if request.content_type != download.OCTET_STREAM:
        raise errors.UnsupportedMediaType(
            f"The Content-Type of image data must be {download.OCTET_STREAM}."
        )
    size = environ.get("HTTP_X_OPENSTACK_IMAGE_SIZE")
    if size is None and not is_chunked(environ):
        size = environ.get("CONTENT_LENGTH") or None
    elif size is not None and _ZERO_SIZE.fullmatch(size):
        # wire: a client that says 0 does not know.
        size = None
    if size is not None and not _SIZE.fullmatch(size):
        raise errors.Invalid("The size of the image must be a number of bytes.")
    return Upload(
        source=body_chunks(environ, CHUNK_SIZE),
        size=None if size is None else int(size),
        store=environ.get("HTTP_X_IMAGE_META_STORE"),
    )


def _preferred_stores(request: Request) -> tuple[str, ...]:
    """Stores of the ``prefer`` parameter, in order."""
    query = request.environ.get("QUERY_STRING")
    if not query or "prefer" not in query:
        return ()
    values = urllib.parse.parse_qs(query).get("prefer", [])
    named = [store.strip() for store in values[-1].split(",")] if values else []
    return tuple(store for store in named if store)
