"""INSERT statements for rows that may be there already, in the syntax of each product.

A dialect of SQLAlchemy is imported at its first use, since a process needs only one.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


@functools.cache
def upsert(dialect: str, table: sa.Table, keys: Sequence[str], columns: Sequence[str]) -> sa.Insert:
    """An INSERT that updates ``columns`` when there is a row with the same ``keys``.

    :param dialect: sqlite, postgresql or mysql.
    :param keys: the columns of a unique constraint; MySQL takes any constraint.
    """
    if dialect == "mysql":
        from sqlalchemy.dialects import mysql

        into = mysql.insert(table)
        return into.on_duplicate_key_update({name: into.inserted[name] for name in columns})
    insert = _insert(dialect, table)
    return insert.on_conflict_do_update(
        index_elements=keys, set_={name: insert.excluded[name] for name in columns}
    )


@functools.cache
def upsert_property(
    dialect: str, table: sa.Table, columns: Sequence[str], kept: Collection[str]
) -> sa.Insert:
    """:func:`upsert` for rows with the keys ``image_id`` and ``name``.

    MySQL compares names without case and accents, so it may find a row with another spelling.
    That row gets the new spelling when it was marked deleted, or when the new one is in
    ``kept``.  Else it keeps its own, from which the caller sees that there was another property
    (``tests/contract/dal/property_name_cases.py``).

    :param columns: the columns to update.
    :param kept: names of letters, digits and underscores.
    """
    if dialect != "mysql":
        return upsert(dialect, table, ("image_id", "name"), columns)
    from sqlalchemy.dialects import mysql

    into = mysql.insert(table)
    # Literals, since drivers that send many rows in one INSERT bind no values after VALUES.
    renamed = sa.or_(
        table.c.deleted == sa.literal_column("1"),
        *(into.inserted.name == sa.literal_column(f"'{name}'") for name in sorted(kept)),
    )
    # MySQL assigns in this order: ``name`` reads the old value of ``deleted``.
    return into.on_duplicate_key_update(
        [
            ("name", sa.case((renamed, into.inserted.name), else_=table.c.name)),
            *((name, into.inserted[name]) for name in columns),
        ]
    )


@functools.cache
def insert_ignore(dialect: str, table: sa.Table) -> sa.Insert:
    """An INSERT that does nothing when a unique key has the row already."""
    if dialect == "mysql":
        from sqlalchemy.dialects import mysql

        return mysql.insert(table).on_duplicate_key_update({"id": table.c.id})
    return _insert(dialect, table).on_conflict_do_nothing()


@functools.cache
def insert_if_absent(dialect: str, table: sa.Table) -> sa.Insert:
    """An INSERT of one row whose ``rowcount`` is 0 when a unique key has it already."""
    if dialect == "mysql":
        # Not ON DUPLICATE KEY UPDATE: its row count is the same whether it inserts or not.
        return table.insert().prefix_with("IGNORE")
    return _insert(dialect, table).on_conflict_do_nothing()


def _insert(dialect: str, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
