"""The contents of metadata namespaces: the port ``DefinitionOperations`` in SQL.

One class serves all four kinds; a :class:`DefinitionMapper` per kind has its table and converts its
rows.  A write locks the row of the namespace first, so that nothing is inserted into a namespace
that is being deleted.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from glance_py.db import galera, paging, upsert
from glance_py.db.database import Database
from glance_py.db.errors import translate_duplicates
from glance_py.db.tables import (
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_objects,
    metadef_properties,
    metadef_resource_types,
    metadef_tags,
)
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.metadef import (
    Association,
    Definition,
    DefinitionT,
    Kind,
    Listing,
    Namespace,
    Object,
    Property,
    Tag,
)


def _dump_json(document: object) -> str:
    # ASCII with escapes: the columns of old MySQL databases do not hold all of Unicode.
    return json.dumps(document)


class DefinitionMapper:
    """The table of one kind and its statements, which are built once per process.

    :ivar columns: those that :meth:`from_row` reads, after name and times.
    """

    kind: Kind
    table: sa.Table
    columns: tuple[sa.Column[Any], ...] = ()

    def __init__(self) -> None:
        table = self.table
        self.name = self.name_table().c.name
        here = table.c.namespace_id == sa.bindparam("this_namespace")
        read = (self.name, table.c.created_at, table.c.updated_at, *self.columns)
        self.select_all = sa.select(*read).select_from(self.from_clause()).where(here)
        self.select_ordered = self.select_all.order_by(*self.order_by())
        self.select_one = self.select_all.where(self.name == sa.bindparam("this_name"))
        self.insert_one = table.insert()
        self.update_one = table.update().where(here, self._is_this())
        self.delete_one = table.delete().where(here, self._is_this())
        self.delete_all = table.delete().where(here)

    def _is_this(self) -> sa.ColumnElement[bool]:
        return self.table.c.name == sa.bindparam("this_name")

    def name_table(self) -> sa.Table:
        """The table that holds the name."""
        return self.table

    def from_clause(self) -> sa.FromClause:
        """What the statements select from."""
        return self.table

    def order_by(self) -> tuple[sa.ColumnElement[Any], ...]:
        """The order in which the contents of a namespace are listed."""
        return (self.table.c.name,)

    def to_row(self, definition: Any) -> dict[str, object]:
        """The values of the columns of the kind, name included."""
        return {"name": definition.name}

    def from_row(self, row: Sequence[Any]) -> Any:
        """The definition of a row of ``select_all`` and ``select_one``."""
        return self.kind(*row)


class _PropertyMapper(DefinitionMapper):
    kind, table = Property, metadef_properties
    columns = (metadef_properties.c.json_schema,)

    def to_row(self, definition: Property) -> dict[str, object]:
        return {"name": definition.name, "json_schema": _dump_json(definition.schema)}

    def from_row(self, row: Sequence[Any]) -> Property:
        name, created_at, updated_at, schema = row
        return Property(name, created_at, updated_at, orjson.loads(schema))


class _ObjectMapper(DefinitionMapper):
    kind, table = Object, metadef_objects
    columns = tuple(metadef_objects.c[name] for name in ("description", "required", "json_schema"))

    def to_row(self, definition: Object) -> dict[str, object]:
        return {
            "name": definition.name,
            "description": definition.description,
            "required": ",".join(definition.required or ()) or None,
            "json_schema": _dump_json(definition.properties or {}),
        }

    def from_row(self, row: Sequence[Any]) -> Object:
        name, created_at, updated_at, description, required, properties = row
        return Object(
            name,
            created_at,
            updated_at,
            description,
            required.split(",") if required else [],
            orjson.loads(properties) if properties else {},
        )


class _TagMapper(DefinitionMapper):
    kind, table = Tag, metadef_tags

    def order_by(self) -> tuple[sa.ColumnElement[Any], ...]:
        return metadef_tags.c.created_at.desc(), metadef_tags.c.id.desc()


class _AssociationMapper(DefinitionMapper):
    kind, table = Association, metadef_namespace_resource_types
    columns = (table.c.prefix, table.c.properties_target)

    def _is_this(self) -> sa.ColumnElement[bool]:
        return (
            self.table.c.resource_type_id
            == sa.select(metadef_resource_types.c.id)
            .where(metadef_resource_types.c.name == sa.bindparam("this_name"))
            .scalar_subquery()
        )

    def name_table(self) -> sa.Table:
        return metadef_resource_types

    def from_clause(self) -> sa.FromClause:
        return self.table.join(metadef_resource_types)

    def order_by(self) -> tuple[sa.ColumnElement[Any], ...]:
        return (self.table.c.resource_type_id,)

    def to_row(self, definition: Association) -> dict[str, object]:
        """With the name of the resource type, which :func:`add` replaces by its id."""
        return {
            "name": definition.name,
            "prefix": definition.prefix,
            "properties_target": definition.properties_target,
        }


MAPPERS: dict[Kind, DefinitionMapper] = {
    mapper.kind: mapper
    for mapper in (_AssociationMapper(), _PropertyMapper(), _ObjectMapper(), _TagMapper())
}

_NAMESPACE_ID = metadef_namespaces.c.id == sa.bindparam("this_namespace")
_LOCK = sa.select(metadef_namespaces.c.id).where(_NAMESPACE_ID).with_for_update()
_TYPE = sa.select(metadef_resource_types.c.id).where(
    metadef_resource_types.c.name == sa.bindparam("this_name")
)


def lock(connection: sa.Connection, namespace: Namespace) -> None:
    """Lock the row of a namespace until the end of the transaction.

    :raises errors.NamespaceNotFound: it is deleted.
    """
    if connection.execute(_LOCK, {"this_namespace": namespace.id}).first() is None:
        raise errors.NamespaceNotFound(namespace.name)
    galera.certify(connection, metadef_namespaces, namespace.id)


def contents(connection: sa.Connection, namespace_id: int | None) -> dict[Kind, list[Any]]:
    """The contents of a namespace by kind, without kinds that have none."""
    found: dict[Kind, list[Any]] = {}
    for kind, mapper in MAPPERS.items():
        rows = connection.execute(mapper.select_ordered, {"this_namespace": namespace_id}).all()
        if rows:
            found[kind] = [mapper.from_row(row) for row in rows]
    return found


def add(
    connection: sa.Connection,
    namespace: Namespace,
    kind: Kind,
    definitions: Collection[Definition],
    now: datetime.datetime | None,
    updated_at: datetime.datetime | None,
    types_protected: bool = False,
) -> None:
    """Insert definitions of one kind in the caller's transaction.

    :param types_protected: whether resource types that are inserted with them are protected.
    :raises errors.Duplicate: a name is in use, or is twice among ``definitions``.
    """
    if not definitions:
        return
    _check_unique_names(namespace, kind, definitions)
    mapper = MAPPERS[kind]
    fixed = {"namespace_id": namespace.id, "created_at": now, "updated_at": updated_at}
    rows = [{**fixed, **mapper.to_row(definition)} for definition in definitions]
    if kind is Association:
        for row in rows:
            row["resource_type_id"] = _resource_type_id(connection, row, types_protected)
            del row["name"]
    names = ", ".join(definition.name for definition in definitions)
    with translate_duplicates(_duplicate_message(namespace, kind, names)):
        connection.execute(mapper.insert_one, rows)


def merge(
    connection: sa.Connection,
    namespace: Namespace,
    kind: Kind,
    wanted: Collection[Definition],
    now: datetime.datetime,
    replace: bool,
) -> None:
    """Insert definitions that do not exist, and with ``replace`` overwrite those that do.

    :raises errors.NamespaceNotFound: the namespace is deleted.
    :raises errors.Duplicate: a name is twice among ``wanted``.
    """
    lock(connection, namespace)
    mapper = MAPPERS[kind]
    here = {"this_namespace": namespace.id}
    present = {row[0] for row in connection.execute(mapper.select_all, here)}
    add(
        connection,
        namespace,
        kind,
        [each for each in wanted if each.name not in present],
        now,
        None,
        types_protected=True,
    )
    if replace:
        for each in wanted:
            if each.name in present:
                connection.execute(
                    mapper.update_one,
                    {**here, "this_name": each.name, **mapper.to_row(each), "updated_at": now},
                )


def _check_unique_names(
    namespace: Namespace, kind: Kind, definitions: Iterable[Definition]
) -> None:
    seen: set[str] = set()
    for definition in definitions:
        if definition.name in seen:
            raise errors.Duplicate(_duplicate_message(namespace, kind, definition.name))
        seen.add(definition.name)


def _duplicate_message(namespace: Namespace, kind: Kind, names: str) -> str:
    return f"There is a {kind.noun} of this name in the namespace {namespace.name}: {names}."


def _resource_type_id(connection: sa.Connection, row: dict[str, Any], protected: bool) -> int:
    """The id of the resource type that ``row`` names; inserts it when there is none.

    One at a time, since only the collation of the database decides which names are equal.
    """
    name = {"this_name": row["name"]}
    number: int | None = connection.execute(_TYPE, name).scalar()
    if number is None:
        connection.execute(
            upsert.insert_ignore(connection.dialect.name, metadef_resource_types),
            {
                "name": row["name"],
                "protected": protected,
                "created_at": row["created_at"],
                "updated_at": row["updated_at"],
            },
        )
        # A locking read, since another writer may have inserted the row after the snapshot of
        # this transaction.
        inserted: int = connection.execute(_TYPE.with_for_update(read=True), name).scalar_one()
        return inserted
    return number


class SqlDefinitions:
    """Properties, objects, tags and associations in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        listing: Listing | None = None,
    ) -> Sequence[DefinitionT]:
        """The definitions of one kind.

        :param listing: sort key, direction and page; None for all in the order of the kind.
        :raises errors.DefinitionNotFound: there is none with the marker's name.
        """
        mapper = MAPPERS[kind]
        bound = {"this_namespace": namespace.id}

        def work(connection: sa.Connection) -> Sequence[DefinitionT]:
            rows: Sequence[Sequence[Any]]
            if listing is None:
                rows = connection.execute(mapper.select_ordered, bound).all()
            else:
                rows = _page(connection, mapper, namespace, listing)
            return [mapper.from_row(row) for row in rows]

        return self._database.read(work)

    def get(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        """The definition with this name.

        :raises errors.DefinitionNotFound: there is none.
        """
        return self._database.read(lambda connection: _get(connection, namespace, kind, name))

    def create(self, ctx: Caller, namespace: Namespace, definition: DefinitionT) -> DefinitionT:
        """Insert one.

        :returns: the definition with its times.
        :raises errors.Duplicate: there is one with this name.
        :raises errors.NamespaceNotFound: the namespace is deleted.
        """
        [created] = self.create_all(ctx, namespace, type(definition), [definition], append=True)
        return created

    def create_all(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        definitions: Sequence[DefinitionT],
        append: bool,
    ) -> Sequence[DefinitionT]:
        """Insert several in one transaction.

        :param append: keep the existing ones of this kind; else they are deleted.
        :raises errors.Duplicate: a name is in use, or twice among ``definitions``.
        :raises errors.NamespaceNotFound: the namespace is deleted.
        """
        now = self._database.now()

        def work(connection: sa.Connection) -> None:
            lock(connection, namespace)
            if not append:
                connection.execute(MAPPERS[kind].delete_all, {"this_namespace": namespace.id})
            add(connection, namespace, kind, definitions, now, now)

        self._database.write(work)
        return [
            dataclasses.replace(definition, created_at=now, updated_at=now)
            for definition in definitions
        ]

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT:
        """Overwrite the definition ``name`` by ``after``, which may have another name.

        :raises errors.DefinitionNotFound: there is none with this name.
        :raises errors.Duplicate: another one has the new name.
        """
        kind = type(after)
        mapper = MAPPERS[kind]
        now = self._database.now()

        def work(connection: sa.Connection) -> DefinitionT:
            lock(connection, namespace)
            before = _get(connection, namespace, kind, name)
            with translate_duplicates(_duplicate_message(namespace, kind, after.name)):
                connection.execute(
                    mapper.update_one,
                    {
                        "this_namespace": namespace.id,
                        "this_name": name,
                        **mapper.to_row(after),
                        "updated_at": now,
                    },
                )
            return dataclasses.replace(after, created_at=before.created_at, updated_at=now)

        return self._database.write(work)

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        """Delete one and return it.

        :raises errors.DefinitionNotFound: there is none with this name.
        """

        def work(connection: sa.Connection) -> DefinitionT:
            lock(connection, namespace)
            found = _get(connection, namespace, kind, name)
            connection.execute(
                MAPPERS[kind].delete_one, {"this_namespace": namespace.id, "this_name": name}
            )
            return found

        return self._database.write(work)

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        """Delete all of one kind."""
        self._database.write(
            lambda connection: (
                connection.execute(MAPPERS[kind].delete_all, {"this_namespace": namespace.id})
                and None
            )
        )


def _get(
    connection: sa.Connection, namespace: Namespace, kind: type[DefinitionT], name: str
) -> DefinitionT:
    mapper = MAPPERS[kind]
    row = connection.execute(
        mapper.select_one, {"this_namespace": namespace.id, "this_name": name}
    ).first()
    if row is None:
        raise errors.DefinitionNotFound(kind.noun, name, namespace.name)
    found: DefinitionT = mapper.from_row(row)
    return found


def _page(
    connection: sa.Connection, mapper: DefinitionMapper, namespace: Namespace, listing: Listing
) -> Sequence[Sequence[Any]]:
    bound = {"this_namespace": namespace.id}
    order = paging.sort_keys(mapper.table, listing.sort_key)
    after = None
    if listing.marker is not None:
        after = paging.marker_keys(
            connection, order, mapper.select_one, {**bound, "this_name": listing.marker}
        )
        if after is None:
            raise errors.DefinitionNotFound(mapper.kind.noun, listing.marker, namespace.name)
    return connection.execute(
        paging.page_query(mapper.select_all, order, listing.sort_dir, listing.limit, after), bound
    ).all()
