"""From one schema of the database to the next.

Revisions are named as operators know them, by release and phase: what a phase
"expand" adds does not disturb processes of the release before, "migrate" moves
data, "contract" removes what only that release needed.  ``2024_1_contract01``
is the state of release 2024.1 and later.  alembic is imported only here.
"""

from __future__ import annotations

import functools
import pathlib

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from glance_py.db.engine import Database

#: Where each phase ends.
EXPANDED = "2024_1_expand01"
CONTRACTED = "2024_1_contract01"

_ISOLATION = {"sqlite": "SERIALIZABLE"}


class MigrationError(Exception):
    """The schema cannot be changed as asked; the text says what to do."""


def current(database: Database) -> tuple[str, ...]:
    """The revisions at which the database is, none for one that is not under control."""
    return database.read(
        lambda connection: MigrationContext.configure(connection).get_current_heads())


def pending(database: Database) -> str | None:
    """The phase that is to be done next, expand or contract; None when all is done.

    :raises MigrationError: the database is at a revision unknown here.
    """
    heads = current(database)
    if CONTRACTED in heads:
        return None
    if EXPANDED in heads:
        return "contract"
    for head in heads:
        _known(head)
    return "expand"


def upgrade(database: Database, revision: str = "heads") -> None:
    """Bring the schema to ``revision``; harmless when it is there.

    :raises MigrationError: there is no such revision, or the database is at one
        unknown here.
    """
    for head in current(database):
        _known(head)
    _run(database, command.upgrade, revision)


def stamp(database: Database, revision: str) -> None:
    """Note that the schema is at ``revision`` without changing it.

    :raises MigrationError: there is no such revision.
    """
    # The old mark goes unread: it may be a revision unknown here.
    _run(database, functools.partial(command.stamp, purge=True), revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(pathlib.Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def _known(revision: str) -> None:
    try:
        ScriptDirectory.from_config(_config()).get_revision(revision)
    except CommandError:
        raise MigrationError(
            f"The database is at revision {revision}, which is unknown here. Bring it to "
            f"{CONTRACTED} with the release that made it, or restore a newer program."
        ) from None


def _run(database: Database, action, revision: str) -> None:
    """Run one alembic command inside a transaction, where the database has those for tables."""
    config = _config()
    isolation = _ISOLATION.get(database.dialect, "READ COMMITTED")
    with database.engine.connect() as plain:
        connection: sa.Connection = plain.execution_options(isolation_level=isolation)
        config.attributes["connection"] = connection
        try:
            action(config, revision)
            if connection.in_transaction():
                connection.commit()
        except CommandError as error:
            raise MigrationError(str(error)) from None
