"""The response to a download: its headers, its conditions (RFC 9110) and its body.

The API, which reads a store, and the cache filter, which reads its own files, both answer with
these.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.ports import Data
from glance_py.http import body as request_body
from glance_py.http.body import CHUNK_SIZE
from glance_py.http.request import Request

#: The option SO_LINGER that makes close(2) reset the connection.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def _etag(image: Image) -> str | None:
    """The entity tag (RFC 9110, 8.8.3), a digest, since the data of an image never changes.

    None while the image has no digest.
    """
    digest = image.os_hash_value or image.checksum
    return f'"{digest}"' if digest else None


def headers(image: Image) -> list[tuple[str, str]]:
    """The headers that every response with data of the image has."""
    headers = [("Accept-Ranges", "bytes")]
    etag = _etag(image)
    if etag:
        headers.append(("ETag", etag))
    if image.checksum:
        # wire: the digest of the whole image, hexadecimal, whatever part is sent.
        headers.append(("Content-MD5", image.checksum))
    return headers


def if_range_matches(request: Request, image: Image) -> bool:
    """False when If-Range (RFC 9110, 13.1.5) names other data: then the range is ignored."""
    condition = request.header("If-Range")
    return condition is None or condition.strip() == _etag(image)


def is_not_modified(request: Request, image: Image) -> bool:
    """True when If-None-Match (RFC 9110, 13.1.2) says that the client has this data already."""
    condition = request.header("If-None-Match")
    etag = _etag(image)
    if not condition or etag is None:
        return False
    return condition.strip() == "*" or etag in {
        each.strip().removeprefix("W/") for each in condition.split(",")
    }


def body(request: Request, data: Data, *, whole: bool) -> Iterable[bytes]:
    """The data as the body of a response (PEP 3333), as a file where server and store allow it.

    :param whole: False for a part of an image, which is never handed over as a file: not every
        server honours the position of the file and the length of the part.
    """
    wrapper: Callable[[object, int], Iterable[bytes]] | None = request.environ.get(
        "wsgi.file_wrapper"
    )
    if whole and data.file is not None and wrapper is not None:
        return wrapper(_ResponseFile(data), CHUNK_SIZE)
    return _ResponseBody(data)


class _ResponseFile:
    """A file whose ``close``, which the server calls, releases all that the download holds."""

    def __init__(self, data: Data) -> None:
        self._file = data.file
        self.close = data.close

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


class _ResponseBody:
    """Chunks of data; they break the connection when they are fewer bytes than announced.

    :raises errors.CorruptImageData: by the iteration, in that case.
    """

    def __init__(self, data: Data) -> None:
        self._data = data
        self.close = data.close

    def __iter__(self) -> Iterator[bytes]:
        remaining = self._data.length
        try:
            for chunk in self._data.chunks:
                remaining -= len(chunk)
                yield chunk
            if remaining > 0:
                raise errors.CorruptImageData(f"The data ended {remaining} bytes too early.")
        except Exception:
            if request_body.uwsgi is not None:
                _reset_on_close(request_body.uwsgi.connection_fd())
            raise


def _reset_on_close(fd: int) -> None:
    """Make the close of the connection ``fd`` a reset (RFC 9293, 3.6: abort).

    uWSGI does not send bodies of unknown length in chunks: they end where the connection ends,
    and after an ordinary end a client would take half an image for the whole.
    """
    connection = socket.socket(fileno=fd)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    except OSError:
        # The connection is closed already.
        pass
    finally:
        connection.detach()
