"""INSERT that minds what is there already, which each database says in its own words.

A dialect is loaded when a database that speaks it is written to, not before:
a worker needs one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence

import sqlalchemy as sa


@functools.cache
def upsert(dialect: str, table: sa.Table, keys: Sequence[str], columns: Sequence[str]) -> sa.Insert:
    """An INSERT that sets ``columns`` of the row that has the same ``keys``.

    :param dialect: its name in SQLAlchemy: sqlite, postgresql or mysql.
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
    """:func:`upsert` for rows that are one by ``image_id`` and ``name``.

    MySQL finds the row of another spelling of the name.  It gets the new spelling when it
    was marked deleted, or when the new one is in ``kept``; else it keeps its own, by which
    the caller sees that there was another property.

    :param kept: plain identifiers.
    """
    if dialect != "mysql":
        return upsert(dialect, table, ("image_id", "name"), columns)
    from sqlalchemy.dialects import mysql

    into = mysql.insert(table)
    # Written out: drivers that send many rows at once bind nothing behind VALUES.
    renamed = sa.or_(
        table.c.deleted == sa.literal_column("1"),
        *(into.inserted.name == sa.literal_column(f"'{name}'") for name in sorted(kept)),
    )
    # Assigned in this order: the name before the row is not deleted any more.
    return into.on_duplicate_key_update(
        [
            ("name", sa.case((renamed, into.inserted.name), else_=table.c.name)),
            *((name, into.inserted[name]) for name in columns),
        ]
    )


@functools.cache
def insert_ignore(dialect: str, table: sa.Table) -> sa.Insert:
    """An INSERT that does nothing when the row is there already."""
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


def _insert(dialect: str, table: sa.Table):
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
