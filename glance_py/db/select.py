"""Which images a caller may see, which of them are wanted, and in what order.

Statements are built once per shape of a question and kept; values are bound
when they run.  No page sorts or copies the catalogue: see :func:`fetch_page`.  The
rules of visibility are those of ``domain/visibility.py``; the contract suite
holds the two against each other.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from glance_py.db.tables import image_members, image_properties, image_tags, images
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.integers import MAX_INT64
from glance_py.domain.query import ImageQuery

#: The columns of an image in the order of the fields of ``domain.image.Image``.
COLUMNS = tuple(images.c[f.name] for f in dataclasses.fields(Image) if f.name in images.c)

#: How many of the first images of the catalogue are looked at before indexes are asked.
WINDOW_SIZE = 500

#: And how many at most, when some of those were wanted, but not enough for a page.
MAX_WINDOW_SIZE = 20_000

#: Tags, and properties, that are each a sub-query of their own, which a planner may turn into a
#: join and begin with.  Its work grows exponentially with their number: PostgreSQL planned 50 of
#: them for 24 seconds.  Further ones are one sub-query together.
MAX_SUBQUERIES = 3

#: Sort keys that have an index to walk along.
_INDEXED = frozenset({"created_at", "updated_at"})

#: Filters so narrow that walking the catalogue for them is never right.
_SELECTIVE = frozenset({"id", "checksum", "os_hash_value"})

_OPERATORS = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class no_index(FunctionElement):  # noqa: N801 - reads like an SQL function
    """A column (or a condition) whose index a planner without statistics must not choose.

    SQLite prefers any index with an equality to the order that saves a sort,
    and MySQL is not much better: ``deleted = 0`` holds for nearly every row.
    """

    inherit_cache = True

    def __init__(self, column: sa.ColumnElement) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(no_index)
def _compile_default(element, compiler, **kw) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(no_index, "postgresql")
def _compile_postgresql(element, compiler, **kw) -> str:
    column = compiler.process(element.clauses, **kw)
    if isinstance(element.type, sa.DateTime):
        return f"({column} + interval '0')"
    # It reads the index on "deleted" from end to end to combine it with another one.
    return f"(({column}) IS TRUE)" if isinstance(element.type, sa.Boolean) else column


@compiles(no_index, "sqlite")
def _compile_sqlite(element, compiler, **kw) -> str:
    return f"+({compiler.process(element.clauses, **kw)})"


@compiles(no_index, "mysql", "mariadb")
def _compile_mysql(element, compiler, **kw) -> str:
    return f"coalesce({compiler.process(element.clauses, **kw)})"


def not_deleted(table: sa.Table) -> sa.ColumnElement[bool]:
    """Rows of ``table`` that are not deleted."""
    return no_index(table.c.deleted) == sa.false()


def membership(project: str = "me") -> sa.ColumnElement[bool]:
    """Live membership of the bound project in the image of an outer select."""
    return (image_members.c.member == sa.bindparam(project)) & not_deleted(image_members)


# --- Visibility ------------------------------------------------------------------------------

_CALLER_PROJECT = sa.bindparam("me", type_=sa.String)


def _is(visibility: str, column=None) -> sa.ColumnElement[bool]:
    return (images.c.visibility if column is None else column) == sa.literal(
        visibility, images.c.visibility.type
    )


def _is_member(any_status: bool) -> sa.ColumnElement[bool]:
    condition = membership()
    if not any_status:
        condition &= image_members.c.status == sa.bindparam("member_status")
    return condition


def _shared_with_caller(any_status: bool) -> sa.ColumnElement[bool]:
    return _is("shared", no_index(images.c.visibility)) & _has(
        image_members, _is_member(any_status), per_image=True
    )


def visible(is_admin: bool) -> sa.ColumnElement[bool]:
    """Images that the caller ``me`` may see when it asks by id."""
    if is_admin:
        return sa.true()
    return sa.or_(
        images.c.owner.is_(None),
        images.c.visibility.in_(("public", "community")),
        images.c.owner == _CALLER_PROJECT,
        _shared_with_caller(any_status=True),
    )


def in_scope(shape: QueryShape) -> sa.ColumnElement[bool]:
    """Images in the scope of a list, as one condition that uses no index."""
    visibility, owner = no_index(images.c.visibility), no_index(images.c.owner)
    if shape.is_admin:
        return {
            None: (visibility != sa.literal("community", images.c.visibility.type))
            | (owner == _CALLER_PROJECT),
            "all": sa.true(),
        }.get(shape.visibility, _is(shape.visibility or "public", visibility))
    owned = owner == _CALLER_PROJECT
    shared = _shared_with_caller(shape.any_member_status)
    public, community = _is("public", visibility), _is("community", visibility)
    return {
        None: owned | public | shared,
        "all": owned | public | community | shared,
        "public": public,
        "community": community,
        "private": owned & _is("private", visibility),
        "shared": shared | (owned & _is("shared", visibility)),
    }[shape.visibility]


def scope_branches(shape: QueryShape) -> Iterator[sa.ColumnElement[bool]]:
    """The same scope as parts without overlap, each led by a condition with an index."""
    visibility = no_index(images.c.visibility)
    if shape.is_admin:
        yield in_scope(shape) if shape.visibility in (None, "all") else _is(shape.visibility)
        return
    wanted = shape.visibility
    owned = images.c.owner == _CALLER_PROJECT
    not_owned = sa.not_(sa.func.coalesce(no_index(images.c.owner) == _CALLER_PROJECT, sa.false()))
    if wanted in (None, "all"):
        yield owned
    elif wanted in ("private", "shared"):
        yield owned & _is(wanted, visibility)
    for public_visibility in ("public", "community"):
        if wanted == public_visibility:
            yield _is(public_visibility)
        elif wanted == "all" or (wanted is None and public_visibility == "public"):
            yield _is(public_visibility) & not_owned
    if wanted in (None, "all", "shared"):
        shared_with_caller = sa.select(image_members.c.image_id).where(
            _is_member(shape.any_member_status)
        )
        yield _is("shared", visibility) & images.c.id.in_(shared_with_caller) & not_owned


# --- Shapes ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class QueryShape:
    """All that decides how a list's statement is written, without any value.

    ``after`` tells for each sort key whether it is null in the marker; None
    when there is no marker.
    """

    is_admin: bool
    visibility: str | None
    any_member_status: bool
    filters: tuple[tuple[str, str], ...]
    tags: int
    properties: int
    sort: tuple[tuple[str, str], ...]
    after: tuple[bool, ...] | None

    @property
    def is_selective(self) -> bool:
        """Does a filter name a handful of images?"""
        return any(field in _SELECTIVE and op in ("eq", "in") for field, op in self.filters)

    @property
    def uses_window(self) -> bool:
        """Is it worth to look at the beginning of the catalogue first?"""
        key = self.sort[0][0]
        # Where an index has its nulls differs between databases; only a walk does without them.
        sorted_by_index = not images.c[key].nullable and (
            self.is_admin
            and self.visibility in (None, "all")
            and not (self.filters or self.tags or self.properties)
        )
        return key in _INDEXED and not sorted_by_index and not self.is_selective


def shape_of(ctx: Caller, query: ImageQuery, marker: Sequence | None) -> QueryShape:
    """The shape of ``query``; ``marker`` holds the marker's values of the sort keys."""
    return QueryShape(
        is_admin=bool(ctx.is_admin),
        visibility=query.visibility,
        any_member_status=query.member_status == "all",
        filters=tuple((f.field, f.op) for f in query.filters),
        tags=len(query.tags),
        properties=len(query.properties),
        sort=query.sort,
        after=None if marker is None else tuple(value is None for value in marker),
    )


def bind_values(ctx: Caller, query: ImageQuery, marker: Sequence | None) -> dict[str, Any]:
    """What to bind to a statement of this query's shape."""
    values: dict[str, Any] = {
        "me": ctx.project_id,
        "member_status": query.member_status,
        "hidden": query.os_hidden,
        "limit": query.limit,
        "window": max(WINDOW_SIZE, 2 * query.limit),
    }
    for n, f in enumerate(query.filters):
        values[f"filter_{n}"] = _clamped(f.value)
    for n, tag in enumerate(query.tags):
        values[f"tag_{n}"] = tag
    for n, (name, value) in enumerate(query.properties):
        values[f"name_{n}"], values[f"value_{n}"] = name, value
    for n, value in enumerate(marker or ()):
        values[f"after_{n}"] = value
    return values


def _clamped(value: object) -> object:
    """Numbers that no column can hold become the largest one, which no image has."""
    if isinstance(value, int):
        return max(-MAX_INT64, min(MAX_INT64, value))
    if isinstance(value, tuple):
        return [_clamped(each) for each in value]
    return value


# --- Statements ------------------------------------------------------------------------------


def _has(
    table: sa.Table, *conditions: sa.ColumnElement[bool], per_image: bool
) -> sa.ColumnElement[bool]:
    """Does such a row of ``table`` belong to the image of the outer select?

    :param per_image: few images are asked for, which PostgreSQL cannot know; it must not
        read the whole table once for all of them.
    """
    rows: sa.Select = sa.select(sa.literal_column("1")).where(
        table.c.image_id == images.c.id, *conditions
    )
    if per_image:
        rows = rows.suffix_with("OFFSET 0", dialect="postgresql")
    return rows.exists()


def _conditions(shape: QueryShape, per_image: bool = False) -> list[sa.ColumnElement[bool]]:
    """What an image must be like, whoever asks."""
    conditions = [
        not_deleted(images),
        no_index(images.c.status) != "killed",
        no_index(images.c.os_hidden) == sa.bindparam("hidden", type_=sa.Boolean),
    ]
    for n, (field, op) in enumerate(shape.filters):
        conditions.append(_comparison(images.c[field], op, f"filter_{n}"))
        if field == "size":
            # While data comes, the column says how much it may be.
            conditions.append(images.c.status != "saving")
    for table, count, wanted in (
        (image_tags, shape.tags, _tag_condition),
        (image_properties, shape.properties, _property_condition),
    ):
        conditions += [
            _has(table, wanted(n), not_deleted(table), per_image=per_image)
            for n in range(min(count, MAX_SUBQUERIES))
        ]
        if count > MAX_SUBQUERIES:
            conditions.append(_has_all(table, [wanted(n) for n in range(MAX_SUBQUERIES, count)]))
    return conditions


def _tag_condition(n: int) -> sa.ColumnElement[bool]:
    return image_tags.c.value == sa.bindparam(f"tag_{n}")


def _property_condition(n: int) -> sa.ColumnElement[bool]:
    return (image_properties.c.name == sa.bindparam(f"name_{n}")) & (
        image_properties.c.value == sa.bindparam(f"value_{n}")
    )


def _has_all(table: sa.Table, wanted: list[sa.ColumnElement[bool]]) -> sa.ColumnElement[bool]:
    """Does the image of the outer select have a row of ``table`` for each of ``wanted``?

    Each is looked for by itself, since a collation may take two of them for the same.
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


def _comparison(column: sa.Column, op: str, name: str) -> sa.ColumnElement[bool]:
    kind = sa.BigInteger() if isinstance(column.type, sa.Integer) else column.type
    if op == "in":
        return column.in_(sa.bindparam(name, type_=kind, expanding=True))
    return _OPERATORS[op](column, sa.bindparam(name, type_=kind))


def _order(shape: QueryShape, source=images, use_index: bool = True) -> list[sa.ColumnElement]:
    (key, direction), *rest = shape.sort
    first = source.c[key] if use_index else no_index(source.c[key])
    return [
        _ordering(first, key, direction),
        *(_ordering(source.c[other], other, direction) for other, direction in rest),
    ]


class nulls_first(FunctionElement):  # noqa: N801 - reads like an SQL function
    """An ordering in which null is less than any value, on every database."""

    inherit_cache = True


@compiles(nulls_first)
def _compile_nulls_default(element, compiler, **kw) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(nulls_first, "postgresql")
def _compile_nulls_postgresql(element, compiler, **kw) -> str:
    text = compiler.process(element.clauses, **kw)
    return f"{text} NULLS {'LAST' if text.endswith('DESC') else 'FIRST'}"


def _ordering(column: sa.ColumnElement, key: str, direction: str) -> sa.ColumnElement:
    ordering = column.asc() if direction == "asc" else column.desc()
    return nulls_first(ordering) if images.c[key].nullable else ordering


def _after(shape: QueryShape) -> list[sa.ColumnElement[bool]]:
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
    # Said twice so that a planner finds the range of the index.
    key, direction = shape.sort[0]
    if direction == "asc" or not images.c[key].nullable:
        return [*_known_after(shape), condition]
    if key in _INDEXED and not shape.after[0]:
        return [sa.or_(*_known_after(shape), images.c[key].is_(None)), condition]
    return [condition]


def _known_after(shape: QueryShape) -> list[sa.ColumnElement[bool]]:
    """Images whose first sort key is not null and not before the marker's, if that is not null."""
    if shape.after is None or shape.after[0]:
        return []
    key, direction = shape.sort[0]
    column = images.c[key]
    value = sa.bindparam("after_0", type_=column.type)
    return [column >= value if direction == "asc" else column <= value]


def _after_and_equal(column, direction: str, value, is_null: bool) -> tuple:
    """(comes after the value, equals it), where null is less than any value."""
    if is_null:
        return (column.is_not(None) if direction == "asc" else sa.false()), column.is_(None)
    if direction == "asc":
        return column > value, column == value
    comes_after = column < value
    return (comes_after | column.is_(None) if column.nullable else comes_after), column == value


@functools.lru_cache(maxsize=256)
def window_query(shape: QueryShape) -> sa.Select:
    """Those of the first images of the catalogue that are wanted.

    Looks at no more than ``window`` images: those that come before the time of
    the one behind them, so that images of one time are looked at together or
    not at all.  If this fills a page, the page is right; otherwise ask
    :func:`full_query`.

    An image without that time is never among them.  Those come last, or first: then
    nothing is found while there is one that the marker does not lie behind.
    """
    key, direction = shape.sort[0]
    column = images.c[key]
    index_order = column.asc() if direction == "asc" else column.desc()
    from_marker = _known_after(shape)
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
    conditions = [
        column < last if direction == "asc" else column > last,
        *_after(shape),
        *_conditions(shape, per_image=True),
        no_index(in_scope(shape)),
    ]
    if not from_marker and column.nullable:
        unknown = images.alias("unknown")
        conditions.append(
            ~sa.select(sa.literal_column("1"))
            .where(unknown.c[key].is_(None), no_index(unknown.c.deleted) == sa.false())
            .exists()
        )
    return (
        sa.select(*COLUMNS)
        .where(*conditions)
        .order_by(index_order, *_order(shape)[1:])
        .limit(sa.bindparam("limit"))
    )


@functools.lru_cache(maxsize=256)
def full_query(shape: QueryShape) -> sa.Select | sa.CompoundSelect:
    """The page, found through an index for each part of the scope.

    Who walks has walked: no part is then read in the order of the catalogue, which a
    planner that knows little prefers to any sort.
    """
    conditions = [*_conditions(shape), *_after(shape)]
    scope = [in_scope(shape)] if shape.is_selective else scope_branches(shape)
    parts = [
        sa.select(*COLUMNS)
        .where(part, *conditions)
        .order_by(*_order(shape, use_index=not shape.uses_window))
        .limit(sa.bindparam("limit"))
        for part in scope
    ]
    if len(parts) == 1:
        return parts[0]
    found = sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery("found")
    return sa.select(found).order_by(*_order(shape, found)).limit(sa.bindparam("limit"))


@functools.lru_cache(maxsize=64)
def marker_query(sort: tuple[tuple[str, str], ...], is_admin: bool) -> sa.Select:
    """The values of the sort keys of image ``marker``, if the caller may see it."""
    return sa.select(*(images.c[key] for key, _direction in sort)).where(
        images.c.id == sa.bindparam("marker"), not_deleted(images), visible(is_admin)
    )


def fetch_page(
    connection: sa.Connection, ctx: Caller, query: ImageQuery, after: Sequence | None
) -> Sequence[sa.Row]:
    """The rows of one page, in order: COLUMNS of at most ``query.limit`` images.

    Who sees many images finds a page among the first few of the catalogue, in
    the order of an index; perhaps among some more, if wanted ones come as often
    there.  Who sees few of them does not; then each part of what it sees is found
    through an index and there are few rows to sort.

    :param after: the marker's values of the sort keys, None for the first page.
    """
    shape, values = shape_of(ctx, query, after), bind_values(ctx, query, after)
    if shape.uses_window:
        rows = connection.execute(window_query(shape), values).all()
        if len(rows) < query.limit and (
            widened := _widened_window(values["window"], len(rows), query.limit)
        ):
            rows = connection.execute(window_query(shape), {**values, "window": widened}).all()
        if len(rows) == query.limit:
            return rows
    return connection.execute(full_query(shape), values).all()


def _widened_window(window: int, found: int, limit: int) -> int:
    """A window that should hold a page if one of ``window`` images had ``found``; 0 for none."""
    widened = 2 * window * limit // found if found else 0
    return widened if widened <= MAX_WINDOW_SIZE else 0
