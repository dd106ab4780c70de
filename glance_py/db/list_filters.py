"""Filters of a list as conditions in SQL: columns, tags and properties."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from glance_py.db.hints import has_row, no_index, not_deleted
from glance_py.db.list_shape import QueryShape
from glance_py.db.tables import image_properties, image_tags, images
from glance_py.domain.image import ImageStatus

#: So many tags, and so many properties, are each a subquery of their own, which a planner may
#: turn into a join and start with.  Planning grows exponentially with their number: PostgreSQL
#: planned 50 of them for 24 seconds.  Further ones are one subquery together.
MAX_SUBQUERIES = 3

_Comparison = Callable[[Any, Any], sa.ColumnElement[bool]]

_OPERATORS: dict[str, _Comparison] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def conditions(
    shape: QueryShape, one_image_at_a_time: bool = False
) -> list[sa.ColumnElement[bool]]:
    """What an image must satisfy besides the scope.

    :param one_image_at_a_time: as for :func:`hints.has_row`.
    """
    found = [
        not_deleted(images),
        no_index(images.c.status) != ImageStatus.KILLED.value,
        no_index(images.c.os_hidden) == sa.bindparam("hidden", type_=sa.Boolean),
    ]
    for n, (field, op) in enumerate(shape.filters):
        found.append(_compare(images.c[field], op, f"filter_{n}"))
        if field == "size":
            # During an upload the column holds the reserved bytes (``rows.to_image``).
            found.append(images.c.status != ImageStatus.SAVING.value)
    for table, count, condition in (
        (image_tags, shape.tags, _tag_condition),
        (image_properties, shape.properties, _property_condition),
    ):
        found += [
            has_row(
                table, condition(n), not_deleted(table), one_image_at_a_time=one_image_at_a_time
            )
            for n in range(min(count, MAX_SUBQUERIES))
        ]
        if count > MAX_SUBQUERIES:
            found.append(_has_all(table, [condition(n) for n in range(MAX_SUBQUERIES, count)]))
    return found


def _tag_condition(n: int) -> sa.ColumnElement[bool]:
    return image_tags.c.value == sa.bindparam(f"tag_{n}")


def _property_condition(n: int) -> sa.ColumnElement[bool]:
    return (image_properties.c.name == sa.bindparam(f"name_{n}")) & (
        image_properties.c.value == sa.bindparam(f"value_{n}")
    )


def _has_all(table: sa.Table, wanted: Sequence[sa.ColumnElement[bool]]) -> sa.ColumnElement[bool]:
    """The image of the outer select has a row of ``table`` for each of ``wanted``.

    Rows are not counted, since a collation may take two of ``wanted`` for equal.
    """
    return (
        sa.select(sa.literal_column("1"))
        .where(
            table.c.image_id == images.c.id,
            not_deleted(table),
            sa.or_(*wanted),
        )
        .group_by(table.c.image_id)
        .having(sa.and_(*(sa.func.max(sa.case((each, 1), else_=0)) == 1 for each in wanted)))
        .exists()
    )


def _compare(column: sa.Column[Any], op: str, name: str) -> sa.ColumnElement[bool]:
    """``column`` compared with the bound value ``name``, or with the list of that name."""
    kind = sa.BigInteger() if isinstance(column.type, sa.Integer) else column.type
    if op == "in":
        return column.in_(sa.bindparam(name, type_=kind, expanding=True))
    return _OPERATORS[op](column, sa.bindparam(name, type_=kind))
