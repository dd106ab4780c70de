"""Words in which revisions say what they change.

Each does only what is not done yet: MySQL commits every statement, so a step
that was interrupted begins anew in the middle.  Nothing here knows a release.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations


def has_column(table: str, name: str) -> bool:
    """Does the table have the column?"""
    return any(column["name"] == name for column in sa.inspect(op.get_bind()).get_columns(table))


def has_index(table: str, name: str) -> bool:
    """Does the table have the index?"""
    return any(index["name"] == name for index in sa.inspect(op.get_bind()).get_indexes(table))


@contextlib.contextmanager
def batch_alter(table: str) -> Iterator[BatchOperations]:
    """Change columns; SQLite does so by making another table."""
    with warnings.catch_warnings():
        # That table does without checks that flags are 0 or 1; nothing else is written.
        warnings.filterwarnings("ignore", "Unnamed CHECK constraint")
        with op.batch_alter_table(table) as altered:
            yield altered


def add_columns(table: str, *columns: sa.Column, index: Mapping[str, str]) -> None:
    """Add columns and indexes that are missing.

    :param index: the name of each index to the column that it is for.
    """
    for column in columns:
        if not has_column(table, column.name):
            op.add_column(table, column)
    for name, column_name in index.items():
        if not has_index(table, name):
            op.create_index(name, table, [column_name])


def drop_column(table: str, name: str, index: str) -> None:
    """Drop a column, its index and the constraints that speak of it, if they are there."""
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
    """Drop triggers of MySQL or SQLite; others never had any."""
    if op.get_bind().dialect.name == "postgresql":
        return
    for name in names:
        op.execute(f"DROP TRIGGER IF EXISTS {name}")
