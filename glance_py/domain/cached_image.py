"""A copy of an image's data in the cache of one node, as plain data."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class CachedImage:
    """What the books of a cache say.

    Times are seconds since the epoch, ``size`` is in bytes, ``hits`` counts
    the reads after the one that filled the cache.  ``id`` is the row in a
    shared database, None where there is none.
    """

    image_id: str
    hits: int
    last_accessed: float
    last_modified: float
    size: int
    id: int | None = None
    checksum: str | None = None
