"""Pages of small tables in any order, by keyset on (sort key, created_at, id).

For tables that a database sorts quickly.  Lists of images do not sort their table
(``list_query``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa


def sort_keys(table: sa.Table, sort_key: str) -> tuple[sa.ColumnElement[Any], ...]:
    """Expressions that order a table by one of its columns, without ties and without nulls."""
    column = table.c[sort_key]
    if not column.nullable:
        return column, table.c.created_at, table.c.id
    if isinstance(column.type, sa.DateTime):
        least: sa.ColumnElement[Any] = table.c.created_at
    elif isinstance(column.type, sa.Boolean):
        least = sa.false()
    else:
        least = sa.literal("")
    return sa.func.coalesce(column, least, type_=column.type), table.c.created_at, table.c.id


def marker_keys(
    connection: sa.Connection,
    keys: Sequence[sa.ColumnElement[Any]],
    one: sa.Select[Any],
    bound: Mapping[str, object],
) -> Sequence[Any] | None:
    """The values of ``keys`` in the row that ``one`` selects; None when there is no such row.

    :param bound: the values of the parameters of ``one``.
    """
    return connection.execute(one.with_only_columns(*keys), bound).first()


def page_query(
    rows: sa.Select[Any],
    keys: Sequence[sa.ColumnElement[Any]],
    sort_dir: str,
    limit: int | None,
    after: Sequence[Any] | None,
) -> sa.Select[Any]:
    """One page of ``rows``, ordered by ``keys``.

    :param sort_dir: "asc" or "desc", for all keys.
    :param limit: the most rows of the page, None for all.
    :param after: the marker's values of ``keys``; None for the first page.
    """
    is_descending = sort_dir == "desc"
    statement = rows.order_by(*(key.desc() if is_descending else key.asc() for key in keys))
    if after is not None:
        here = sa.tuple_(*keys)
        there = sa.tuple_(
            *(sa.literal(value, key.type) for key, value in zip(keys, after, strict=True))
        )
        statement = statement.where(here < there if is_descending else here > there)
    return statement if limit is None else statement.limit(limit)
