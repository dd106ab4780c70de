"""Tables that only this service has, beside the schema shared with the original.

They have no revision in ``alembic_version``: a Glance of the same schema refuses a
database whose mark it does not know, and it must accept this one when an operator
returns to it.  Whether a table is there is read from the catalogue of the server
instead, and every upgrade creates what is missing.

To add one, declare it in ``glance_py/db/tables.py`` and append it to ``OWN_TABLES``.
Once released its shape is final: a table that exists is left as it is.  What has to
change goes into a further table, or is a revision after all.
"""

from __future__ import annotations

import sqlalchemy as sa

from glance_py.db import tables


def missing_tables(connection: sa.Connection) -> list[sa.Table]:
    """The tables of our own that the database does not have; reads its catalogue only."""
    if not tables.OWN_TABLES:
        return []
    inspector = sa.inspect(connection)
    return [table for table in tables.OWN_TABLES if not inspector.has_table(table.name)]


def create_missing(connection: sa.Connection) -> list[str]:
    """Create the tables of our own that are missing, with their indexes.

    Harmless when all are there, and when an interrupted call has created some.

    :returns: the names of those that were created.
    """
    absent = missing_tables(connection)
    for table in absent:
        table.create(connection, checkfirst=True)
    return [table.name for table in absent]
