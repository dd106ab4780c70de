"""Is the schema of a database the one that this release needs?

The answer comes from the database itself, not from its revision: what counts is
that every table and column is there that requests read and write.
"""

from __future__ import annotations

import sqlalchemy as sa

from glance_py.db.database import Database
from glance_py.db.tables import metadata
from glance_py.domain import errors

#: What there must be.  Tables that are declared here or added to it are required of every
#: database that the service works with.
REQUIRED: sa.MetaData = metadata

#: What to do about a schema that is not complete.
REMEDY = "Run 'glance-manage db sync' with this release."


class SchemaCheck:
    """The schema of one database; looked at until it is complete, not again after that."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_complete = False

    def check(self) -> None:
        """Look whether the database answers and has all that requests need.

        :raises errors.DatabaseUnavailable: it does not answer.
        :raises errors.DatabaseNotReady: something is missing; the text names it, for the log.
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
    """The tables, and columns of the other tables, that are required and not there."""
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
    """At which revision the schema is, in words."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return "without a revision"
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    return f"revision {', '.join(sorted(found))}" if found else "without a revision"
