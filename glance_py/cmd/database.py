"""glance-manage db: the commands about the schema and deleted rows of the database.

The docstrings of commands are their help texts; ``manage.py`` builds the parser.  alembic is
imported only by the commands that need it.
"""

from __future__ import annotations

from glance_py.db.database import Database
from glance_py.domain import errors

#: Exit codes of ``db check``.
UP_TO_DATE, NEEDS_EXPAND, NEEDS_MIGRATE, NEEDS_CONTRACT = 0, 3, 4, 5

_UP_TO_DATE_TEXT = "Database is up to date. No migrations needed."


def version(database: Database) -> None:
    """Print the revisions of the schema of the database."""
    from glance_py.db import migrations

    heads = migrations.current_revisions(database)
    print(
        "\n".join(heads)
        if heads
        else "The database is not under migration control yet; run 'glance-manage db sync'."
    )


def check(database: Database) -> int:
    """Check whether the schema needs an upgrade; the exit code is the answer.

    0: up to date; 3: run 'db expand' next; 4: run 'db migrate' next; 5: run
    'db contract' next.  Changes nothing.
    """
    from glance_py.db import migrations

    phase = migrations.next_phase(database)
    if phase is None:
        print("Database is up to date. No upgrades needed.")
        return UP_TO_DATE
    print(f"Your database is not up to date. Your next step is to run `glance-manage db {phase}`.")
    return {"expand": NEEDS_EXPAND, "migrate": NEEDS_MIGRATE, "contract": NEEDS_CONTRACT}[phase]


def sync(database: Database) -> None:
    """Upgrade the database to the newest schema in one step.

    Creates all tables in an empty database.  For a database with data, stop the
    service first, or run 'db expand', 'db migrate' and 'db contract' around a
    rolling upgrade instead.
    """
    from glance_py.db import migrations

    if migrations.next_phase(database) is None:
        print(_UP_TO_DATE_TEXT)
        return
    migrations.upgrade(database)
    print("Database is synced successfully.")


def upgrade(database: Database, revision: str | None) -> None:
    """Upgrade the database to a revision, by default the newest one."""
    from glance_py.db import migrations

    migrations.upgrade(database, revision or "heads")
    _print_revisions(database)


def expand(database: Database) -> None:
    """First phase of a rolling upgrade: add what the new release needs.

    The old release keeps working.
    """
    from glance_py.db import migrations

    if migrations.next_phase(database) != "expand":
        print(_UP_TO_DATE_TEXT)
        return
    migrations.upgrade(database, migrations.expand_head())
    _print_revisions(database)


def migrate(database: Database) -> None:
    """Second phase of a rolling upgrade: move data to new columns and tables."""
    from glance_py.db import migrations

    if migrations.next_phase(database) == "expand":
        raise errors.Conflict("Run 'glance-manage db expand' first.")
    moved = migrations.migrate(database)
    print(
        f"Migrated {moved} rows."
        if moved
        else "Database migration is up to date. No migration needed."
    )


def contract(database: Database) -> None:
    """Last phase of a rolling upgrade: remove what only the old release needs.

    Stop all processes of the old release first.
    """
    from glance_py.db import migrations

    phase = migrations.next_phase(database)
    if phase in ("expand", "migrate"):
        raise errors.Conflict(f"Run 'glance-manage db {phase}' first.")
    if phase is None:
        print(_UP_TO_DATE_TEXT)
        return
    migrations.upgrade(database, migrations.contract_head())
    _print_revisions(database)


def version_control(database: Database, revision: str | None) -> None:
    """Record a revision in a database that is not under migration control.

    Changes no table: use it only if you know the schema of the database.  Without
    a revision it records the oldest one, liberty.
    """
    from glance_py.db import migrations

    revision = revision or migrations.OLDEST_REVISION
    migrations.stamp(database, revision)
    print(f"Placed database under migration control at revision: {revision}")


def purge(database: Database, age_in_days: int, max_rows: int) -> None:
    """Delete rows that were marked deleted long ago, except those of the images table.

    Locations whose data must still be removed are kept, and so are their images:
    these rows are the only record of that data.  glance-scrubber and the service
    remove it.
    """
    from glance_py.db import purge as module

    removed = module.purge(database, age_in_days, max_rows)
    print(f"Removed {removed} rows.")
    if left := module.count_pending_locations(database):
        print(
            f"{left} locations stay until their data is removed (by glance-scrubber, or by the "
            "service)."
        )


def purge_images_table(database: Database, age_in_days: int, max_rows: int) -> None:
    """Delete rows of the images table that were marked deleted long ago.

    Afterwards every user can create an image with one of these ids, which users who
    remember the id may mistake for the old image (OSSN-0075).  Run 'db purge' first.
    """
    from glance_py.db import purge as module

    print(f"Removed {module.purge_images(database, age_in_days, max_rows)} rows.")


def _print_revisions(database: Database) -> None:
    from glance_py.db import migrations

    print(f"Current revision(s): {', '.join(migrations.current_revisions(database))}")
