"""Checks that a database has the tables and columns that this release needs.

It reads the tables themselves and not the recorded revision, which may be wrong.
"""

from __future__ import annotations

import sqlalchemy as sa

from glance_py.db.database import Database
from glance_py.db.tables import metadata
from glance_py.domain import errors

#: The tables that every database must have.
REQUIRED: sa.MetaData = metadata

#: Added to the message about an incomplete schema.
REMEDY = "Run 'glance-manage db sync' with this release."


class SchemaCheck:
    """Checks one database; its schema is not read again after it was found complete."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_complete = False

    def check(self) -> None:
        """Check that the database answers and that its schema is complete.

        :raises errors.DatabaseUnavailable: it does not answer.
        :raises errors.DatabaseNotReady: tables or columns are missing; the text names them.
        """
        if self._is_complete:
            self._database.ping()
            return
        missing, revisions = self._database.read(
            lambda connection: (missing_parts(connection), _describe_revisions(connection))
        )
        if missing:
            raise errors.DatabaseNotReady(
                f"The database ({revisions}) lacks {', '.join(missing)}. {REMEDY}"
            )
        self._is_complete = True


def missing_parts(connection: sa.Connection) -> list[str]:
    """The required tables, and columns of existing tables, that are missing, as phrases."""
    inspector = sa.inspect(connection)
    present = set(inspector.get_table_names())
    missing = [f"table {name}" for name in REQUIRED.tables if name not in present]
    columns = inspector.get_multi_columns(
        filter_names=[name for name in REQUIRED.tables if name in present]
    )
    for (_schema, name), found in columns.items():
        names = {column["name"] for column in found}
        missing += [
            f"column {name}.{column.name}"
            for column in REQUIRED.tables[name].columns
            if column.name not in names
        ]
    return missing


def _describe_revisions(connection: sa.Connection) -> str:
    """The recorded revisions, as a phrase for messages."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return "without a revision"
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    return f"revision {', '.join(sorted(found))}" if found else "without a revision"
