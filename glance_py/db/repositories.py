"""All repositories in SQL as one value, built once per process."""

from __future__ import annotations

from oslo_config import cfg

from glance_py.db.cached_images import SqlCachedImages
from glance_py.db.claims import SqlClaims
from glance_py.db.database import Database, open_database
from glance_py.db.definitions import SqlDefinitions
from glance_py.db.idempotency import SqlIdempotentWrites
from glance_py.db.images import SqlImages
from glance_py.db.members import SqlMembers
from glance_py.db.metadefs import SqlNamespaces
from glance_py.db.pending import SqlPending
from glance_py.db.schema_check import SchemaCheck
from glance_py.db.tasks import SqlTasks
from glance_py.db.usage import SqlUsage
from glance_py.domain.ports import Repositories


def sql_repositories(source: Database | cfg.ConfigOpts) -> Repositories:
    """The repositories of a database.  Does not connect.

    :param source: the service's options (an oslo.config ConfigOpts with the
        group ``[database]``) or a :class:`~glance_py.db.database.Database`.
    :raises ValueError: an option cannot be used, see :func:`database.open_database`.
    """
    database = source if isinstance(source, Database) else open_database(source)
    return Repositories(
        images=SqlImages(database),
        members=SqlMembers(database),
        tasks=SqlTasks(database),
        claims=SqlClaims(database),
        usage=SqlUsage(database),
        pending=SqlPending(database),
        cached_images=SqlCachedImages(database),
        namespaces=SqlNamespaces(database),
        definitions=SqlDefinitions(database),
        ping=SchemaCheck(database).check,
        once=SqlIdempotentWrites(database).run_once,
        for_heartbeats=lambda: sql_repositories(database.for_heartbeats()),
    )
