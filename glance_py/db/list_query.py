"""One page of a list of images: a window in the order of the list first, then indexes.

No statement sorts or copies the catalogue.  A caller who sees many images finds a page among the
first few images in the order of the list (:func:`window_query`).  A caller who sees few of them
does not; then each part of what it sees is read through an index and there are few rows to sort
(:func:`full_query`).  ``doc/source/contributor/how-a-list-is-found.md`` explains the statements
with their plans.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from glance_py.db.hints import no_index, not_deleted, nulls_first
from glance_py.db.list_filters import conditions
from glance_py.db.list_shape import INDEXED_KEYS, QueryShape, bind_values, shape_of, window_size
from glance_py.db.rows import COLUMNS
from glance_py.db.tables import images
from glance_py.db.visibility import in_scope, scope_branches, visible
from glance_py.domain.caller import Caller
from glance_py.domain.query import ImageQuery

#: How many images a second window holds at most.
MAX_WINDOW_SIZE = 20_000


def fetch_page(
    connection: sa.Connection, ctx: Caller, query: ImageQuery, after: Sequence[object] | None
) -> Sequence[sa.Row[Any]]:
    """The rows of one page, in order: COLUMNS of at most ``query.limit`` images.

    At most two windows are searched: the second one is sized by how many images of the first
    were wanted.

    :param after: the marker's values of the sort keys, None for the first page.
    """
    shape, values = shape_of(ctx, query, after), bind_values(ctx, query, after)
    if shape.uses_window:
        rows = connection.execute(window_query(shape), values).all()
        if len(rows) < query.limit and (
            widened := _widened_window(window_size(query), len(rows), query.limit)
        ):
            rows = connection.execute(window_query(shape), {**values, "window": widened}).all()
        if len(rows) == query.limit:
            return rows
    return connection.execute(full_query(shape), values).all()


def _widened_window(window: int, found: int, limit: int) -> int:
    """The size of a window that should hold a page, if ``found`` of ``window`` images are wanted.

    0 when it would be larger than ``MAX_WINDOW_SIZE``.
    """
    widened = 2 * window * limit // found if found else 0
    return widened if widened <= MAX_WINDOW_SIZE else 0


@functools.lru_cache(maxsize=64)
def marker_query(sort: tuple[tuple[str, str], ...], is_admin: bool) -> sa.Select[Any]:
    """The values of the sort keys of the image ``marker``, if the caller may see it."""
    return sa.select(*(images.c[key] for key, _direction in sort)).where(
        images.c.id == sa.bindparam("marker"), not_deleted(images), visible(is_admin)
    )


@functools.lru_cache(maxsize=256)
def window_query(shape: QueryShape) -> sa.Select[Any]:
    """Wanted images among the first ``window`` images in the order of the list.

    The window ends before the time of the image behind it, so that images with the same time
    are all in it or all outside.  Therefore a page that the window fills is the right page;
    otherwise :func:`full_query` must be asked.

    Images without that time are never in the window.  In the order they come last or first: in
    the latter case the window is empty as long as one is behind the marker.
    """
    key, direction = shape.sort[0]
    column = images.c[key]
    index_order = column.asc() if direction == "asc" else column.desc()
    from_marker = _not_before_marker(shape)
    if not from_marker and column.nullable and direction == "desc":
        from_marker = [column.is_not(None)]
    last = (
        sa.select(column)
        .where(*from_marker)
        .order_by(index_order)
        .limit(1)
        .offset(sa.bindparam("window"))
        .scalar_subquery()
    )
    wanted = [
        column < last if direction == "asc" else column > last,
        *_after_marker(shape),
        *conditions(shape, one_image_at_a_time=True),
        no_index(in_scope(shape.scope)),
    ]
    if not from_marker and column.nullable:
        unknown = images.alias("unknown")
        wanted.append(
            ~sa.select(sa.literal_column("1"))
            .where(unknown.c[key].is_(None), no_index(unknown.c.deleted) == sa.false())
            .exists()
        )
    return (
        sa.select(*COLUMNS)
        .where(*wanted)
        .order_by(index_order, *_order(shape)[1:])
        .limit(sa.bindparam("limit"))
    )


@functools.lru_cache(maxsize=256)
def full_query(shape: QueryShape) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """The page, with each part of the scope read through an index.

    After a window has found no page, no part is read in the order of the list again: a planner
    with poor statistics prefers that to any sort.
    """
    wanted = [*conditions(shape), *_after_marker(shape)]
    scope = [in_scope(shape.scope)] if shape.is_selective else scope_branches(shape.scope)
    parts = [
        sa.select(*COLUMNS)
        .where(part, *wanted)
        .order_by(*_order(shape, use_index=not shape.uses_window))
        .limit(sa.bindparam("limit"))
        for part in scope
    ]
    if len(parts) == 1:
        return parts[0]
    found = sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery("found")
    return sa.select(found).order_by(*_order(shape, found)).limit(sa.bindparam("limit"))


# --- Order and marker ------------------------------------------------------------------------


def _order(
    shape: QueryShape, source: sa.FromClause = images, use_index: bool = True
) -> list[sa.ColumnElement[Any]]:
    """The terms of ORDER BY over the columns of ``source``."""
    (key, direction), *rest = shape.sort
    first = source.c[key] if use_index else no_index(source.c[key])
    return [
        _order_term(first, key, direction),
        *(_order_term(source.c[other], other, direction) for other, direction in rest),
    ]


def _order_term(column: sa.ColumnElement[Any], key: str, direction: str) -> sa.ColumnElement[Any]:
    ordering = column.asc() if direction == "asc" else column.desc()
    return nulls_first(ordering) if images.c[key].nullable else ordering


def _after_marker(shape: QueryShape) -> list[sa.ColumnElement[bool]]:
    """Images that come after the marker in the order of the list."""
    if shape.after is None:
        return []
    condition: sa.ColumnElement[bool] = sa.false()
    for n, ((key, direction), is_null) in reversed(
        list(enumerate(zip(shape.sort, shape.after, strict=True)))
    ):
        column = images.c[key]
        value = sa.bindparam(f"after_{n}", type_=column.type)
        comes_after, same = _after_and_equal(column, direction, value, is_null)
        condition = comes_after | (same & condition)
    # Redundant conditions on the first key: a planner finds the range of its index in them.
    key, direction = shape.sort[0]
    if direction == "asc" or not images.c[key].nullable:
        return [*_not_before_marker(shape), condition]
    if key in INDEXED_KEYS and not shape.after[0]:
        return [sa.or_(*_not_before_marker(shape), images.c[key].is_(None)), condition]
    return [condition]


def _not_before_marker(shape: QueryShape) -> list[sa.ColumnElement[bool]]:
    """Images whose first sort key is not null and not before the marker's.

    Empty without a marker, and when the marker's key is null.
    """
    if shape.after is None or shape.after[0]:
        return []
    key, direction = shape.sort[0]
    column = images.c[key]
    value = sa.bindparam("after_0", type_=column.type)
    return [column >= value if direction == "asc" else column <= value]


def _after_and_equal(
    column: sa.Column[Any], direction: str, value: sa.BindParameter[Any], is_null: bool
) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Two conditions: the column comes after the value, and equals it.  Null is less than all.

    :param is_null: the value is null.
    """
    if is_null:
        return (column.is_not(None) if direction == "asc" else sa.false()), column.is_(None)
    if direction == "asc":
        return column > value, column == value
    comes_after = column < value
    return (comes_after | column.is_(None) if column.nullable else comes_after), column == value
