"""The answer to a download: its headers, its conditions (RFC 9110) and its body.

Whoever delivers the data of an image, a store or a cache, answers with these.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.ports import Data
from glance_py.http.body import CHUNK_SIZE, uwsgi

OCTET_STREAM = "application/octet-stream"

#: The option SO_LINGER that makes close(2) reset the connection.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def _etag(image: Image) -> str | None:
    """The entity tag (RFC 9110, 8.8.3): the data of an image never changes."""
    digest = image.os_hash_value or image.checksum
    return f'"{digest}"' if digest else None


def headers(image: Image) -> list[tuple[str, str]]:
    """What every answer with data of the image says of it."""
    headers = [("Accept-Ranges", "bytes")]
    etag = _etag(image)
    if etag:
        headers.append(("ETag", etag))
    if image.checksum:
        # wire: the digest of the whole image, hexadecimal, whatever part is sent.
        headers.append(("Content-MD5", image.checksum))
    return headers


def if_range_matches(environ: dict, image: Image) -> bool:
    """If-Range (RFC 9110, 13.1.5): a range of other data than these is not wanted."""
    condition = environ.get("HTTP_IF_RANGE")
    return condition is None or condition.strip() == _etag(image)


def is_not_modified(environ: dict, image: Image) -> bool:
    """If-None-Match (RFC 9110, 13.1.2): does the client have these data already?"""
    condition = environ.get("HTTP_IF_NONE_MATCH")
    etag = _etag(image)
    if not condition or etag is None:
        return False
    return condition.strip() == "*" or etag in {
        each.strip().removeprefix("W/") for each in condition.split(",")
    }


def body(environ: dict, data: Data, *, whole: bool) -> Iterable[bytes]:
    """The data for the server to send, itself if it can.

    Only whole files are handed over: not every server minds where in the file
    to begin and to stop.
    """
    wrapper = environ.get("wsgi.file_wrapper")
    if whole and data.file is not None and wrapper is not None:
        return wrapper(_ResponseFile(data), CHUNK_SIZE)
    return _ResponseBody(data)


class _ResponseFile:
    """A file that gives back what belongs to the download when the server closes it."""

    def __init__(self, data: Data) -> None:
        self._file = data.file
        self.close = data.close

    def __getattr__(self, name: str):
        return getattr(self._file, name)


class _ResponseBody:
    """Chunks that break the connection when they fall short of what was announced."""

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
            if uwsgi is not None:
                _reset_on_close(uwsgi.connection_fd())
            raise


def _reset_on_close(fd: int) -> None:
    """Have the connection behind ``fd`` closed with a reset (RFC 9293, 3.6: abort).

    uWSGI does not send bodies of unknown length in chunks: they end where the
    connection ends, and an ordinary end would make half an image look whole.
    """
    connection = socket.socket(fileno=fd)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    except OSError:
        # It is gone already.
        pass
    finally:
        connection.detach()
