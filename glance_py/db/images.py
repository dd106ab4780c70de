"""Images: the port ``ImageRepository`` in SQL.

A write is one transaction that updates the row of the image before its children, so that two
writers of one image run one after the other.  Layers above authorise.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from glance_py.db import claims, galera, image_children, list_query, rows, usage
from glance_py.db.cipher import UrlCipher
from glance_py.db.database import Database
from glance_py.db.hints import not_deleted
from glance_py.db.tables import images
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import ClaimGrant
from glance_py.domain.image import Image, ImageStatus, Location
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
#: By (a status is expected, a claim holder is named).
_UPDATES = {
    (False, False): _UPDATE,
    (True, False): _UPDATE_IN_STATUS,
    (False, True): _UPDATE_AS_HOLDER,
    (True, True): _UPDATE_IN_STATUS_AS_HOLDER,
}
_STATUS = sa.select(images.c.status).where(_THIS, not_deleted(images))
#: States that the service ends by itself, in one transaction with changes of children.
_TRANSIENT_STATUSES = frozenset({ImageStatus.SAVING, ImageStatus.IMPORTING})
_COLUMN_NAMES = tuple(column.name for column in rows.COLUMNS)


class SqlImages:
    """Images in a database.  Times are naive UTC, sizes in bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, ctx: Caller, image_id: str) -> Image:
        """The image, whether the caller may see it or not.

        :raises errors.ImageNotFound: no such image, or it is deleted.
        """

        def work(connection: sa.Connection) -> Image:
            row = self._row(connection, image_id)
            while True:
                image = rows.to_image(row)
                rows.load_children(connection, ctx, (image,), self._database.cipher)
                if image.status not in _TRANSIENT_STATUSES:
                    return image
                # Its end may lie between the two statements (``tests/unit/db/test_images.py``):
                # then row and children do not belong together.
                before, row = row, self._row(connection, image_id)
                if row == before:
                    return image

        return self._database.read(work)

    @staticmethod
    def _row(connection: sa.Connection, image_id: str) -> sa.Row[Any]:
        row = connection.execute(rows.SELECT_BY_ID, {"image_id": image_id}).first()
        if row is None:
            raise errors.ImageNotFound(image_id)
        return row

    def list(self, ctx: Caller, query: ImageQuery) -> Page:
        """One page of the images that match ``query`` and that the caller may see.

        :raises errors.MarkerNotFound: there is no image with the marker's id.
        :raises errors.MarkerForbidden: the caller may not see the marker.
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
        """Insert a new image with its children.

        :param reservation: the quota to enforce in the same transaction.
        :returns: the image with its times.
        :raises errors.Duplicate: the id is in use, or was before.
        :raises errors.QuotaExceeded: the quota has not enough left.
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
        """Apply a change in one transaction.

        Only what the change names is written.  Other changes since ``image`` was read stay in
        the database, but are not in the returned image.

        :returns: ``image`` with the change applied.
        :raises errors.ImageNotFound: the image is deleted.
        :raises errors.StatusConflict: the status of the image is none of ``change.expected``.
        :raises errors.ImageBusy, errors.ImportActive: ``change.acquire`` asks for a claim that
            another attempt holds.
        :raises errors.ClaimLost: ``change.holder`` no longer has the claim.
        :raises errors.TagNotFound: the image has no such tag as in ``change.remove_tags``.
        :raises errors.LastLocation: without a change of status, the image would have no location.
        :raises errors.QuotaExceeded: the quota has less left than ``change.reservation`` needs.
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
        """Run ``work`` as a transaction and roll back if it exceeds ``reservation``.

        Transactions that reserve for one project run one after the other.
        """
        if reservation is None:
            return self._database.write(work)

        def reserved(connection: sa.Connection) -> T:
            result = work(connection)
            reservation.enforce(
                lambda resource, owner: usage.current_usage(connection, resource, owner)
            )
            return result

        return self._database.write(reserved, lock=f"quota of {reservation.owner}")

    def delete(self, ctx: Caller, image: Image, status: str = ImageStatus.DELETED) -> None:
        """Mark the image and its children deleted; its id cannot be used again before a purge.

        Its locations are pending_delete until ``PendingRepository.mark_deleted`` is called.

        :param status: deleted, or pending_delete when the scrubber removes the data.
        :raises errors.ImageNotFound: the image is deleted.
        :raises errors.StatusConflict: the image is no longer in ``image.status``.
        """
        now = self._database.now()
        deletion = {"status": str(status), "deleted": True, "deleted_at": now, "updated_at": now}

        def work(connection: sa.Connection) -> None:
            self._set(connection, image.id, deletion, (image.status,))
            image_children.delete_all(connection, image.id, now)

        self._database.write(work)

    @staticmethod
    def _apply_claim_change(
        connection: sa.Connection, image_id: str, change: ImageChange, now: datetime.datetime
    ) -> ClaimGrant | None:
        """Take or release the claim.  Its row is always locked before the row of the image."""
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
        """Write columns of the row, and thereby lock it until the end of the transaction.

        :param expected: the statuses that the image may have; None for any.
        :param holder: who must have the claim; None when that does not matter.
        :raises errors.ImageNotFound, errors.ClaimLost, errors.StatusConflict: see :meth:`update`.
        """
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


def _marker(connection: sa.Connection, ctx: Caller, query: ImageQuery) -> Sequence[Any]:
    """The marker's values of the sort keys; errors as :meth:`SqlImages.list`."""
    statement = list_query.marker_query(query.sort, bool(ctx.is_admin))
    row = connection.execute(statement, {"marker": query.marker, "me": ctx.project_id}).first()
    if row is None:
        hidden = connection.execute(_STATUS, {"this_id": query.marker}).first() is not None
        raise (errors.MarkerForbidden if hidden else errors.MarkerNotFound)(query.marker)
    return row


def _reserved_size(reservation: QuotaReservation | None) -> dict[str, int]:
    """``size`` holds the reserved bytes during an upload; ``rows.to_image`` hides them."""
    if reservation is None or reservation.reserve is None:
        return {}
    return {"size": reservation.reserve}


def _check_ranges(fields: Mapping[str, Any]) -> None:
    """:raises errors.Invalid: a number does not fit into its column."""
    for name, bound in _MAX_VALUES.items():
        value = fields.get(name)
        if value is not None and not -bound - 1 <= value <= bound:
            raise errors.Invalid(f"{name} must not be larger than {bound}.")


def _changes_children(change: ImageChange) -> bool:
    """True when rows of children are written."""
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


def _change_properties(
    connection: sa.Connection, image: Image, change: ImageChange, now: datetime.datetime
) -> dict[str, str]:
    """Write the change of properties; returns those that the image has then."""
    if not change.set_properties and not change.remove_properties:
        return image.properties
    image_children.delete_properties(
        connection, image.id, change.remove_properties - change.set_properties.keys(), now
    )
    image_children.write_properties(connection, image.id, change.set_properties, now)
    return change.properties_after(image.properties)


def _change_tags(
    connection: sa.Connection, image: Image, change: ImageChange, now: datetime.datetime
) -> list[str]:
    """Write the change of tags; returns those that the image has then."""
    if change.tags is None and not change.add_tags and not change.remove_tags:
        return image.tags
    present = image_children.select_tags(connection, image.id)
    for tag in change.remove_tags:
        if tag not in present:
            raise errors.TagNotFound(tag, image.id)
    wanted = change.tags_after(present)
    # A tag may have several rows, as in databases that several nodes of a Galera cluster wrote
    # before ``galera.certify``; one is kept.
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


def _change_locations(
    connection: sa.Connection,
    image: Image,
    change: ImageChange,
    now: datetime.datetime,
    cipher: UrlCipher | None,
) -> list[Location]:
    """Write the change of locations; returns those that the image has then."""
    if not (change.add_locations or change.remove_locations or change.update_locations):
        return image.locations
    image_children.delete_locations(connection, image.id, change.remove_locations, now)
    if (
        change.remove_locations
        and not change.add_locations
        and "status" not in change.fields
        and not image_children.has_locations(connection, image.id)
    ):
        # Two requests that each remove one of two locations must not both succeed.
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
