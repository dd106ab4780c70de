"""Headers of HTTP requests and answers that several drivers use.

Source: RFC 9110, sections 8.6 (Content-Length) and 14 (Range requests).
"""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

from glance_store_py import errors

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

#: Bytes that are read from a connection at a time.
CHUNK = 1024 * 1024

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(?:\d+|\*)\Z", re.ASCII)


def byte_range(start: int, stop: int | None) -> str | None:
    """The Range header for the bytes from ``start`` up to ``stop`` (None: the end).

    None for a whole object.
    """
    if not start and stop is None:
        return None
    return f"bytes={start}-{'' if stop is None else stop - 1}"


def content_length(response: BaseHTTPResponse) -> int | None:
    """The Content-Length of an answer in bytes, None when it has none."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def content_range(response: BaseHTTPResponse) -> tuple[int, int] | None:
    """The Content-Range of an answer: its first byte, and the byte behind its last one."""
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    return (int(found[1]), int(found[2]) + 1) if found else None


def part_length(response: BaseHTTPResponse, start: int) -> int:
    """The length in bytes of an answer of an object store to a request for bytes from ``start``.

    :raises errors.GlanceStoreError: the answer is another part; it is closed.
    """
    if response.status == 200 and not start:
        length = content_length(response)
        if length is not None:
            return length
    found = content_range(response) if response.status == 206 else None
    if found is None or found[0] != start:
        response.close()
        raise errors.GlanceStoreError("The object store gave another part than asked for.")
    return found[1] - start


def timestamp(text: str) -> float:
    """Seconds since 1970 of a time in ISO 8601 with a zone, as in listings of object stores."""
    return datetime.datetime.fromisoformat(text).timestamp()
