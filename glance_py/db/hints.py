"""Expressions that keep the planner of a database from a bad plan without changing the result.

Each expression is compiled for the product that needs it and stays invisible on the others.
``doc/source/contributor/how-a-list-is-found.md`` shows the plans with and without them;
``tests/contract/dal/query_cost_cases.py`` counts the rows that a page reads on each product.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from glance_py.db.tables import images


class no_index(FunctionElement[Any]):  # noqa: N801 - reads like an SQL function
    """Wraps a column (or a condition) so that the planner cannot use its index.

    SQLite prefers any index with an equality over the order that saves a sort, and MySQL
    misestimates conditions that hold for nearly every row, such as ``deleted = 0``.
    """

    inherit_cache = True

    def __init__(self, column: sa.ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(no_index)
def _compile_default(element: no_index, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(no_index, "postgresql")
def _compile_postgresql(element: no_index, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    if isinstance(element.type, sa.DateTime):
        return f"({column} + interval '0')"
    # PostgreSQL would read the index on "deleted" from end to end to combine it with another
    # one.  Its statistics suffice for columns of other types.
    return f"(({column}) IS TRUE)" if isinstance(element.type, sa.Boolean) else column


@compiles(no_index, "sqlite")
def _compile_sqlite(element: no_index, compiler: SQLCompiler, **options: Any) -> str:
    return f"+({compiler.process(element.clauses, **options)})"


@compiles(no_index, "mysql", "mariadb")
def _compile_mysql(element: no_index, compiler: SQLCompiler, **options: Any) -> str:
    return f"coalesce({compiler.process(element.clauses, **options)})"


class nulls_first(FunctionElement[Any]):  # noqa: N801 - reads like an SQL function
    """An ORDER BY term in which NULL is less than any value, as SQLite and MySQL have it.

    Only PostgreSQL needs the words; a term with NULLS FIRST can use an index that has them first
    (``indexes.py``).
    """

    inherit_cache = True


@compiles(nulls_first)
def _compile_nulls_default(element: nulls_first, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(nulls_first, "postgresql")
def _compile_nulls_postgresql(element: nulls_first, compiler: SQLCompiler, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    return f"{text} NULLS {'LAST' if text.endswith('DESC') else 'FIRST'}"


def not_deleted(table: sa.Table) -> sa.ColumnElement[bool]:
    """Rows of ``table`` that are not marked deleted, without the index on ``deleted``."""
    return no_index(table.c.deleted) == sa.false()


def has_row(
    table: sa.Table, *conditions: sa.ColumnElement[bool], one_image_at_a_time: bool
) -> sa.ColumnElement[bool]:
    """The image of the outer select has a row of ``table`` with these conditions.

    :param one_image_at_a_time: the outer select has few images, which PostgreSQL cannot know:
        OFFSET 0 keeps it from reading the whole table once for a hash join.
    """
    rows: sa.Select[Any] = sa.select(sa.literal_column("1")).where(
        table.c.image_id == images.c.id, *conditions
    )
    if one_image_at_a_time:
        rows = rows.suffix_with("OFFSET 0", dialect="postgresql")
    return rows.exists()
