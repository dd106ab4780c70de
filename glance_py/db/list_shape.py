"""What decides how the statement of a list is written, apart from the values that are bound.

Statements are built once per shape and kept, so that SQLAlchemy finds their text in its cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from glance_py.db.tables import images
from glance_py.db.visibility import Scope
from glance_py.domain.caller import Caller
from glance_py.domain.integers import MAX_INT64
from glance_py.domain.query import ImageQuery

#: How many of the first images in the order of the list a window holds.
WINDOW_SIZE = 500

#: Sort keys that have an index.
INDEXED_KEYS = frozenset({"created_at", "updated_at"})

#: Filters that a handful of images pass.
_SELECTIVE_FILTERS = frozenset({"id", "checksum", "os_hash_value"})


@dataclasses.dataclass(frozen=True, slots=True)
class QueryShape:
    """The shape of one list.

    :param filters: field and operator of each filter.
    :param tags: how many tags an image must have; ``properties`` likewise.
    :param sort: key and direction, "asc" or "desc", of each sort key.
    :param after: for each sort key, whether it is null in the marker; None without a marker.
    """

    scope: Scope
    filters: tuple[tuple[str, str], ...]
    tags: int
    properties: int
    sort: tuple[tuple[str, str], ...]
    after: tuple[bool, ...] | None

    @property
    def is_selective(self) -> bool:
        """True when a filter names a handful of images."""
        return any(field in _SELECTIVE_FILTERS and op in ("eq", "in") for field, op in self.filters)

    @property
    def uses_window(self) -> bool:
        """True when the first images in the order of the list are searched before all others."""
        key = self.sort[0][0]
        # Where an index has its nulls differs between products; only a window leaves them out.
        is_read_in_order = not images.c[key].nullable and (
            self.scope.is_admin
            and self.scope.visibility in (None, "all")
            and not (self.filters or self.tags or self.properties)
        )
        return key in INDEXED_KEYS and not is_read_in_order and not self.is_selective


def shape_of(ctx: Caller, query: ImageQuery, marker: Sequence[object] | None) -> QueryShape:
    """The shape of ``query``.

    :param marker: the marker's values of the sort keys, None without a marker.
    """
    return QueryShape(
        scope=Scope(bool(ctx.is_admin), query.visibility, query.member_status == "all"),
        filters=tuple((f.field, f.op) for f in query.filters),
        tags=len(query.tags),
        properties=len(query.properties),
        sort=query.sort,
        after=None if marker is None else tuple(value is None for value in marker),
    )


def bind_values(
    ctx: Caller, query: ImageQuery, marker: Sequence[object] | None
) -> dict[str, object]:
    """The values to bind to a statement of the shape of ``query``, by name of the parameter."""
    values: dict[str, object] = {
        "me": ctx.project_id,
        "member_status": query.member_status,
        "hidden": query.os_hidden,
        "limit": query.limit,
        "window": window_size(query),
    }
    for n, f in enumerate(query.filters):
        values[f"filter_{n}"] = _clamp(f.value)
    for n, tag in enumerate(query.tags):
        values[f"tag_{n}"] = tag
    for n, (name, value) in enumerate(query.properties):
        values[f"name_{n}"], values[f"value_{n}"] = name, value
    for n, key in enumerate(marker or ()):
        values[f"after_{n}"] = key
    return values


def window_size(query: ImageQuery) -> int:
    """How many images the first window of a list holds."""
    return max(WINDOW_SIZE, 2 * query.limit)


def _clamp(value: object) -> object:
    """Replace numbers that no column can hold by the largest one, which no image has."""
    if isinstance(value, int):
        return max(-MAX_INT64, min(MAX_INT64, value))
    if isinstance(value, tuple):
        return [_clamp(each) for each in value]
    return value
