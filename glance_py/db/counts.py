"""Read-only counts for the upgrade check."""

from __future__ import annotations

import sqlalchemy as sa

from glance_py.db.database import Database
from glance_py.db.tables import image_locations, images


def count_locations_like(database: Database, pattern: str) -> int:
    """How many URLs of locations that are not deleted match an SQL ``LIKE`` pattern."""
    statement = (
        sa.select(sa.func.count())
        .select_from(image_locations)
        .where(image_locations.c.deleted == sa.false(), image_locations.c.value.like(pattern))
    )
    return database.read(lambda connection: connection.scalar(statement)) or 0


def has_more_images_than(database: Database, number: int) -> bool:
    """True when the table has more than ``number`` images, deleted ones included.

    Reads at most ``number`` + 1 rows.
    """
    statement = sa.select(images.c.id).offset(number).limit(1)
    return database.read(lambda connection: connection.scalar(statement)) is not None
