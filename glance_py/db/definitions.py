"""The DAL for what lies in metadata namespaces: the port ``DefinitionOperations`` in SQL.

One store serves all four kinds: a shelf says in which table a kind lies and how
its rows read.  A write locks the row of the namespace first, so that nothing is
put into a namespace that is being deleted.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from glance_py.db import galera, upsert
from glance_py.db import listing as pages
from glance_py.db.engine import Database
from glance_py.db.errors import naming_duplicates
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


def _text(document: object) -> str:
    # Escaped to ASCII: a column of an old MySQL database cannot hold all characters.
    return json.dumps(document)


class Shelf:
    """Where one kind lies and how it reads; the statements are made once per process."""

    kind: Kind
    table: sa.Table
    columns: tuple[sa.Column, ...] = ()

    def __init__(self) -> None:
        table = self.table
        self.name = self.named().c.name
        here = table.c.namespace_id == sa.bindparam("this_namespace")
        read = (self.name, table.c.created_at, table.c.updated_at, *self.columns)
        self.all = sa.select(*read).select_from(self.source()).where(here)
        self.in_order = self.all.order_by(*self.order())
        self.one = self.all.where(self.name == sa.bindparam("this_name"))
        self.insert = table.insert()
        self.update = table.update().where(here, self._this())
        self.delete = table.delete().where(here, self._this())
        self.clear = table.delete().where(here)

    def _this(self) -> sa.ColumnElement[bool]:
        return self.table.c.name == sa.bindparam("this_name")

    def named(self) -> sa.Table:
        """The table that holds the name."""
        return self.table

    def source(self) -> Any:
        """What is read from."""
        return self.table

    def order(self) -> tuple[sa.ColumnElement, ...]:
        """In which order the contents of a namespace are shown."""
        return (self.table.c.name,)

    def row(self, definition: Any) -> dict[str, object]:
        """What is written into the columns of the kind, its name included."""
        return {"name": definition.name}

    def definition(self, row: Sequence) -> Any:
        """From the values that ``all`` and ``one`` read."""
        return self.kind(*row)


class _Properties(Shelf):
    kind, table = Property, metadef_properties
    columns = (metadef_properties.c.json_schema,)

    def row(self, definition: Property) -> dict[str, object]:
        return {"name": definition.name, "json_schema": _text(definition.schema)}

    def definition(self, row: Sequence) -> Property:
        name, created_at, updated_at, schema = row
        return Property(name, created_at, updated_at, orjson.loads(schema))


class _Objects(Shelf):
    kind, table = Object, metadef_objects
    columns = tuple(metadef_objects.c[name] for name in ("description", "required", "json_schema"))

    def row(self, definition: Object) -> dict[str, object]:
        return {
            "name": definition.name,
            "description": definition.description,
            "required": ",".join(definition.required or ()) or None,
            "json_schema": _text(definition.properties or {}),
        }

    def definition(self, row: Sequence) -> Object:
        name, created_at, updated_at, description, required, properties = row
        return Object(
            name,
            created_at,
            updated_at,
            description,
            required.split(",") if required else [],
            orjson.loads(properties) if properties else {},
        )


class _Tags(Shelf):
    kind, table = Tag, metadef_tags

    def order(self) -> tuple[sa.ColumnElement, ...]:
        return metadef_tags.c.created_at.desc(), metadef_tags.c.id.desc()


class _Associations(Shelf):
    kind, table = Association, metadef_namespace_resource_types
    columns = (table.c.prefix, table.c.properties_target)

    def _this(self) -> sa.ColumnElement[bool]:
        return (
            self.table.c.resource_type_id
            == sa.select(metadef_resource_types.c.id)
            .where(metadef_resource_types.c.name == sa.bindparam("this_name"))
            .scalar_subquery()
        )

    def named(self) -> sa.Table:
        return metadef_resource_types

    def source(self) -> Any:
        return self.table.join(metadef_resource_types)

    def order(self) -> tuple[sa.ColumnElement, ...]:
        return (self.table.c.resource_type_id,)

    def row(self, definition: Association) -> dict[str, object]:
        """With the name of the resource type, of which :func:`add` makes a number."""
        return {
            "name": definition.name,
            "prefix": definition.prefix,
            "properties_target": definition.properties_target,
        }


SHELVES: dict[Kind, Shelf] = {
    shelf.kind: shelf for shelf in (_Associations(), _Properties(), _Objects(), _Tags())
}

_NAMESPACE_ID = metadef_namespaces.c.id == sa.bindparam("this_namespace")
_LOCK = sa.select(metadef_namespaces.c.id).where(_NAMESPACE_ID).with_for_update()
_TYPE = sa.select(metadef_resource_types.c.id).where(
    metadef_resource_types.c.name == sa.bindparam("this_name")
)


def lock(connection: sa.Connection, namespace: Namespace) -> None:
    """Keep other writers of this namespace away.

    :raises errors.NamespaceNotFound: it is gone.
    """
    if connection.execute(_LOCK, {"this_namespace": namespace.id}).first() is None:
        raise errors.NamespaceNotFound(namespace.name)
    galera.certify(connection, metadef_namespaces, namespace.id)


def contents(connection: sa.Connection, namespace_id: int | None) -> dict[Kind, list[Any]]:
    """Everything in a namespace, by kind; kinds of which there is nothing are left out."""
    found: dict[Kind, list[Any]] = {}
    for kind, shelf in SHELVES.items():
        rows = connection.execute(shelf.in_order, {"this_namespace": namespace_id}).all()
        if rows:
            found[kind] = [shelf.definition(row) for row in rows]
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
    """Record definitions of one kind.

    :param types_protected: may resource types that are new here not be removed?
    :raises errors.Duplicate: a name is there already, or twice among the new ones.
    """
    if not definitions:
        return
    _distinct(namespace, kind, definitions)
    shelf = SHELVES[kind]
    fixed = {"namespace_id": namespace.id, "created_at": now, "updated_at": updated_at}
    rows = [{**fixed, **shelf.row(definition)} for definition in definitions]
    if kind is Association:
        for row in rows:
            row["resource_type_id"] = _type_number(connection, row, types_protected)
            del row["name"]
    names = ", ".join(definition.name for definition in definitions)
    with naming_duplicates(_taken(namespace, kind, names)):
        connection.execute(shelf.insert, rows)


def merge(
    connection: sa.Connection,
    namespace: Namespace,
    kind: Kind,
    those: Collection[Definition],
    now: datetime.datetime,
    replace: bool,
) -> None:
    """Record what is not there yet, and with ``replace`` write over what is.

    :raises errors.NamespaceNotFound: the namespace is gone.
    :raises errors.Duplicate: a name is twice among them.
    """
    lock(connection, namespace)
    shelf = SHELVES[kind]
    here = {"this_namespace": namespace.id}
    present = {row[0] for row in connection.execute(shelf.all, here)}
    add(
        connection,
        namespace,
        kind,
        [each for each in those if each.name not in present],
        now,
        None,
        types_protected=True,
    )
    if replace:
        for each in those:
            if each.name in present:
                connection.execute(
                    shelf.update,
                    {**here, "this_name": each.name, **shelf.row(each), "updated_at": now},
                )


def _distinct(namespace: Namespace, kind: Kind, definitions: Iterable[Definition]) -> None:
    seen: set[str] = set()
    for definition in definitions:
        if definition.name in seen:
            raise errors.Duplicate(_taken(namespace, kind, definition.name))
        seen.add(definition.name)


def _taken(namespace: Namespace, kind: Kind, names: str) -> str:
    return f"There is a {kind.noun} of this name in the namespace {namespace.name}: {names}."


def _type_number(connection: sa.Connection, row: dict[str, Any], protected: bool) -> int:
    """The number of the resource type that ``row`` names; a new one is recorded.

    One by one, since only the database knows which names it takes for the same.
    """
    name = {"this_name": row["name"]}
    number = connection.execute(_TYPE, name).scalar()
    if number is None:
        connection.execute(
            upsert.ignoring(connection.dialect.name, metadef_resource_types),
            {
                "name": row["name"],
                "protected": protected,
                "created_at": row["created_at"],
                "updated_at": row["updated_at"],
            },
        )
        # Locked, since another writer may have been faster: that row is not in our snapshot.
        number = connection.execute(_TYPE.with_for_update(read=True), name).scalar_one()
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
        """Those of one kind, all in their usual order or as ``listing`` wants them.

        :raises errors.DefinitionNotFound: there is nothing of the marker's name.
        """
        shelf = SHELVES[kind]
        bound = {"this_namespace": namespace.id}

        def work(connection: sa.Connection) -> Sequence[DefinitionT]:
            if listing is None:
                rows = connection.execute(shelf.in_order, bound).all()
            else:
                rows = _page(connection, shelf, namespace, listing)
            return [shelf.definition(row) for row in rows]

        return self._database.read(work)

    def get(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        """:raises errors.DefinitionNotFound: there is none of this name."""
        return self._database.read(lambda connection: _get(connection, namespace, kind, name))

    def create(self, ctx: Caller, namespace: Namespace, definition: DefinitionT) -> DefinitionT:
        """Record one.

        :raises errors.Duplicate: there is one of this name.
        :raises errors.NamespaceNotFound: the namespace is gone.
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
        """Record several, beside those that are there or instead of them.

        :raises errors.Duplicate: a name is there already, or twice among them;
            then nothing is changed.
        :raises errors.NamespaceNotFound: the namespace is gone.
        """
        now = self._database.now()

        def work(connection: sa.Connection) -> None:
            lock(connection, namespace)
            if not append:
                connection.execute(SHELVES[kind].clear, {"this_namespace": namespace.id})
            add(connection, namespace, kind, definitions, now, now)

        self._database.write(work)
        return [
            dataclasses.replace(definition, created_at=now, updated_at=now)
            for definition in definitions
        ]

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT:
        """Replace one, its name included.

        :raises errors.DefinitionNotFound: there is none of this name.
        :raises errors.Duplicate: there is another one of the new name.
        """
        kind = type(after)
        shelf = SHELVES[kind]
        now = self._database.now()

        def work(connection: sa.Connection) -> DefinitionT:
            lock(connection, namespace)
            before = _get(connection, namespace, kind, name)
            with naming_duplicates(_taken(namespace, kind, after.name)):
                connection.execute(
                    shelf.update,
                    {
                        "this_namespace": namespace.id,
                        "this_name": name,
                        **shelf.row(after),
                        "updated_at": now,
                    },
                )
            return dataclasses.replace(after, created_at=before.created_at, updated_at=now)

        return self._database.write(work)

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        """Remove one and return what it was.

        :raises errors.DefinitionNotFound: there is none of this name.
        """

        def work(connection: sa.Connection) -> DefinitionT:
            lock(connection, namespace)
            found = _get(connection, namespace, kind, name)
            connection.execute(
                SHELVES[kind].delete, {"this_namespace": namespace.id, "this_name": name}
            )
            return found

        return self._database.write(work)

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        """Remove all of one kind."""
        self._database.write(
            lambda connection: (
                connection.execute(SHELVES[kind].clear, {"this_namespace": namespace.id}) and None
            )
        )


def _get(
    connection: sa.Connection, namespace: Namespace, kind: type[DefinitionT], name: str
) -> DefinitionT:
    shelf = SHELVES[kind]
    row = connection.execute(shelf.one, {"this_namespace": namespace.id, "this_name": name}).first()
    if row is None:
        raise errors.DefinitionNotFound(kind.noun, name, namespace.name)
    return shelf.definition(row)


def _page(
    connection: sa.Connection, shelf: Shelf, namespace: Namespace, listing: Listing
) -> Sequence[sa.Row]:
    bound = {"this_namespace": namespace.id}
    order = pages.order(shelf.table, listing.sort_key)
    after = None
    if listing.marker is not None:
        after = pages.marker(connection, order, shelf.one, {**bound, "this_name": listing.marker})
        if after is None:
            raise errors.DefinitionNotFound(shelf.kind.noun, listing.marker, namespace.name)
    return connection.execute(
        pages.page(shelf.all, order, listing.sort_dir, listing.limit, after), bound
    ).all()
