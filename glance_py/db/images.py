"""The DAL for images: the port ``ImageRepository`` in SQL.

A write is one transaction that touches the image's own row first, so that two
writers of one image follow each other.  Who may do what is decided above.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from glance_py.db import claims, galera, image_children, list_query, rows, usage
from glance_py.db.database import Database
from glance_py.db.hints import not_deleted
from glance_py.db.tables import images
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import ClaimGrant
from glance_py.domain.image import Image
from glance_py.domain.integers import MAX_INT32, MAX_INT64
from glance_py.domain.query import ImageQuery, Page
from glance_py.domain.quota import QuotaReservation

T = TypeVar("T")

_MAX_VALUES = {
    "min_disk": MAX_INT32,
    "min_ram": MAX_INT32,
    "size": MAX_INT64,
    "virtual_size": MAX_INT64,
}

_THIS = images.c.id == sa.bindparam("this_id")
_EXPECTED = images.c.status.in_(sa.bindparam("expected", expanding=True))
_UPDATE = images.update().where(_THIS, not_deleted(images))
_UPDATE_IN_STATUS = _UPDATE.where(_EXPECTED)
_UPDATE_IN_STATUS_AS_HOLDER = _UPDATE_IN_STATUS.where(claims.IS_HOLDER)
_UPDATE_AS_HOLDER = _UPDATE.where(claims.IS_HOLDER)
#: By whether a status is expected, and whether a holder is named.
_UPDATES = {
    (False, False): _UPDATE,
    (True, False): _UPDATE_IN_STATUS,
    (False, True): _UPDATE_AS_HOLDER,
    (True, True): _UPDATE_IN_STATUS_AS_HOLDER,
}
_STATUS = sa.select(images.c.status).where(_THIS, not_deleted(images))
#: States that the service itself ends, together with what belongs to the image.
_TRANSIENT_STATUSES = frozenset({"saving", "importing"})
_COLUMN_NAMES = tuple(column.name for column in rows.COLUMNS)


class SqlImages:
    """Images in a database.  Times are naive UTC, sizes in bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, ctx: Caller, image_id: str) -> Image:
        """The image, whoever may see it.

        :raises errors.ImageNotFound: no such image, or it is deleted.
        """

        def work(connection: sa.Connection) -> Image:
            row = self._row(connection, image_id)
            while True:
                image = rows.to_image(row)
                rows.load_children(connection, ctx, (image,), self._database.cipher)
                if image.status not in _TRANSIENT_STATUSES:
                    return image
                # Was it, while the rest was read, still what its row had said?
                before, row = row, self._row(connection, image_id)
                if row == before:
                    return image

        return self._database.read(work)

    @staticmethod
    def _row(connection: sa.Connection, image_id: str) -> sa.Row:
        row = connection.execute(rows.SELECT_BY_ID, {"image_id": image_id}).first()
        if row is None:
            raise errors.ImageNotFound(image_id)
        return row

    def list(self, ctx: Caller, query: ImageQuery) -> Page:
        """One page of the images that the caller may see and wants.

        :raises errors.MarkerNotFound: there is no image of the marker's id.
        :raises errors.MarkerForbidden: the caller may not see it.
        """

        def work(connection: sa.Connection) -> Page:
            after = _marker(connection, ctx, query) if query.marker is not None else None
            if query.limit == 0:
                return Page([], full=False)
            found = [
                rows.to_image(row) for row in list_query.fetch_page(connection, ctx, query, after)
            ]
            rows.load_children(connection, ctx, found, self._database.cipher)
            return Page(found, full=len(found) == query.limit)

        return self._database.read(work, replica=True)

    def create(
        self, ctx: Caller, image: Image, reservation: QuotaReservation | None = None
    ) -> Image:
        """Record a new image with all that belongs to it.

        :param reservation: the room that the project must have for it.
        :returns: the image with the times that were recorded.
        :raises errors.Duplicate: the id is in use, or was once.
        :raises errors.QuotaExceeded: there is no such room.
        :raises errors.Invalid: a value does not fit into its column.
        """
        now = self._database.now()
        created = dataclasses.replace(
            image,
            created_at=image.created_at or now,
            updated_at=image.updated_at or now,
            tags=list(dict.fromkeys(image.tags)),
            properties=dict(image.properties),
            locations=[dataclasses.replace(location) for location in image.locations],
        )
        row = {name: getattr(created, name) for name in _COLUMN_NAMES}
        _check_ranges(row)

        def work(connection: sa.Connection) -> None:
            connection.execute(images.insert(), {**row, "deleted": False})
            image_children.write_properties(connection, image.id, created.properties, now)
            image_children.add_tags(connection, image.id, created.tags, now)
            image_children.add_locations(
                connection, image.id, created.locations, now, self._database.cipher
            )

        try:
            self._write(work, reservation)
        except errors.Duplicate:
            raise errors.Duplicate(f"Image ID {image.id} is in use or was used before.") from None
        return created

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        """Apply a change, whole or not at all.

        Only what the change names is written.  What others changed since
        ``image`` was read stays, but is not in the answer.

        :returns: ``image`` with the change applied.
        :raises errors.ImageNotFound: the image is gone.
        :raises errors.StatusConflict: the image is in none of ``change.expected``.
        :raises errors.ImageBusy, errors.ImportActive: ``change.acquire`` asks for a claim that
            somebody else holds.
        :raises errors.ClaimLost: ``change.holder`` does not have the claim any more.
        :raises errors.TagNotFound: a tag of ``change.remove_tags`` is not there.
        :raises errors.LastLocation: without a change of status, the image would have no data.
        :raises errors.QuotaExceeded: there is less room than ``change.reservation`` asks for.
        :raises errors.Invalid: a value does not fit into its column.
        """
        _check_ranges(change.fields)
        now = self._database.now()
        fields = {"updated_at": now, **change.fields}

        reserved = _reserved_size(change.reservation)

        def work(connection: sa.Connection) -> Image:
            grant = self._apply_claim_change(connection, image.id, change, now)
            if _changes_children(change):
                galera.certify(connection, images, image.id)
            self._set(
                connection,
                image.id,
                {**fields, **reserved},
                change.expected,
                None if change.release else change.holder,
            )
            after = dataclasses.replace(image, **fields, grant=grant)
            after.properties = _change_properties(connection, image, change, now)
            after.tags = _change_tags(connection, image, change, now)
            after.locations = _change_locations(
                connection, image, change, now, self._database.cipher
            )
            return after

        return self._write(work, change.reservation)

    def _write(self, work: Callable[[sa.Connection], T], reservation: QuotaReservation | None) -> T:
        """Do ``work``, but not when it makes the project have more than ``reservation`` allows."""
        if reservation is None:
            return self._database.write(work)

        def reserved(connection: sa.Connection) -> T:
            result = work(connection)
            reservation.enforce(
                lambda resource, owner: usage.current_usage(connection, resource, owner)
            )
            return result

        return self._database.write(reserved, lock=f"quota of {reservation.owner}")

    def delete(self, ctx: Caller, image: Image, status: str = "deleted") -> None:
        """Mark the image and what belongs to it deleted; its id is never free again.

        The data at its locations is pending until ``PendingRepository.mark_deleted`` hears
        that it is gone.

        :param status: deleted, or pending_delete when the scrubber removes the data.
        :raises errors.ImageNotFound: the image is gone.
        :raises errors.StatusConflict: the image is no longer in ``image.status``.
        """
        now = self._database.now()
        gone = {"status": status, "deleted": True, "deleted_at": now, "updated_at": now}

        def work(connection: sa.Connection) -> None:
            self._set(connection, image.id, gone, (image.status,))
            image_children.delete_all(connection, image.id, now)

        self._database.write(work)

    @staticmethod
    def _apply_claim_change(
        connection: sa.Connection, image_id: str, change: ImageChange, now: datetime.datetime
    ) -> ClaimGrant | None:
        """Take or give back the claim, whose row is always locked before the image's row."""
        if change.remove_locations:
            claims.keep_row(connection, image_id, now)
        if change.acquire is not None:
            return claims.take(connection, image_id, change.acquire, now)
        if change.release is not None and not claims.release(
            connection, image_id, str(change.holder), change.release
        ):
            if connection.execute(_STATUS, {"this_id": image_id}).first() is None:
                raise errors.ImageNotFound(image_id)
            raise errors.ClaimLost(image_id)
        return None

    @staticmethod
    def _set(
        connection: sa.Connection,
        image_id: str,
        fields: dict[str, object],
        expected: Iterable[str] | None,
        holder: str | None = None,
    ) -> None:
        """Write columns of the row, which also keeps other writers of the image away."""
        bound = {"this_id": image_id, **fields}
        if expected is not None:
            bound["expected"] = tuple(expected)
        if holder is not None:
            bound["this_holder"] = holder
        statement = _UPDATES[expected is not None, holder is not None]
        if connection.execute(statement, bound).rowcount == 0:
            if connection.execute(_STATUS, {"this_id": image_id}).first() is None:
                raise errors.ImageNotFound(image_id)
            if holder is not None and not claims.is_held_by(connection, image_id, holder):
                raise errors.ClaimLost(image_id)
            raise errors.StatusConflict(image_id)


def _marker(connection: sa.Connection, ctx: Caller, query: ImageQuery) -> Sequence:
    statement = list_query.marker_query(query.sort, bool(ctx.is_admin))
    row = connection.execute(statement, {"marker": query.marker, "me": ctx.project_id}).first()
    if row is None:
        hidden = connection.execute(_STATUS, {"this_id": query.marker}).first() is not None
        raise (errors.MarkerForbidden if hidden else errors.MarkerNotFound)(query.marker)
    return row


def _reserved_size(reservation: QuotaReservation | None) -> dict[str, int]:
    """The column that stores the reserved bytes; ``rows`` hides it from readers."""
    if reservation is None or reservation.reserve is None:
        return {}
    return {"size": reservation.reserve}


def _check_ranges(fields: dict[str, Any]) -> None:
    for name, bound in _MAX_VALUES.items():
        value = fields.get(name)
        if value is not None and not -bound - 1 <= value <= bound:
            raise errors.Invalid(f"{name} must not be larger than {bound}.")


def _changes_children(change: ImageChange) -> bool:
    """Are rows written that belong to the image?"""
    return bool(
        change.set_properties
        or change.remove_properties
        or change.tags is not None
        or change.add_tags
        or change.remove_tags
        or change.add_locations
        or change.remove_locations
        or change.update_locations
    )


def _change_properties(connection, image: Image, change: ImageChange, now) -> dict[str, str]:
    if not change.set_properties and not change.remove_properties:
        return image.properties
    image_children.delete_properties(
        connection, image.id, change.remove_properties - change.set_properties.keys(), now
    )
    image_children.write_properties(connection, image.id, change.set_properties, now)
    return change.properties_after(image.properties)


def _change_tags(connection, image: Image, change: ImageChange, now) -> list[str]:
    if change.tags is None and not change.add_tags and not change.remove_tags:
        return image.tags
    present = image_children.select_tags(connection, image.id)
    for tag in change.remove_tags:
        if tag not in present:
            raise errors.TagNotFound(tag, image.id)
    wanted = change.tags_after(present)
    # Of a tag that is there twice, as in databases that were written by several nodes of a
    # Galera cluster, one row is left.
    image_children.delete_tags(
        connection,
        [
            number
            for tag, numbers in present.items()
            for number in (numbers[1:] if tag in wanted else numbers)
        ],
        now,
    )
    image_children.add_tags(connection, image.id, wanted - present.keys(), now)
    return [*(tag for tag in present if tag in wanted), *sorted(wanted - present.keys())]


def _change_locations(connection, image: Image, change: ImageChange, now, cipher) -> list:
    if not (change.add_locations or change.remove_locations or change.update_locations):
        return image.locations
    image_children.delete_locations(connection, image.id, change.remove_locations, now)
    if (
        change.remove_locations
        and not change.add_locations
        and "status" not in change.fields
        and not image_children.has_locations(connection, image.id)
    ):
        # Two who each remove one of two copies at the same time must not remove both.
        raise errors.LastLocation(image.id)
    image_children.update_locations(connection, image.id, change.update_locations, now)
    added = [dataclasses.replace(location) for location in change.add_locations]
    image_children.add_locations(connection, image.id, added, now, cipher)
    rewritten = {location.id: location for location in change.update_locations}
    removed = {location.id for location in change.remove_locations}
    kept = [
        rewritten.get(location.id, location)
        for location in image.locations
        if location.id not in removed
    ]
    if not change.location_indexes:
        return [*kept, *added]
    for position, location in zip(change.location_indexes, added, strict=True):
        kept.insert(position, location)
    return kept
