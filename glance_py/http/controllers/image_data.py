"""The data of an image: upload, stage, download.

Bytes pass through unread; nothing here holds more than one chunk.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator

import webob

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.ports import Data, Download, ImageVerbs, Upload
from glance_py.http.body import CHUNK_SIZE, body_chunks, is_chunked
from glance_py.http.ranges import wanted_range
from glance_py.http.request import Request, no_content

OCTETS = "application/octet-stream"


class ImageData:
    """The data of images."""

    def __init__(self, images: ImageVerbs, conf) -> None:
        self._images = images
        self._may_stage = "glance-direct" in conf.enabled_import_methods

    def upload(self, request: Request, image_id: str) -> webob.Response:
        """PUT /v2/images/{image_id}/file"""
        upload = _upload(request)
        image = self._images.find(request.context, image_id)
        self._images.upload(request.context, image, upload)
        return no_content()

    def stage(self, request: Request, image_id: str) -> webob.Response:
        """PUT /v2/images/{image_id}/stage"""
        upload = _upload(request)
        if not self._may_stage:
            raise errors.NotFound("Image staging is not offered by this service.")
        image = self._images.find(request.context, image_id)
        self._images.stage(request.context, image, upload)
        return no_content()

    def download(self, request: Request, image_id: str) -> webob.Response:
        """GET /v2/images/{image_id}/file"""
        environ = request.environ
        image = self._images.find(request.context, image_id)
        span = None
        if image.size is not None and _range_applies(environ, image):
            span = wanted_range(environ, image.size)
        start, stop = span or (0, None)
        data = self._images.download(
            request.context, image, Download(start, stop, _preferred(request)))
        if data is None:
            return no_content()
        if _is_current(environ, image):
            data.close()
            return webob.Response(status=304, headerlist=_headers(image), app_iter=[])
        headers = [("Content-Type", OCTETS), ("Content-Length", str(data.length)),
                   *_headers(image)]
        if span is not None:
            headers.append(("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{image.size}"))
        return webob.Response(
            status=200 if span is None else 206, headerlist=headers,
            app_iter=_body(environ, data, whole=span is None))


def _upload(request: Request) -> Upload:
    """The data of a request, unread.

    :raises errors.UnsupportedMediaType: it is not declared as plain bytes.
    :raises errors.Invalid: its announced size is no number.
    """
    environ = request.environ
    # wire: unlike other media types this one is compared exactly.
    if request.content_type != OCTETS:
        raise errors.UnsupportedMediaType(f"The Content-Type of image data must be {OCTETS}.")
    size = environ.get("HTTP_X_OPENSTACK_IMAGE_SIZE")
    if size is None and not is_chunked(environ):
        size = environ.get("CONTENT_LENGTH")
    if size and not (size.isascii() and size.isdigit() and len(size) < 20):
        raise errors.Invalid("The size of the image must be a number of bytes.")
    return Upload(
        source=body_chunks(environ, CHUNK_SIZE),
        size=int(size) if size else None,
        store=environ.get("HTTP_X_IMAGE_META_STORE"),
    )


def _preferred(request: Request) -> tuple[str, ...]:
    """Stores of the ``prefer`` parameter, in order."""
    query = request.environ.get("QUERY_STRING")
    if not query or "prefer" not in query:
        return ()
    values = urllib.parse.parse_qs(query).get("prefer", [])
    return tuple(store.strip() for store in values[-1].split(",")) if values else ()


def _tag(image: Image) -> str | None:
    """The entity tag (RFC 9110, 8.8.3): the data of an image never changes."""
    digest = image.os_hash_value or image.checksum
    return f'"{digest}"' if digest else None


def _headers(image: Image) -> list[tuple[str, str]]:
    headers = [("Accept-Ranges", "bytes")]
    tag = _tag(image)
    if tag:
        headers.append(("ETag", tag))
    if image.checksum:
        # wire: the digest of the whole image, hexadecimal, whatever part is sent.
        headers.append(("Content-MD5", image.checksum))
    return headers


def _range_applies(environ: dict, image: Image) -> bool:
    """If-Range (RFC 9110, 13.1.5): a range of other data than these is not wanted."""
    condition = environ.get("HTTP_IF_RANGE")
    return condition is None or condition.strip() == _tag(image)


def _is_current(environ: dict, image: Image) -> bool:
    """If-None-Match (RFC 9110, 13.1.2): does the client have these data already?"""
    condition = environ.get("HTTP_IF_NONE_MATCH")
    tag = _tag(image)
    if not condition or tag is None:
        return False
    return condition.strip() == "*" or tag in {
        each.strip().removeprefix("W/") for each in condition.split(",")}


def _body(environ: dict, data: Data, *, whole: bool) -> Iterable[bytes]:
    """The data for the server to send, itself if it can.

    Only whole files are handed over: not every server minds where in the file
    to begin and to stop.
    """
    wrapper = environ.get("wsgi.file_wrapper")
    if whole and data.file is not None and wrapper is not None:
        return wrapper(_OpenFile(data), CHUNK_SIZE)
    return _Body(data)


class _OpenFile:
    """A file that gives back what belongs to the download when the server closes it."""

    def __init__(self, data: Data) -> None:
        self._file = data.file
        self.close = data.close

    def __getattr__(self, name: str):
        return getattr(self._file, name)


class _Body:
    """Chunks that break the connection when they fall short of what was announced."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self.close = data.close

    def __iter__(self) -> Iterator[bytes]:
        left = self._data.length
        for chunk in self._data.chunks:
            left -= len(chunk)
            yield chunk
        if left > 0:
            raise errors.DataDamaged(f"The data ended {left} bytes too early.")
