"""Imports, exports and deletes all metadata definitions, for ``glance-manage``.

Imported rows have no ``updated_at`` until they are changed, since files have none.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import sqlalchemy as sa

from glance_py.db import definitions, metadefs
from glance_py.db.database import Database
from glance_py.db.tables import metadef_namespaces, metadef_resource_types
from glance_py.domain import errors
from glance_py.domain.metadef import Namespace

#: What to do with a namespace that exists: keep it, add new definitions, also replace existing
#: definitions, or delete it and insert the new one.
SKIP, MERGE, PREFER_NEW, OVERWRITE = "skip", "add", "prefer new", "overwrite"


def import_namespace(database: Database, namespace: Namespace, existing: str) -> str:
    """Insert a namespace with its contents, in one transaction.

    :param existing: SKIP, MERGE, PREFER_NEW or OVERWRITE.
    :returns: "loaded", "skipped", "overwritten" or "merged".
    :raises errors.Duplicate: the contents have a name twice.
    """
    now = database.now()

    def work(connection: sa.Connection) -> str:
        try:
            found = metadefs.by_name(connection, namespace.name)
        except errors.NamespaceNotFound:
            metadefs.insert(connection, namespace, now, None, types_protected=True)
            return "loaded"
        if existing == SKIP:
            return "skipped"
        if existing == OVERWRITE:
            metadefs.remove(connection, found)
            metadefs.insert(connection, namespace, now, None, types_protected=True)
            return "overwritten"
        if existing == PREFER_NEW:
            metadefs.overwrite(connection, found, namespace, now)
        for kind, those in namespace.contents.items():
            definitions.merge(connection, found, kind, those, now, existing == PREFER_NEW)
        return "merged"

    return database.write(work)


def export_namespaces(database: Database) -> Iterator[Namespace]:
    """All namespaces with their contents, ordered by name."""
    for row in database.read(lambda connection: connection.execute(metadefs.SELECT_ORDERED).all()):
        namespace = Namespace(*row)
        namespace.contents = database.read(
            functools.partial(definitions.contents, namespace_id=namespace.id)
        )
        yield namespace


def delete_all(database: Database) -> dict[str, int]:
    """Delete all definitions, namespaces and resource types.

    :returns: the number of deleted rows by table.
    """
    tables = (
        *(mapper.table for mapper in definitions.MAPPERS.values()),
        metadef_namespaces,
        metadef_resource_types,
    )

    def work(connection: sa.Connection) -> dict[str, int]:
        return {table.name: connection.execute(table.delete()).rowcount for table in tables}

    return database.write(work)
