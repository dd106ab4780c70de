"""Metadata namespaces: the port ``NamespaceOperations`` in SQL.

Unlike images, namespaces and definitions are deleted at once, not marked.  Lists select the
namespaces that the caller may see; other operations do not authorise.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from glance_py.db import definitions, paging
from glance_py.db.batching import batched
from glance_py.db.database import Database
from glance_py.db.errors import translate_duplicates
from glance_py.db.tables import (
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_resource_types,
)
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.metadef import (
    Association,
    Namespace,
    NamespacePage,
    NamespaceQuery,
    ResourceType,
)

_T = metadef_namespaces.c
#: In the order of the fields of Namespace.
_ALL = sa.select(
    _T.namespace,
    _T.owner,
    _T.display_name,
    _T.description,
    # The next two may be null in rows that were not written by this service.
    sa.func.coalesce(_T.visibility, "private"),
    sa.func.coalesce(_T.protected, sa.false(), type_=sa.Boolean),
    _T.created_at,
    _T.updated_at,
    _T.id,
)
SELECT_ORDERED = _ALL.order_by(_T.namespace)
_ONE = _ALL.where(_T.namespace == sa.bindparam("this_name"))
_THIS = _T.id == sa.bindparam("this_id")
_UPDATE = metadef_namespaces.update().where(_THIS)
_DELETE = metadef_namespaces.delete().where(_THIS)
_VISIBLE = (_T.visibility == "public") | (_T.owner == sa.bindparam("me"))

_TYPES = sa.select(
    *(metadef_resource_types.c[name] for name in ("name", "created_at", "updated_at"))
).order_by(metadef_resource_types.c.id)
_A = metadef_namespace_resource_types.c
_ASSOCIATIONS = (
    sa.select(
        _A.namespace_id,
        metadef_resource_types.c.name,
        _A.created_at,
        _A.updated_at,
        _A.prefix,
        _A.properties_target,
    )
    .join_from(metadef_namespace_resource_types, metadef_resource_types)
    .where(_A.namespace_id.in_(sa.bindparam("those", expanding=True)))
    .order_by(_A.resource_type_id)
)


class SqlNamespaces:
    """Namespaces in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, ctx: Caller, name: str) -> Namespace:
        """The namespace with its contents, whether the caller may see it or not.

        :raises errors.NamespaceNotFound: there is none of this name.
        """

        def work(connection: sa.Connection) -> Namespace:
            found = by_name(connection, name)
            found.contents = definitions.contents(connection, found.id)
            return found

        return self._database.read(work)

    def resolve(self, ctx: Caller, name: str) -> Namespace:
        """The namespace alone.

        :raises errors.NamespaceNotFound: there is none of this name.
        """
        return self._database.read(lambda connection: by_name(connection, name))

    def list(self, ctx: Caller, query: NamespaceQuery) -> NamespacePage:
        """One page of the namespaces that match ``query`` and that the caller may see.

        They have their associations with resource types and no other contents.

        :raises errors.NamespaceNotFound: there is no namespace with the marker's name.
        :raises errors.MarkerForbidden: the caller may not see the marker.
        """
        listing = query.listing
        conditions, bound = _conditions(ctx, query)
        keys = paging.sort_keys(metadef_namespaces, listing.sort_key)

        def work(connection: sa.Connection) -> NamespacePage:
            after = None
            if listing.marker is not None:
                visible = _ONE if ctx.is_admin else _ONE.where(_VISIBLE)
                after = paging.marker_keys(
                    connection, keys, visible, {"this_name": listing.marker, "me": ctx.project_id}
                )
                if after is None:
                    by_name(connection, listing.marker)
                    raise errors.MarkerForbidden(listing.marker)
            statement = paging.page_query(
                _ALL.where(*conditions), keys, listing.sort_dir, listing.limit, after
            )
            found = [Namespace(*row) for row in connection.execute(statement, bound)]
            _load_associations(connection, found)
            return NamespacePage(found, full=bool(found) and len(found) == listing.limit)

        return self._database.read(work, replica=True)

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        """Insert a namespace with its contents in one transaction.

        :returns: the namespace with its id and times; its contents as given.
        :raises errors.Duplicate: a name is in use.
        """
        now = self._database.now()
        return self._database.write(lambda connection: insert(connection, namespace, now, now))

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        """Write all fields of the namespace, its name included, from ``after``.

        :raises errors.NamespaceNotFound: it is deleted.
        :raises errors.Duplicate: another one has the new name.
        """
        now = self._database.now()

        def work(connection: sa.Connection) -> Namespace:
            overwrite(connection, namespace, after, now)
            return dataclasses.replace(
                after, id=namespace.id, created_at=namespace.created_at, updated_at=now, contents={}
            )

        return self._database.write(work)

    def delete(self, ctx: Caller, namespace: Namespace) -> None:
        """Delete a namespace and its contents; resource types stay.

        :raises errors.NamespaceNotFound: it is deleted.
        """
        self._database.write(lambda connection: remove(connection, namespace))

    def resource_types(self, ctx: Caller) -> Sequence[ResourceType]:
        """All resource types in the order in which they were inserted."""
        return self._database.read(
            lambda connection: [ResourceType(*row) for row in connection.execute(_TYPES)]
        )


def by_name(connection: sa.Connection, name: str) -> Namespace:
    """The namespace with this name, without contents.

    :raises errors.NamespaceNotFound: there is none.
    """
    row = connection.execute(_ONE, {"this_name": name}).first()
    if row is None:
        raise errors.NamespaceNotFound(name)
    return Namespace(*row)


def insert(
    connection: sa.Connection,
    namespace: Namespace,
    now: datetime.datetime,
    updated_at: datetime.datetime | None,
    types_protected: bool = False,
) -> Namespace:
    """Insert a namespace and its contents in the caller's transaction.

    :raises errors.Duplicate: a name is in use.
    """
    with translate_duplicates(f"There is a namespace {namespace.name} already."):
        result = connection.execute(
            metadef_namespaces.insert(),
            {**_row(namespace), "created_at": now, "updated_at": updated_at},
        )
    key: Any = result.inserted_primary_key
    created = dataclasses.replace(namespace, id=key[0], created_at=now, updated_at=updated_at)
    for kind, those in namespace.contents.items():
        definitions.add(connection, created, kind, those, now, updated_at, types_protected)
    return created


def overwrite(
    connection: sa.Connection, namespace: Namespace, after: Namespace, now: datetime.datetime
) -> None:
    """Write the fields of ``after`` to the row of ``namespace`` in the caller's transaction.

    :raises errors.NamespaceNotFound: it is deleted.
    :raises errors.Duplicate: another one has the new name.
    """
    with translate_duplicates(f"There is a namespace {after.name} already."):
        result = connection.execute(
            _UPDATE, {"this_id": namespace.id, **_row(after), "updated_at": now}
        )
    if result.rowcount == 0:
        raise errors.NamespaceNotFound(namespace.name)


def remove(connection: sa.Connection, namespace: Namespace) -> None:
    """Delete a namespace and its contents in the caller's transaction.

    :raises errors.NamespaceNotFound: it is deleted.
    """
    definitions.lock(connection, namespace)
    for mapper in definitions.MAPPERS.values():
        connection.execute(mapper.delete_all, {"this_namespace": namespace.id})
    connection.execute(_DELETE, {"this_id": namespace.id})


def _row(namespace: Namespace) -> dict[str, object]:
    return {
        "namespace": namespace.name,
        "owner": namespace.owner,
        "display_name": namespace.display_name,
        "description": namespace.description,
        "visibility": namespace.visibility,
        "protected": namespace.protected,
    }


def _conditions(
    ctx: Caller, query: NamespaceQuery
) -> tuple[list[sa.ColumnElement[bool]], dict[str, object]]:
    """The conditions of a list, and their values."""
    conditions: list[sa.ColumnElement[bool]] = []
    bound: dict[str, object] = {}
    if not ctx.is_admin:
        conditions.append(_VISIBLE)
        bound["me"] = ctx.project_id
    if query.visibility is not None:
        conditions.append(sa.func.coalesce(_T.visibility, "private") == query.visibility)
    if query.resource_types is not None:
        conditions.append(
            sa.exists().where(
                _A.namespace_id == _T.id,
                _A.resource_type_id == metadef_resource_types.c.id,
                metadef_resource_types.c.name.in_(sa.bindparam("types", expanding=True)),
            )
        )
        bound["types"] = query.resource_types
    return conditions, bound


def _load_associations(connection: sa.Connection, found: Sequence[Namespace]) -> None:
    by_id = {namespace.id: namespace for namespace in found}
    for those in batched(list(by_id)):
        for number, *row in connection.execute(_ASSOCIATIONS, {"those": those}):
            by_id[number].contents.setdefault(Association, []).append(Association(*row))
    for namespace in found:
        if not namespace.name:
            # wire: in a list, the namespace without a name has all resource types there are.
            namespace.contents[Association] = [
                Association(*row) for row in connection.execute(_TYPES)
            ]
