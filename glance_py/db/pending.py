"""Data that is to be deleted from stores: the port ``PendingRepository`` in SQL.

The row of a location is the only record of its data.  Its status is ``pending_delete`` until the
data is deleted from the store, then ``deleted``.  Therefore a process that crashes in between
loses no data (``doc/source/contributor/decisions/0004-data-is-forgotten-last.md``).
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from glance_py.db import claims, image_children
from glance_py.db.database import Database
from glance_py.db.hints import not_deleted
from glance_py.db.location_index import LocationIndex
from glance_py.db.rows import load_metadata
from glance_py.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
)
from glance_py.domain import errors
from glance_py.domain.image import ImageStatus, Location, LocationStatus
from glance_py.domain.ports import PendingData

_PENDING = sa.and_(
    image_locations.c.status == LocationStatus.PENDING_DELETE.value,
    image_locations.c.deleted == sa.true(),
)
_FOUND = (
    sa.select(
        image_locations.c.image_id,
        images.c.status,
        image_locations.c.value,
        image_locations.c.meta_data,
        image_locations.c.status,
        image_locations.c.id,
    )
    .join_from(image_locations, images, image_locations.c.image_id == images.c.id)
    .where(
        _PENDING,
        image_locations.c.id > sa.bindparam("after"),
        image_locations.c.deleted_at <= sa.bindparam("before"),
    )
    .order_by(image_locations.c.id)
    .limit(sa.bindparam("limit"))
)
#: The scrubber deletes the data of images in pending_delete.
_ORPHANED = _FOUND.where(images.c.status != ImageStatus.PENDING_DELETE.value)
_IS_ONE_OF = image_locations.c.id.in_(sa.bindparam("those", expanding=True))
_MARK_DELETED = (
    image_locations.update().where(_IS_ONE_OF, _PENDING).values(status=LocationStatus.DELETED.value)
)
_UNMARK = (
    image_locations.update()
    .where(_IS_ONE_OF, _PENDING)
    .values(status=LocationStatus.ACTIVE.value, deleted=sa.false(), deleted_at=None)
)
#: ``updated_at`` is null while the data of a location is being deleted from the store.  It is not
#: a status of its own, since the scrubber of the original would not know that.
_BEGIN_REMOVAL = image_locations.update().where(_IS_ONE_OF, _PENDING).values(updated_at=None)
_REMOVAL_BEGUN = sa.select(image_locations.c.id).where(
    _IS_ONE_OF, _PENDING, image_locations.c.updated_at.is_(None)
)
_CANCEL_REMOVAL = (
    image_locations.update()
    .where(
        _IS_ONE_OF,
        _PENDING,
        image_locations.c.updated_at.is_(None),
    )
    .values(updated_at=image_locations.c.deleted_at)
)
_IMAGE = images.c.id == sa.bindparam("this_image")
_COMPLETE_DELETION = (
    images.update()
    .where(
        _IMAGE,
        images.c.status == ImageStatus.PENDING_DELETE.value,
        ~sa.exists().where(image_locations.c.image_id == images.c.id, _PENDING),
    )
    .values(status=ImageStatus.DELETED.value)
)
_DELETED_AT = sa.select(images.c.deleted_at).where(
    _IMAGE, images.c.status == sa.bindparam("old_status"), images.c.deleted == sa.true()
)
_RESTORE = (
    images.update()
    .where(_IMAGE)
    .values(status=sa.bindparam("new_status"), deleted=sa.false(), deleted_at=None)
)
#: Children that were deleted together with the image, not those deleted before.
_RESTORE_CHILDREN = tuple(
    table.update()
    .where(
        table.c.image_id == sa.bindparam("this_image"), table.c.deleted_at == sa.bindparam("then")
    )
    .values(deleted=sa.false(), deleted_at=None)
    for table in (image_properties, image_tags, image_members)
)
_RESTORE_LOCATIONS = (
    image_locations.update()
    .where(
        image_locations.c.image_id == sa.bindparam("this_image"),
        _PENDING,
        image_locations.c.deleted_at == sa.bindparam("then"),
        image_locations.c.updated_at.is_not(None),
    )
    .values(status=LocationStatus.ACTIVE.value, deleted=sa.false(), deleted_at=None)
)
_OF_IMAGE = sa.select(image_locations.c.value, image_locations.c.deleted).where(
    image_locations.c.image_id == sa.bindparam("this_image"),
    not_deleted(image_locations) | _PENDING,
)
_ANY_EXISTS = (
    sa.select(sa.literal(1))
    .where(
        images.c.id.in_(sa.bindparam("those", expanding=True)),
        images.c.status != ImageStatus.DELETED.value,
    )
    .limit(1)
)


class SqlPending:
    """Locations whose data is to be deleted.  "Data" is that of the stores."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locations = LocationIndex(database)

    def find(
        self, seconds: float, after: int = 0, limit: int = 100, orphaned: bool = False
    ) -> Sequence[PendingData]:
        """Locations that have been pending for at least ``seconds``, ordered by row id.

        :param after: only rows with a larger id, to continue after the last one found before.
        :param limit: how many at most.
        :param orphaned: only locations that the scrubber does not handle.
        """
        before = self._database.now() - datetime.timedelta(seconds=seconds)
        rows = self._database.read(
            lambda connection: connection.execute(
                _ORPHANED if orphaned else _FOUND,
                {"after": after, "before": before, "limit": limit},
            ).all()
        )
        return [
            PendingData(
                image_id, status, Location(self._decrypt(value), load_metadata(text), state, number)
            )
            for image_id, status, value, text, state, number in rows
        ]

    def add(self, image_id: str, location: Location) -> None:
        """Record the location of data that has no row, as pending: deleting it has failed."""
        now = self._database.now()
        pending = dataclasses.replace(location, status=LocationStatus.PENDING_DELETE)

        def work(connection: sa.Connection) -> None:
            # The data has the name of an attempt, which no later attempt may use before it is
            # deleted.
            claims.keep_row(connection, image_id, now)
            image_children.add_locations(
                connection, image_id, (pending,), now, self._database.cipher
            )

        self._database.write(work)

    def begin_removal(self, locations: Collection[Location]) -> Sequence[int]:
        """Record that the data of these locations is about to be deleted from its store.

        :returns: the ids of those that are still pending; only their data may be deleted.
        """
        numbers = [location.id for location in locations if location.id is not None]

        def work(connection: sa.Connection) -> Sequence[int]:
            connection.execute(_BEGIN_REMOVAL, {"those": numbers})
            return connection.scalars(_REMOVAL_BEGUN, {"those": numbers}).all()

        return self._database.write(work) if numbers else []

    def cancel_removal(self, locations: Collection[Location]) -> None:
        """Undo :meth:`begin_removal`: the data was not deleted."""
        self._set(_CANCEL_REMOVAL, locations)

    def mark_deleted(self, locations: Collection[Location]) -> None:
        """Record that the data of these locations is deleted."""
        self._set(_MARK_DELETED, locations)

    def unmark(self, locations: Collection[Location]) -> None:
        """Make pending locations active again: their data is kept."""
        self._set(_UNMARK, locations)

    def _set(self, statement: sa.Update, locations: Collection[Location]) -> None:
        numbers = [location.id for location in locations if location.id is not None]
        if numbers:
            self._database.write(
                lambda connection: connection.execute(statement, {"those": numbers})
            )

    def complete_deletion(self, image_id: str) -> bool:
        """Set an image from pending_delete to deleted, unless it has pending locations.

        :returns: whether it was set.
        """
        return self._database.write(
            lambda connection: (
                connection.execute(_COMPLETE_DELETION, {"this_image": image_id}).rowcount > 0
            )
        )

    def restore(self, image_id: str, status: str, was: str = ImageStatus.PENDING_DELETE) -> None:
        """Undo the deletion of an image whose data still exists.

        Locations whose data is deleted, or is being deleted, stay deleted.

        :param status: the status to set.
        :param was: the status that the deletion set.
        :raises errors.ImageNotFound: there is no such deleted image.
        :raises errors.CorruptImageData: an active image would have no data.
        """

        def work(connection: sa.Connection) -> None:
            this = {"this_image": image_id}
            row = connection.execute(_DELETED_AT, {**this, "old_status": str(was)}).first()
            if row is None:
                raise errors.ImageNotFound(image_id)
            connection.execute(_RESTORE, {**this, "new_status": str(status)})
            for statement in (*_RESTORE_CHILDREN, _RESTORE_LOCATIONS):
                connection.execute(statement, {**this, "then": row[0]})
            if status == ImageStatus.ACTIVE and not image_children.has_locations(
                connection, image_id
            ):
                raise errors.CorruptImageData(
                    f"The data of image {image_id} is removed, or is being removed; the image "
                    "cannot be restored."
                )

        self._database.write(work)

    def is_shared(self, image_id: str, url: str) -> bool:
        """True when another image has its data at ``url``."""
        return self._locations.has_other_image(image_id, url)

    def statuses_at(self, image_id: str, url: str) -> Collection[str]:
        """The statuses of the image's own locations at ``url``: active, pending_delete, or both."""
        rows = self._database.read(
            lambda connection: connection.execute(_OF_IMAGE, {"this_image": image_id}).all()
        )
        return {
            LocationStatus.PENDING_DELETE if deleted else LocationStatus.ACTIVE
            for value, deleted in rows
            if self._decrypt(value) == url
        }

    def any_exist(self, ids: Collection[str]) -> bool:
        """True when one of ``ids`` is an image that may have data: any status but deleted."""
        return (
            bool(ids)
            and self._database.read(
                lambda connection: connection.execute(_ANY_EXISTS, {"those": list(ids)}).first()
            )
            is not None
        )

    def _decrypt(self, value: str) -> str:
        cipher = self._database.cipher
        return value if cipher is None else cipher.decrypt(value)
