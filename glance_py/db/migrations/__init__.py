"""From one schema of the database to the next.

Revisions are named as operators know them, by release and phase: what a phase
"expand" adds does not disturb processes of the release before, "migrate" moves
data, "contract" removes what only that release needed.  ``2024_1_contract01``
is the state of release 2024.1 and later; the way to it begins at Liberty.
Tables that only this service has are no revisions, see ``extensions``.
alembic is imported only here.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from glance_py.db import errors as db_errors
from glance_py.db import galera
from glance_py.db.engine import Database
from glance_py.db.migrations import own_tables, schema_2024_1
from glance_py.db.migrations.data_migrations import DATA_MIGRATIONS, DataMigration

#: Where each phase ends: the newest revisions.
EXPANDED = "2024_1_expand01"
CONTRACTED = "2024_1_contract01"
#: The oldest revision from which there is a way.
OLDEST_REVISION = "liberty"

#: Marks of early releases, and what they are called since.
_RENAMED_REVISIONS = {"ocata01": "ocata_contract01", "pike01": "pike_contract01"}

_UNKNOWN_REVISION = (
    "The database has tables, but nothing says of which revision. Note it with "
    "'glance-manage db version_control --version REVISION'."
)
#: What one node has made and not finished yet looks the same from another one.
_UNKNOWN_REVISION_ON_GALERA = (
    "The database has tables, but nothing says of which revision. If another process changes the "
    "database through another node of the cluster, wait until it has ended and run this command "
    "again. If there is none, note the revision with "
    "'glance-manage db version_control --version REVISION'."
)


class MigrationError(Exception):
    """The schema cannot be changed as asked; the text says what to do."""


def current_revisions(database: Database) -> tuple[str, ...]:
    """The revisions at which the database is, none for one that is not under control."""
    return database.read(_heads)


def next_phase(database: Database) -> str | None:
    """The phase that is to be done next: expand, migrate or contract; None when all is done.

    :raises MigrationError: the database is at a revision unknown here.
    """
    applied = _applied_revisions(database.read(_heads))
    if EXPANDED not in applied or database.read(own_tables.missing_tables):
        return "expand"
    if CONTRACTED in applied:
        return None
    return "migrate" if _pending_data_migrations(database, applied) else "contract"


def upgrade(database: Database, revision: str = "heads") -> None:
    """Bring the schema to ``revision``; harmless when it is there.

    An empty database gets the tables of 2024.1 at once, and the revisions since then.
    Tables of our own that are missing are created whatever the revision is.

    :raises MigrationError: there is no such revision, or the database is at one
        unknown here, or has tables of an unknown revision.
    """

    def work(connection: sa.Connection) -> None:
        config = _config(connection)
        heads = _heads(connection)
        _applied_revisions(heads)
        if not sa.inspect(connection).has_table("images"):
            schema_2024_1.metadata.create_all(connection)
            # What the tables are, not the newest revision: those since then are still to be run.
            expanding = revision in (EXPANDED, schema_2024_1.EXPANDED)
            command.stamp(
                config,
                schema_2024_1.EXPANDED if expanding else schema_2024_1.CONTRACTED,
                purge=True,
            )
        elif not heads:
            raise MigrationError(
                _UNKNOWN_REVISION_ON_GALERA if galera.is_node(connection) else _UNKNOWN_REVISION
            )
        elif any(head in _RENAMED_REVISIONS for head in heads):
            command.stamp(
                config, [_RENAMED_REVISIONS.get(head, head) for head in heads], purge=True
            )
        command.upgrade(config, revision)
        own_tables.create_missing(connection)

    _run_ddl(database, work)


def migrate(database: Database) -> int:
    """Move the data that the contraction waits for; returns how many rows.

    :raises MigrationError: the database is at a revision unknown here.
    """
    applied = _applied_revisions(database.read(_heads))
    return sum(
        database.write(migration.migrate, lock="data migration")
        for migration in _pending_data_migrations(database, applied)
    )


def stamp(database: Database, revision: str) -> None:
    """Note that the schema is at ``revision`` without changing it.

    :raises MigrationError: there is no such revision.
    """
    # The old mark goes unread: it may be a revision unknown here.
    _run_ddl(database, lambda connection: command.stamp(_config(connection), revision, purge=True))


def _heads(connection: sa.Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


def _pending_data_migrations(database: Database, applied: Iterable[str]) -> list[DataMigration]:
    """The data migrations whose contraction has not been and that have something to do."""
    return [
        migration
        for migration in DATA_MIGRATIONS
        if migration.contract_revision not in applied and database.read(migration.is_needed)
    ]


@functools.cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


def _config(connection: sa.Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(pathlib.Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _applied_revisions(heads: Sequence[str]) -> set[str]:
    """All revisions that a database with these marks has been through.

    :raises MigrationError: a mark is unknown here.
    """
    applied: set[str] = set()
    remaining = [_RENAMED_REVISIONS.get(head, head) for head in heads]
    while remaining:
        name = remaining.pop()
        if name not in applied:
            applied.add(name)
            remaining += _parents(name)
    return applied


def _parents(name: str) -> list[str]:
    try:
        script = _scripts().get_revision(name)
    except CommandError:
        raise MigrationError(
            f"The database is at revision {name}, which is unknown here. Bring it to "
            f"{CONTRACTED} with the release that made it, or restore a newer program."
        ) from None
    parents: list[str] = []
    for revisions in (script.down_revision, script.dependencies):
        parents += [revisions] if isinstance(revisions, str) else revisions or []
    return parents


def _run_ddl(database: Database, work: Callable[[sa.Connection], None]) -> None:
    try:
        database.run_ddl(work)
    except CommandError as error:
        raise MigrationError(str(error)) from None
    except Exception as error:
        if db_errors.is_schema_conflict(error):
            # The lock that keeps others away is a node's; a cluster has several.
            raise MigrationError(
                "Another process changes the tables of this database at this moment. Wait until "
                "it has ended, then run this command again: what is done already is left as "
                "it is."
            ) from error
        raise
