"""The catalogue of metadata definitions as a whole: filled from files, read out, emptied.

For the operator's tool.  What is put in this way has, as files tell nothing of
it, no time of its last change until it is changed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from glance_py.db import definitions, metadefs
from glance_py.db.database import Database
from glance_py.db.tables import metadef_namespaces, metadef_resource_types
from glance_py.domain import errors
from glance_py.domain.metadef import Namespace

#: What to do with a namespace that is there already: leave it, add to it what is new, also
#: replace what is there, or put the new one in its place.
SKIP, MERGE, PREFER_NEW, OVERWRITE = "skip", "add", "prefer new", "overwrite"


def import_namespace(database: Database, namespace: Namespace, existing: str) -> str:
    """Record a namespace with its contents, in one transaction.

    :param existing: SKIP, ADD, PREFER_NEW or OVERWRITE.
    :returns: what was done, in one word.
    :raises errors.Duplicate: a name is there twice.
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
    """All namespaces with their contents, in order of their names."""
    for row in database.read(lambda connection: connection.execute(metadefs.SELECT_ORDERED).all()):
        namespace = Namespace(*row)
        namespace.contents = database.read(
            functools.partial(definitions.contents, namespace_id=namespace.id)
        )
        yield namespace


def delete_all(database: Database) -> dict[str, int]:
    """Remove every definition, namespace and resource type.

    :returns: how many rows of which table were removed.
    """
    tables = (
        *(mapper.table for mapper in definitions.MAPPERS.values()),
        metadef_namespaces,
        metadef_resource_types,
    )

    def work(connection: sa.Connection) -> dict[str, Any]:
        return {table.name: connection.execute(table.delete()).rowcount for table in tables}

    return database.write(work)
