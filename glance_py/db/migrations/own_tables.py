"""Tables that only this service has, besides the schema that it shares with the original.

They have no revision in ``alembic_version``: Glance refuses a database with a revision that it
does not know, and it must accept this one when an operator returns to it.  Every upgrade creates
those that the database does not have.

To add one, declare it in ``glance_py/db/tables.py`` and append it to ``OWN_TABLES``.  Once
released, its columns are final: a table that exists is not changed.  A change needs a further
table, or a revision.
"""

from __future__ import annotations

import sqlalchemy as sa

from glance_py.db import tables


def missing_tables(connection: sa.Connection) -> list[sa.Table]:
    """Those of OWN_TABLES that the database does not have.  Changes nothing."""
    if not tables.OWN_TABLES:
        return []
    inspector = sa.inspect(connection)
    return [table for table in tables.OWN_TABLES if not inspector.has_table(table.name)]


def create_missing(connection: sa.Connection) -> list[str]:
    """Create those of OWN_TABLES that are missing, with their indexes.

    Can be repeated, also after an interrupted call.

    :returns: the names of the created tables.
    """
    absent = missing_tables(connection)
    for table in absent:
        table.create(connection, checkfirst=True)
    return [table.name for table in absent]
