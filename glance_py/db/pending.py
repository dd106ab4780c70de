"""The DAL for data that is to be removed: port ``PendingRepository`` in SQL.

A location keeps its row until its data is gone for good: ``pending_delete``
says that the bytes are still there, ``deleted`` that they are not.  So a
process may die at any moment and nothing is lost sight of.
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
from glance_py.domain.image import Location
from glance_py.domain.ports import PendingData

_PENDING = sa.and_(
    image_locations.c.status == "pending_delete", image_locations.c.deleted == sa.true()
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
#: Data of images that are kept for the scrubber is not stray.
_ORPHANED = _FOUND.where(images.c.status != "pending_delete")
_IS_ONE_OF = image_locations.c.id.in_(sa.bindparam("those", expanding=True))
_MARK_DELETED = image_locations.update().where(_IS_ONE_OF, _PENDING).values(status="deleted")
_UNMARK = (
    image_locations.update()
    .where(_IS_ONE_OF, _PENDING)
    .values(status="active", deleted=sa.false(), deleted_at=None)
)
#: Bytes of a location without updated_at may be gone any moment.  A further status would not be
#: understood by the original's scrubber.
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
        images.c.status == "pending_delete",
        ~sa.exists().where(image_locations.c.image_id == images.c.id, _PENDING),
    )
    .values(status="deleted")
)
_DELETED_AT = sa.select(images.c.deleted_at).where(
    _IMAGE, images.c.status == sa.bindparam("old_status"), images.c.deleted == sa.true()
)
_RESTORE = (
    images.update()
    .where(_IMAGE)
    .values(status=sa.bindparam("new_status"), deleted=sa.false(), deleted_at=None)
)
#: What was deleted together with the image; what was deleted before stays deleted.
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
    .values(status="active", deleted=sa.false(), deleted_at=None)
)
_OF_IMAGE = sa.select(image_locations.c.value, image_locations.c.deleted).where(
    image_locations.c.image_id == sa.bindparam("this_image"),
    not_deleted(image_locations) | _PENDING,
)
_ANY_EXISTS = (
    sa.select(sa.literal(1))
    .where(images.c.id.in_(sa.bindparam("those", expanding=True)), images.c.status != "deleted")
    .limit(1)
)


class SqlPending:
    """Data that is to be removed, and whose it is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locations = LocationIndex(database)

    def find(
        self, seconds: float, after: int = 0, limit: int = 100, orphaned: bool = False
    ) -> Sequence[PendingData]:
        """Data that has been waiting for at least ``seconds``, by row number.

        :param after: the row number of the last one found before.
        :param orphaned: only what no scrubber waits for.
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
        """Data that was never recorded could not be removed; it is to be removed later."""
        now = self._database.now()
        pending = dataclasses.replace(location, status="pending_delete")

        def work(connection: sa.Connection) -> None:
            # The name is that of an attempt, and no later one may use it before the data is gone.
            claims.keep_row(connection, image_id, now)
            image_children.add_locations(
                connection, image_id, (pending,), now, self._database.cipher
            )

        self._database.write(work)

    def begin_removal(self, locations: Collection[Location]) -> Sequence[int]:
        """Note that the data at these locations is about to be removed.

        :returns: the ids of the locations that are still pending, which alone may be removed.
        """
        numbers = [location.id for location in locations if location.id is not None]

        def work(connection: sa.Connection) -> Sequence[int]:
            connection.execute(_BEGIN_REMOVAL, {"those": numbers})
            return connection.scalars(_REMOVAL_BEGUN, {"those": numbers}).all()

        return self._database.write(work) if numbers else []

    def cancel_removal(self, locations: Collection[Location]) -> None:
        """The data at these locations was not removed after all."""
        self._set(_CANCEL_REMOVAL, locations)

    def mark_deleted(self, locations: Collection[Location]) -> None:
        """The data at these locations is gone."""
        self._set(_MARK_DELETED, locations)

    def unmark(self, locations: Collection[Location]) -> None:
        """The data at these locations stays after all."""
        self._set(_UNMARK, locations)

    def _set(self, statement: sa.Update, locations: Collection[Location]) -> None:
        numbers = [location.id for location in locations if location.id is not None]
        if numbers:
            self._database.write(
                lambda connection: connection.execute(statement, {"those": numbers})
            )

    def complete_deletion(self, image_id: str) -> bool:
        """Call an image deleted when no data of it is left; False when there is some."""
        return self._database.write(
            lambda connection: (
                connection.execute(_COMPLETE_DELETION, {"this_image": image_id}).rowcount > 0
            )
        )

    def restore(self, image_id: str, status: str, was: str = "pending_delete") -> None:
        """Undo the deletion of an image whose data is still there.

        Locations whose data is gone, or may go at any moment, stay deleted.

        :param status: the state in which it comes back.
        :param was: the state in which the deletion left it.
        :raises errors.ImageNotFound: there is no such deleted image.
        :raises errors.CorruptImageData: an active image would have no data.
        """

        def work(connection: sa.Connection) -> None:
            this = {"this_image": image_id}
            row = connection.execute(_DELETED_AT, {**this, "old_status": was}).first()
            if row is None:
                raise errors.ImageNotFound(image_id)
            connection.execute(_RESTORE, {**this, "new_status": status})
            for statement in (*_RESTORE_CHILDREN, _RESTORE_LOCATIONS):
                connection.execute(statement, {**this, "then": row[0]})
            if status == "active" and not image_children.has_locations(connection, image_id):
                raise errors.CorruptImageData(
                    f"The data of image {image_id} is removed, or is being removed; the image "
                    "cannot be restored."
                )

        self._database.write(work)

    def is_shared(self, image_id: str, url: str) -> bool:
        """Does another image have its data at this address?"""
        return self._locations.has_other_image(image_id, url)

    def statuses_at(self, image_id: str, url: str) -> Collection[str]:
        """Of the image's own locations with this address: active, pending_delete, or both."""
        rows = self._database.read(
            lambda connection: connection.execute(_OF_IMAGE, {"this_image": image_id}).all()
        )
        return {
            "pending_delete" if deleted else "active"
            for value, deleted in rows
            if self._decrypt(value) == url
        }

    def any_exist(self, ids: Collection[str]) -> bool:
        """Is one of these the id of an image whose data may be there?"""
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
