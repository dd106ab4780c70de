"""What a caller wants listed, already checked: the DAL need not doubt it."""

from __future__ import annotations

import dataclasses

from glance_py.domain.image import Image


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """One comparison of a column: ``op`` is eq, neq, gt, gte, lt, lte or in.

    ``value`` has the column's Python type; for ``in`` it is a tuple of them.
    """

    field: str
    op: str
    value: object


@dataclasses.dataclass(frozen=True, slots=True)
class ImageQuery:
    """One page of images.

    visibility
        None gives the usual scope (own, public, accepted shares), "all" adds
        other projects' community images, any other value only images of that
        visibility that the caller may see.
    member_status
        pending, accepted, rejected or all: which shares with the caller count.
    sort
        (column, "asc" or "desc") pairs, complete: the last ones are
        created_at and id, so that the order is total.
    marker
        The id of the last image of the page before; limit: rows of a page.
    """

    filters: tuple[Filter, ...] = ()
    tags: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    visibility: str | None = None
    member_status: str = "accepted"
    os_hidden: bool = False
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"), ("id", "desc"))
    marker: str | None = None
    limit: int = 25


@dataclasses.dataclass(slots=True)
class Page:
    """A page of images.  ``full``: as many rows were read as were asked for,

    so that another page may follow; layers may have taken images out since.
    """

    images: list[Image]
    full: bool = False
