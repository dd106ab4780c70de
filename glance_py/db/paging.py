"""Pages of small tables: any order, by keyset on (sort key, created_at, id).

For tables whose rows a database sorts in no time; the catalogue of images has
ways of its own (``select.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa


def sort_keys(table: sa.Table, sort_key: str) -> tuple[sa.ColumnElement, ...]:
    """The total order of a table by one of its columns; nothing in it is null."""
    column = table.c[sort_key]
    if not column.nullable:
        return column, table.c.created_at, table.c.id
    if isinstance(column.type, sa.DateTime):
        least: sa.ColumnElement = table.c.created_at
    elif isinstance(column.type, sa.Boolean):
        least = sa.false()
    else:
        least = sa.literal("")
    return sa.func.coalesce(column, least, type_=column.type), table.c.created_at, table.c.id


def marker_keys(
    connection: sa.Connection,
    keys: Sequence[sa.ColumnElement],
    one: sa.Select,
    bound: Mapping[str, object],
) -> Sequence | None:
    """Values of the sort keys of the row that ``one`` finds; None when there is no such row."""
    return connection.execute(one.with_only_columns(*keys), bound).first()


def page_query(
    rows: sa.Select,
    keys: Sequence[sa.ColumnElement],
    sort_dir: str,
    limit: int | None,
    after: Sequence | None,
) -> sa.Select:
    """The part of ``rows`` that is wanted, behind the row whose keys are ``after``."""
    is_descending = sort_dir == "desc"
    statement = rows.order_by(*(key.desc() if is_descending else key.asc() for key in keys))
    if after is not None:
        here = sa.tuple_(*keys)
        there = sa.tuple_(
            *(sa.literal(value, key.type) for key, value in zip(keys, after, strict=True))
        )
        statement = statement.where(here < there if is_descending else here > there)
    return statement if limit is None else statement.limit(limit)
