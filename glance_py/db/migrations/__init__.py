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
from glance_py.db.migrations import extensions, schema_2024_1
from glance_py.db.migrations.data import MIGRATIONS, Migration

#: Where each phase ends: the newest revisions.
EXPANDED = "2024_1_expand01"
CONTRACTED = "2024_1_contract01"
#: The oldest revision from which there is a way.
OLDEST = "liberty"

#: Marks of early releases, and what they are called since.
_RENAMED = {"ocata01": "ocata_contract01", "pike01": "pike_contract01"}

_UNMARKED = (
    "The database has tables, but nothing says of which revision. Note it with "
    "'glance-manage db version_control --version REVISION'."
)
#: What one node has made and not finished yet looks the same from another one.
_UNMARKED_ON_GALERA = (
    "The database has tables, but nothing says of which revision. If another process changes the "
    "database through another node of the cluster, wait until it has ended and run this command "
    "again. If there is none, note the revision with "
    "'glance-manage db version_control --version REVISION'."
)


class MigrationError(Exception):
    """The schema cannot be changed as asked; the text says what to do."""


def current(database: Database) -> tuple[str, ...]:
    """The revisions at which the database is, none for one that is not under control."""
    return database.read(_marks)


def pending(database: Database) -> str | None:
    """The phase that is to be done next: expand, migrate or contract; None when all is done.

    :raises MigrationError: the database is at a revision unknown here.
    """
    reached = _reached(database.read(_marks))
    if EXPANDED not in reached or database.read(extensions.missing):
        return "expand"
    if CONTRACTED in reached:
        return None
    return "migrate" if _unmoved(database, reached) else "contract"


def upgrade(database: Database, revision: str = "heads") -> None:
    """Bring the schema to ``revision``; harmless when it is there.

    An empty database gets the tables of 2024.1 at once, and the revisions since then.
    Tables of our own that are missing are created whatever the revision is.

    :raises MigrationError: there is no such revision, or the database is at one
        unknown here, or has tables of an unknown revision.
    """

    def work(connection: sa.Connection) -> None:
        config = _config(connection)
        marks = _marks(connection)
        _reached(marks)
        if not sa.inspect(connection).has_table("images"):
            schema_2024_1.metadata.create_all(connection)
            # What the tables are, not the newest revision: those since then are still to be run.
            expanding = revision in (EXPANDED, schema_2024_1.EXPANDED)
            command.stamp(
                config,
                schema_2024_1.EXPANDED if expanding else schema_2024_1.CONTRACTED,
                purge=True,
            )
        elif not marks:
            raise MigrationError(_UNMARKED_ON_GALERA if galera.is_node(connection) else _UNMARKED)
        elif any(mark in _RENAMED for mark in marks):
            command.stamp(config, [_RENAMED.get(mark, mark) for mark in marks], purge=True)
        command.upgrade(config, revision)
        extensions.create_missing(connection)

    _alter(database, work)


def migrate(database: Database) -> int:
    """Move the data that the contraction waits for; returns how many rows.

    :raises MigrationError: the database is at a revision unknown here.
    """
    reached = _reached(database.read(_marks))
    return sum(
        database.write(migration.migrate, alone="data migration")
        for migration in _unmoved(database, reached)
    )


def stamp(database: Database, revision: str) -> None:
    """Note that the schema is at ``revision`` without changing it.

    :raises MigrationError: there is no such revision.
    """
    # The old mark goes unread: it may be a revision unknown here.
    _alter(database, lambda connection: command.stamp(_config(connection), revision, purge=True))


def _marks(connection: sa.Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


def _unmoved(database: Database, reached: Iterable[str]) -> list[Migration]:
    """The data migrations whose contraction has not been and that have something to do."""
    return [
        migration
        for migration in MIGRATIONS
        if migration.before not in reached and database.read(migration.is_needed)
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


def _reached(marks: Sequence[str]) -> set[str]:
    """All revisions that a database with these marks has been through.

    :raises MigrationError: a mark is unknown here.
    """
    reached: set[str] = set()
    ahead = [_RENAMED.get(mark, mark) for mark in marks]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += _before(name)
    return reached


def _before(name: str) -> list[str]:
    try:
        script = _scripts().get_revision(name)
    except CommandError:
        raise MigrationError(
            f"The database is at revision {name}, which is unknown here. Bring it to "
            f"{CONTRACTED} with the release that made it, or restore a newer program."
        ) from None
    before: list[str] = []
    for revisions in (script.down_revision, script.dependencies):
        before += [revisions] if isinstance(revisions, str) else revisions or []
    return before


def _alter(database: Database, work: Callable[[sa.Connection], None]) -> None:
    try:
        database.alter(work)
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
