"""Operations that revisions use.

Each does only what is not done yet: MySQL commits every statement of DDL, so a revision that was
interrupted runs again on tables that it has changed in part.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations


def has_column(table: str, name: str) -> bool:
    """True when the table has the column."""
    return any(column["name"] == name for column in sa.inspect(op.get_bind()).get_columns(table))


def has_index(table: str, name: str) -> bool:
    """True when the table has the index."""
    return any(index["name"] == name for index in sa.inspect(op.get_bind()).get_indexes(table))


@contextlib.contextmanager
def batch_alter(table: str) -> Iterator[BatchOperations]:
    """Change columns; on SQLite alembic copies the table for that."""
    with warnings.catch_warnings():
        # The copy has no checks that flags are 0 or 1, which are not needed.
        warnings.filterwarnings("ignore", "Unnamed CHECK constraint")
        with op.batch_alter_table(table) as altered:
            yield altered


def add_columns(table: str, *columns: sa.Column[Any], index: Mapping[str, str]) -> None:
    """Add columns and indexes that are missing.

    :param index: the column of each index, by the name of the index.
    """
    for column in columns:
        if not has_column(table, column.name):
            op.add_column(table, column)
    for name, column_name in index.items():
        if not has_index(table, name):
            op.create_index(name, table, [column_name])


def drop_column(table: str, name: str, index: str) -> None:
    """Drop a column, its index and its check constraints, as far as they exist."""
    if has_index(table, index):
        op.drop_index(index, table)
    if not has_column(table, name):
        return
    if op.get_bind().dialect.name in ("mysql", "mariadb"):
        for constraint in sa.inspect(op.get_bind()).get_check_constraints(table):
            if constraint["name"] and f"`{name}`" in constraint["sqltext"]:
                op.drop_constraint(constraint["name"], table, type_="check")
    with batch_alter(table) as altered:
        altered.drop_column(name)


def drop_triggers(*names: str) -> None:
    """Drop triggers, which only MySQL and SQLite had."""
    if op.get_bind().dialect.name == "postgresql":
        return
    for name in names:
        op.execute(f"DROP TRIGGER IF EXISTS {name}")
