"""What a project occupies: the port ``UsageRepository`` in SQL.

Each number is one statement over the owner's images; nothing is kept.
"""

from __future__ import annotations

import sqlalchemy as sa

from glance_py.db.engine import Database
from glance_py.db.select import live, veiled
from glance_py.db.tables import image_locations, image_properties, images

#: The property that names the stores to which an image is being copied.
COPYING = "os_glance_importing_to_stores"

_OWNED = images.c.owner == sa.bindparam("owner")
_COUNTS = veiled(images.c.status).not_in(("killed", "deleted", "pending_delete"))
_NAMES = sa.func.coalesce(image_properties.c.value, "")
_STORES = (
    (image_properties.c.image_id == images.c.id)
    & (image_properties.c.name == COPYING)
    & live(image_properties)
)
_IS_COPIED = sa.exists().where(_STORES, _NAMES != "")


def _arriving(*statuses: str) -> sa.ColumnElement[bool]:
    """Images whose data is on its way: in one of the states, or being copied."""
    return images.c.status.in_(statuses) | (_COUNTS & _IS_COPIED)


#: As many copies as stores are named, with commas between them; one when none is.
_COMING = 1 + sa.func.length(_NAMES) - sa.func.length(sa.func.replace(_NAMES, ",", ""))


def _storage(*conditions: sa.ColumnElement[bool]) -> sa.Select:
    """One size for each copy that is there, and one for each that is coming."""
    mine = (_OWNED, live(images), *conditions)
    # Counted for one image at a time: a join reads all locations of the catalogue.
    number = (
        sa.select(sa.func.count())
        .where(image_locations.c.image_id == images.c.id, live(image_locations))
        .scalar_subquery()
    )
    copies = sa.select(sa.func.sum(images.c.size * number)).where(*mine, _COUNTS)
    coming = (
        sa.select(sa.func.sum(images.c.size * _COMING))
        .join_from(images, image_properties, _STORES, isouter=True)
        .where(*mine, images.c.status.in_(("saving", "importing")) | (_COUNTS & (_NAMES != "")))
    )
    return sa.select(
        sa.func.coalesce(copies.scalar_subquery(), 0)
        + sa.func.coalesce(coming.scalar_subquery(), 0)
    )


_STORAGE = _storage()
_STORAGE_WITHOUT = _storage(images.c.id != sa.bindparam("without"))
_STAGING = sa.select(sa.func.sum(images.c.size)).where(
    _OWNED, live(images), _arriving("uploading", "importing")
)
_IMAGES = sa.select(sa.func.count()).select_from(images).where(_OWNED, _COUNTS, live(images))
_UPLOADING = (
    sa.select(sa.func.count())
    .select_from(images)
    .where(_OWNED, live(images), _arriving("saving", "uploading", "importing"))
)

_BY_RESOURCE = {
    "storage": _STORAGE,
    "staging": _STAGING,
    "images": _IMAGES,
    "uploading": _UPLOADING,
}


def used(connection: sa.Connection, resource: str, owner: str | None) -> int:
    """What ``owner`` has, as a transaction sees it.

    :param resource: a key of ``domain.reservation.QUOTA_MESSAGES``.
    """
    return int(connection.scalar(_BY_RESOURCE[resource], {"owner": owner}) or 0)


class SqlUsage:
    """Usage counted in a database; sizes in bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def storage(self, owner: str | None, without: str | None = None) -> int:
        """Bytes of all copies of the owner's images, those that are coming included."""
        if without is None:
            return self._number(_STORAGE, owner=owner)
        return self._number(_STORAGE_WITHOUT, owner=owner, without=without)

    def staging(self, owner: str | None) -> int:
        """Bytes of images that are uploading, importing or being copied."""
        return self._number(_STAGING, owner=owner)

    def images(self, owner: str | None) -> int:
        """How many images the owner has."""
        return self._number(_IMAGES, owner=owner)

    def uploading(self, owner: str | None) -> int:
        """How many images are saving, uploading, importing or being copied."""
        return self._number(_UPLOADING, owner=owner)

    def _number(self, statement: sa.Select, **bound: str | None) -> int:
        value = self._database.read(lambda connection: connection.scalar(statement, bound))
        return int(value or 0)
