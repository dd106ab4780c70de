"""Usage of quotas by a project: the port ``UsageRepository`` in SQL.

Each number is counted by one statement over the owner's images; no totals are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from glance_py.db.database import Database
from glance_py.db.hints import no_index, not_deleted
from glance_py.db.tables import image_locations, image_properties, images
from glance_py.domain.image import ImageStatus
from glance_py.domain.importing import PENDING_STORES

_OWNED = images.c.owner == sa.bindparam("owner")
_IS_COUNTED = no_index(images.c.status).not_in(
    (ImageStatus.KILLED.value, ImageStatus.DELETED.value, ImageStatus.PENDING_DELETE.value)
)
_STORE_NAMES = sa.func.coalesce(image_properties.c.value, "")
_IS_COPY_PROPERTY = (
    (image_properties.c.image_id == images.c.id)
    & (image_properties.c.name == PENDING_STORES)
    & not_deleted(image_properties)
)
_IS_COPIED = sa.exists().where(_IS_COPY_PROPERTY, _STORE_NAMES != "")


def _is_incoming(*statuses: ImageStatus) -> sa.ColumnElement[bool]:
    """Images that receive data: in one of ``statuses``, or copied to further stores."""
    return images.c.status.in_(_values(statuses)) | (_IS_COUNTED & _IS_COPIED)


def _values(statuses: Sequence[ImageStatus]) -> list[str]:
    return [status.value for status in statuses]


#: The number of names in a list with commas between them; 1 when it is empty.
_PENDING_COPIES = (
    1 + sa.func.length(_STORE_NAMES) - sa.func.length(sa.func.replace(_STORE_NAMES, ",", ""))
)


def _storage(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Bytes of the owner's images, once for each copy that exists or is being written."""
    conditions_of_owner = (_OWNED, not_deleted(images), *conditions)
    # A scalar subquery counts for one image at a time; for a join, planners read all locations.
    number = (
        sa.select(sa.func.count())
        .where(image_locations.c.image_id == images.c.id, not_deleted(image_locations))
        .scalar_subquery()
    )
    copies = sa.select(sa.func.sum(images.c.size * number)).where(*conditions_of_owner, _IS_COUNTED)
    pending = (
        sa.select(sa.func.sum(images.c.size * _PENDING_COPIES))
        .join_from(images, image_properties, _IS_COPY_PROPERTY, isouter=True)
        .where(
            *conditions_of_owner,
            images.c.status.in_(_values((ImageStatus.SAVING, ImageStatus.IMPORTING)))
            | (_IS_COUNTED & (_STORE_NAMES != "")),
        )
    )
    return sa.select(
        sa.func.coalesce(copies.scalar_subquery(), 0)
        + sa.func.coalesce(pending.scalar_subquery(), 0)
    )


_STORAGE = _storage()
_STORAGE_WITHOUT = _storage(images.c.id != sa.bindparam("without"))
_STAGING = sa.select(sa.func.sum(images.c.size)).where(
    _OWNED, not_deleted(images), _is_incoming(ImageStatus.UPLOADING, ImageStatus.IMPORTING)
)
_IMAGES = (
    sa.select(sa.func.count()).select_from(images).where(_OWNED, _IS_COUNTED, not_deleted(images))
)
_UPLOADING = (
    sa.select(sa.func.count())
    .select_from(images)
    .where(
        _OWNED,
        not_deleted(images),
        _is_incoming(ImageStatus.SAVING, ImageStatus.UPLOADING, ImageStatus.IMPORTING),
    )
)

_BY_RESOURCE = {
    "storage": _STORAGE,
    "staging": _STAGING,
    "images": _IMAGES,
    "uploading": _UPLOADING,
}


def current_usage(connection: sa.Connection, resource: str, owner: str | None) -> int:
    """The usage of ``owner``, as the transaction on ``connection`` sees it.

    :param resource: a key of ``domain.quota.RESOURCES``.
    """
    return int(connection.scalar(_BY_RESOURCE[resource], {"owner": owner}) or 0)


class SqlUsage:
    """Counts usage in a database; sizes in bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def storage(self, owner: str | None, without: str | None = None) -> int:
        """Bytes of all copies of the owner's images, also of those that are being written.

        :param without: the id of an image that is not counted.
        """
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

    def _number(self, statement: sa.Select[Any], **bound: str | None) -> int:
        value = self._database.read(lambda connection: connection.scalar(statement, bound))
        return int(value or 0)
