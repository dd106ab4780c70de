"""What lies in a database, counted, for those who decide about an upgrade.  Changes nothing."""

from __future__ import annotations

import sqlalchemy as sa

from glance_py.db.database import Database
from glance_py.db.tables import image_locations, images


def count_locations_like(database: Database, pattern: str) -> int:
    """How many addresses of data that is in use match an SQL ``LIKE`` pattern."""
    statement = (
        sa.select(sa.func.count())
        .select_from(image_locations)
        .where(image_locations.c.deleted == sa.false(), image_locations.c.value.like(pattern))
    )
    return database.read(lambda connection: connection.scalar(statement)) or 0


def has_more_images_than(database: Database, number: int) -> bool:
    """Are there so many images, deleted ones included?  Looks at no more than those."""
    statement = sa.select(images.c.id).offset(number).limit(1)
    return database.read(lambda connection: connection.scalar(statement)) is not None
