"""Which bytes of an image a download asks for: RFC 9110 ranges, and an older form.

Knows headers and sizes, nothing of images or stores.
"""

from __future__ import annotations

import re

from glance_py.domain import errors

_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*\Z", re.ASCII | re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(?:\d+|\*)\Z", re.ASCII)

#: A number with more digits than this is larger than every image.
_MAX_DIGITS = 19


def requested_range(
    range_header: str | None, content_range_header: str | None, size: int
) -> tuple[int, int] | None:
    """The offsets of the first requested byte and of the byte after the last one.

    wire: a request may also have a Content-Range; Range takes precedence, and a suffix of no
    bytes means the whole image.

    :param size: bytes of the whole image.
    :returns: None when the request asks for the whole image.
    :raises errors.RangeNotSatisfiable: the range is malformed or contains no byte of the image.
    :raises errors.Invalid: the request has several ranges.
    """
    if range_header is not None:
        return _from_range(range_header, size)
    if content_range_header is not None:
        return _from_content_range(content_range_header, size)
    return None


def _from_range(header: str, size: int) -> tuple[int, int]:
    """RFC 9110, 14.1.2: ``bytes=first-last``, ``bytes=first-`` or ``bytes=-suffix``."""
    if "," in header:
        raise errors.Invalid("Requests with multiple ranges are not supported.")
    found = _RANGE.match(header.strip())
    if not found or found[1] == found[2] == "":
        raise errors.RangeNotSatisfiable(f"The byte range '{header}' is not understood.", size)
    first, last = found.groups()
    if first:
        start = _capped_int(first)
        stop = min(_capped_int(last) + 1, size) if last else size
    else:
        suffix = _capped_int(last)
        start, stop = max(size - suffix, 0) if suffix else 0, size
    if start >= stop:
        raise errors.RangeNotSatisfiable(
            f"The byte range '{header}' lies outside the {size} bytes of the image.", size
        )
    return start, stop


def _from_content_range(header: str, size: int) -> tuple[int, int]:
    """``bytes first-last/size``: a header of responses that old clients send in requests."""
    found = _CONTENT_RANGE.match(header.strip())
    start, stop = (_capped_int(found[1]), _capped_int(found[2]) + 1) if found else (0, 0)
    if not start < stop <= size:
        raise errors.RangeNotSatisfiable(
            f"The byte range '{header}' lies outside the {size} bytes of the image.", size
        )
    return start, stop


def _capped_int(digits: str) -> int:
    """The number; 10**20 for one of more than 19 digits, since Python refuses 4,300 and more."""
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**20
