"""Which bytes a download asks for: RFC 9110 ranges, and the older form.

Knows headers and sizes, nothing of images or stores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from glance_py.domain import errors

_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*\Z", re.ASCII | re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(?:\d+|\*)\Z", re.ASCII)


def requested_range(environ: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """First byte and the one behind the last of what is wanted; None for all.

    wire: a request may also say Content-Range; Range wins over it, and a
    suffix of no bytes means the whole image.

    :param size: of the whole image, in bytes.
    :raises errors.RangeNotSatisfiable: no byte of the image is meant.
    :raises errors.Invalid: several ranges are asked for.
    """
    if "HTTP_RANGE" in environ:
        return _from_range(environ["HTTP_RANGE"], size)
    if "HTTP_CONTENT_RANGE" in environ:
        return _from_content_range(environ["HTTP_CONTENT_RANGE"], size)
    return None


def _from_range(header: str, size: int) -> tuple[int, int]:
    """RFC 9110, 14.1.2: ``bytes=first-last``, ``bytes=first-`` or ``bytes=-suffix``."""
    if "," in header:
        raise errors.Invalid("Requests with multiple ranges are not supported.")
    found = _RANGE.match(header.strip())
    if not found or found[1] == found[2] == "":
        raise errors.RangeNotSatisfiable(f"The byte range '{header}' is not understood.", size)
    first, last = found.groups()
    if not first:
        start, stop = (max(size - _capped_int(last), 0) if _capped_int(last) else 0), size
    else:
        start = _capped_int(first)
        stop = min(_capped_int(last) + 1, size) if last else size
    if start >= stop:
        raise errors.RangeNotSatisfiable(
            f"The byte range '{header}' lies outside the {size} bytes of the image.", size
        )
    return start, stop


def _from_content_range(header: str, size: int) -> tuple[int, int]:
    """``bytes first-last/size``, meant for answers but used in requests by old clients."""
    found = _CONTENT_RANGE.match(header.strip())
    start, stop = (_capped_int(found[1]), _capped_int(found[2]) + 1) if found else (0, 0)
    if not start < stop <= size:
        raise errors.RangeNotSatisfiable(
            f"The byte range '{header}' lies outside the {size} bytes of the image.", size
        )
    return start, stop


def _capped_int(digits: str) -> int:
    """A number that may be absurdly long."""
    return int(digits) if len(digits) < 20 else 10**20
