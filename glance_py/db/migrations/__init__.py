"""Schema migrations with alembic.

Revisions have the names that operators know, of release and phase.  Phase "expand" adds what the
new release needs and disturbs no process of the release before, "migrate" moves data, "contract"
removes what only the release before needed.  Expansions and contractions are two alembic branches
(the labels ``expand`` and ``contract``); a contraction depends on the expansion of its release.
The chain begins at release Liberty.  Its heads are read from the files in ``versions``: no
constant repeats them.

An empty database does not run the chain from its beginning.  It gets the tables of the snapshot
(``schema_2024_1``), is stamped with the revision of the snapshot and then runs the revisions that
are newer (``tests/contract/dal/upgrade_cases.py`` adds a release to prove it).

Tables that only this service has are not part of the chain, see ``own_tables``.  Only this package
imports alembic.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

from glance_py.db import errors as db_errors
from glance_py.db import galera
from glance_py.db.database import Database
from glance_py.db.migrations import own_tables
from glance_py.db.migrations import schema_2024_1 as snapshot
from glance_py.db.migrations.data_migrations import DATA_MIGRATIONS, DataMigration

#: A step of a rolling upgrade.
Phase = Literal["expand", "migrate", "contract"]

#: The first revision of the chain.
OLDEST_REVISION = "liberty"

#: Revisions of early releases: the name in old databases, and the name in the chain.
_RENAMED_REVISIONS = {"ocata01": "ocata_contract01", "pike01": "pike_contract01"}

_UNKNOWN_REVISION = (
    "The database has tables, but no revision is recorded in it. Record it with "
    "'glance-manage db version_control --version REVISION'."
)
#: On a Galera node this state is also seen while another node creates the tables
#: (``tests/contract/dal/galera_cases.py``).
_UNKNOWN_REVISION_ON_GALERA = (
    "The database has tables, but no revision is recorded in it. If another process changes the "
    "database through another node of the cluster, wait until it has ended and run this command "
    "again. If there is none, record the revision with "
    "'glance-manage db version_control --version REVISION'."
)


class MigrationError(Exception):
    """The schema cannot be changed as requested; the text says what to do."""


def expand_head() -> str:
    """The newest expansion of the chain."""
    return _head("expand")


def contract_head() -> str:
    """The newest contraction of the chain."""
    return _head("contract")


def newest_revisions() -> tuple[str, ...]:
    """The revisions that a fully upgraded database is marked with, as ``current_revisions``.

    One when the newest contraction depends on the newest expansion, else both.
    """
    expanded, contracted = expand_head(), contract_head()
    if expanded in _applied_revisions((contracted,)):
        return (contracted,)
    return tuple(sorted((contracted, expanded)))


def current_revisions(database: Database) -> tuple[str, ...]:
    """The revisions that the database is marked with, in alphabetical order; empty without one."""
    return database.read(_heads)


def next_phase(database: Database) -> Phase | None:
    """The phase that must run next; None when the schema is up to date.

    :raises MigrationError: the chain does not have the revision of the database.
    """
    applied = _applied_revisions(database.read(_heads))
    if expand_head() not in applied or database.read(own_tables.missing_tables):
        return "expand"
    if contract_head() in applied:
        return None
    return "migrate" if _pending_data_migrations(database, applied) else "contract"


def upgrade(database: Database, revision: str = "heads") -> None:
    """Upgrade the schema to ``revision``; does nothing when it is there already.

    An empty database gets the tables of the snapshot, also when ``revision`` is older, and then
    the revisions between the snapshot and ``revision``.  Tables that only this service has are
    created whatever ``revision`` is.

    :raises MigrationError: the chain does not have ``revision`` or the revision of the database,
        or the database has tables and no revision.
    """

    def work(connection: sa.Connection) -> None:
        config = _config(connection)
        heads = _heads(connection)
        _applied_revisions(heads)
        if not sa.inspect(connection).has_table("images"):
            snapshot.metadata.create_all(connection)
            command.stamp(config, _snapshot_revision(revision), purge=True)
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
    """Run the data migrations that the next contraction relies on.

    :returns: the number of rows that were changed.
    :raises MigrationError: the chain does not have the revision of the database.
    """
    applied = _applied_revisions(database.read(_heads))
    return sum(
        database.write(migration.migrate, lock="data migration")
        for migration in _pending_data_migrations(database, applied)
    )


def stamp(database: Database, revision: str) -> None:
    """Mark the database with ``revision`` without changing other tables.

    :raises MigrationError: the chain does not have ``revision``.
    """
    # ``purge`` skips reading the old mark, which may be a revision that the chain does not have.
    _run_ddl(database, lambda connection: command.stamp(_config(connection), revision, purge=True))


def _heads(connection: sa.Connection) -> tuple[str, ...]:
    return tuple(sorted(MigrationContext.configure(connection).get_current_heads()))


def _pending_data_migrations(database: Database, applied: Iterable[str]) -> list[DataMigration]:
    """Data migrations whose contraction is not in ``applied`` and that have rows to change."""
    return [
        migration
        for migration in DATA_MIGRATIONS
        if migration.contract_revision not in applied and database.read(migration.is_needed)
    ]


def _snapshot_revision(target: str) -> str:
    """The revision to stamp on an empty database that is upgraded to ``target``.

    After an expansion, ``glance-manage db contract`` is still to be run.
    """
    try:
        applied = _applied_revisions((target,))
    except MigrationError:
        # A symbolic name such as "heads", or a name that ``command.upgrade`` refuses.
        return snapshot.CONTRACTED
    is_expansion = snapshot.EXPANDED in applied and snapshot.CONTRACTED not in applied
    return snapshot.EXPANDED if is_expansion else snapshot.CONTRACTED


@functools.cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


def _head(branch: str) -> str:
    return _script(f"{branch}@head").revision


def _script(name: str) -> Script:
    """:raises CommandError: the chain does not have it."""
    script = _scripts().get_revision(name)
    if script is None:
        raise CommandError(f"Can't locate revision identified by '{name}'")
    return script


def _config(connection: sa.Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(pathlib.Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _applied_revisions(heads: Sequence[str]) -> set[str]:
    """All revisions that a database marked with ``heads`` has run, ``heads`` included.

    :raises MigrationError: the chain does not have one of ``heads``.
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
    """The revisions that ``name`` follows and depends on.

    :raises MigrationError: the chain does not have ``name``.
    """
    try:
        script = _script(name)
    except CommandError:
        raise MigrationError(
            f"The database is at revision {name}, which this release does not know. Bring it to "
            f"{snapshot.CONTRACTED} with the release that made it, or use a newer release of "
            "this service."
        ) from None
    parents: list[str] = []
    for revisions in (script.down_revision, script.dependencies):
        parents += [revisions] if isinstance(revisions, str) else revisions or []
    return parents


def _run_ddl(database: Database, work: Callable[[sa.Connection], None]) -> None:
    """Run ``work`` with :meth:`Database.run_ddl`.

    :raises MigrationError: alembic refuses, or another process changes the same tables.
    """
    try:
        database.run_ddl(work)
    except CommandError as error:
        raise MigrationError(str(error)) from None
    except Exception as error:
        if db_errors.is_schema_conflict(error):
            # A lock of MySQL holds on one node of a Galera cluster, not on the others
            # (``tests/contract/dal/galera_cases.py``).
            raise MigrationError(
                "Another process changes the tables of this database at this moment. Wait until "
                "it has ended, then run this command again: it continues where this one stopped."
            ) from error
        raise
