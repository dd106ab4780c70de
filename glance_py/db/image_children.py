"""Writes the children of an image: properties, tags, locations and members.

Each function sends a fixed number of statements in the caller's transaction, except that a
location is one INSERT each, since its id is needed.  Rows are marked deleted; ``purge`` removes
them later.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from glance_py.db import upsert
from glance_py.db.cipher import UrlCipher
from glance_py.db.hints import not_deleted
from glance_py.db.rows import dump_metadata
from glance_py.db.tables import image_locations, image_members, image_properties, image_tags
from glance_py.domain import errors
from glance_py.domain.image import Location, LocationStatus
from glance_py.domain.property_names import SERVICE_PROPERTIES

_IMAGE: sa.BindParameter[str] = sa.bindparam("this_image")


def _deletion(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.Update:
    """Marks rows of ``table`` deleted."""
    return (
        table.update()
        .where(*conditions, not_deleted(table))
        .values(deleted=sa.true(), deleted_at=sa.bindparam("now"), updated_at=sa.bindparam("now"))
    )


def _of_image(table: sa.Table) -> sa.ColumnElement[bool]:
    return table.c.image_id == _IMAGE


def _is_in(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    return column.in_(sa.bindparam("those", expanding=True))


_LOCATION_STATUS: dict[str, sa.BindParameter[str]] = {"status": sa.bindparam("new_status")}

_DELETE_ALL = (
    _deletion(image_properties, _of_image(image_properties)),
    _deletion(image_tags, _of_image(image_tags)),
    _deletion(image_members, _of_image(image_members)),
)
_DELETE_ALL_LOCATIONS = _deletion(image_locations, _of_image(image_locations)).values(
    _LOCATION_STATUS
)
_DELETE_PROPERTIES = _deletion(
    image_properties, _of_image(image_properties), _is_in(image_properties.c.name)
)
#: The spellings of names in the table, and whether the collation equates one with a name of the
#: service.
_NAMES = sa.select(
    image_properties.c.name, image_properties.c.name.in_(sorted(SERVICE_PROPERTIES))
).where(_of_image(image_properties), _is_in(image_properties.c.name), not_deleted(image_properties))
_DELETE_TAGS = _deletion(image_tags, _is_in(image_tags.c.id))
_DELETE_LOCATIONS = _deletion(
    image_locations,
    _of_image(image_locations),
    _is_in(image_locations.c.id),
).values(_LOCATION_STATUS)
_TAGS = (
    sa.select(image_tags.c.value, image_tags.c.id)
    .where(_of_image(image_tags), not_deleted(image_tags))
    .order_by(image_tags.c.id)
)
_ANY_LOCATION = (
    sa.select(image_locations.c.id)
    .where(_of_image(image_locations), not_deleted(image_locations))
    .limit(1)
)
_UPDATE_LOCATION = image_locations.update().where(
    _of_image(image_locations),
    image_locations.c.id == sa.bindparam("this_id"),
    not_deleted(image_locations),
)


#: Columns that are updated when a property has a row, which may be marked deleted.
_OVERWRITTEN_COLUMNS = ("value", "updated_at", "deleted_at", "deleted")


def _new_row(image_id: str, now: datetime.datetime) -> dict[str, object]:
    """The columns that all tables of children have, of a row that is not deleted."""
    return {
        "image_id": image_id,
        "created_at": now,
        "updated_at": now,
        "deleted_at": None,
        "deleted": False,
    }


def write_properties(
    connection: sa.Connection, image_id: str, properties: Mapping[str, str], now: datetime.datetime
) -> None:
    """Set custom properties, whether the image has them or not.

    :raises errors.Conflict: the collation of the database equates a name with another one that
        the image has.
    :raises errors.ReservedAttribute: the same with a property of the service.
    """
    if properties:
        new_row = _new_row(image_id, now)
        connection.execute(
            upsert.upsert_property(
                connection.dialect.name, image_properties, _OVERWRITTEN_COLUMNS, SERVICE_PROPERTIES
            ),
            [{**new_row, "name": name, "value": value} for name, value in properties.items()],
        )
        if connection.dialect.name == "mysql":
            _check_collation(connection, image_id, properties)


def _check_collation(connection: sa.Connection, image_id: str, names: Collection[str]) -> None:
    """Refuse names that MySQL has stored in the row of another spelling.

    Errors as in :func:`write_properties`.
    """
    found = dict(
        tuple(row)
        for row in connection.execute(_NAMES, {"this_image": image_id, "those": list(names)})
    )
    for name in names:
        if name not in found:
            raise errors.Conflict(
                f"The property '{name}' cannot be set: there is one whose name differs in case, "
                "accents or blanks only, and the database does not tell them apart."
            )
        if found[name] and name not in SERVICE_PROPERTIES:
            raise errors.ReservedAttribute(name)


def delete_properties(
    connection: sa.Connection, image_id: str, names: Collection[str], now: datetime.datetime
) -> None:
    """Mark custom properties deleted; names that the image does not have are ignored."""
    if names:
        connection.execute(
            _DELETE_PROPERTIES, {"this_image": image_id, "those": list(names), "now": now}
        )


def select_tags(connection: sa.Connection, image_id: str) -> dict[str, list[int]]:
    """The tags of an image, each with the ids of its rows, in the order in which they were added.

    More than one row is possible: no constraint excludes it.
    """
    found: dict[str, list[int]] = {}
    for tag, number in connection.execute(_TAGS, {"this_image": image_id}):
        found.setdefault(tag, []).append(number)
    return found


def add_tags(
    connection: sa.Connection, image_id: str, values: Iterable[str], now: datetime.datetime
) -> None:
    """Insert tags; the caller makes sure that the image does not have them."""
    new_row = _new_row(image_id, now)
    new = [{**new_row, "value": tag} for tag in values]
    if new:
        connection.execute(image_tags.insert(), new)


def delete_tags(
    connection: sa.Connection, numbers: Collection[int], now: datetime.datetime
) -> None:
    """Mark the tags in the rows with these ids deleted."""
    if numbers:
        connection.execute(_DELETE_TAGS, {"those": list(numbers), "now": now})


def add_locations(
    connection: sa.Connection,
    image_id: str,
    locations: Iterable[Location],
    now: datetime.datetime,
    cipher: UrlCipher | None = None,
) -> None:
    """Insert locations and set their ``id``.  Those with status pending_delete are marked deleted.

    :param cipher: encrypts URLs; None to store them as they are.
    """
    for location in locations:
        value = location.url if cipher is None else cipher.encrypt(location.url)
        is_pending = location.status == LocationStatus.PENDING_DELETE
        result = connection.execute(
            image_locations.insert(),
            {
                **_new_row(image_id, now),
                "value": value,
                "deleted": is_pending,
                "deleted_at": now if is_pending else None,
                "meta_data": dump_metadata(location.metadata),
                "status": str(location.status),
            },
        )
        key = result.inserted_primary_key
        assert key is not None  # noqa: S101 - of an INSERT of one row
        location.id = key[0]


def update_locations(
    connection: sa.Connection, image_id: str, locations: Iterable[Location], now: datetime.datetime
) -> None:
    """Write metadata and status of locations.

    Those with status deleted or pending_delete are marked deleted.
    """
    for location in locations:
        is_deleted = location.status in (LocationStatus.DELETED, LocationStatus.PENDING_DELETE)
        connection.execute(
            _UPDATE_LOCATION,
            {
                "this_image": image_id,
                "this_id": location.id,
                "updated_at": now,
                "meta_data": dump_metadata(location.metadata),
                "status": str(location.status),
                "deleted": is_deleted,
                "deleted_at": now if is_deleted else None,
            },
        )


def delete_locations(
    connection: sa.Connection, image_id: str, locations: Iterable[Location], now: datetime.datetime
) -> None:
    """Mark locations deleted, with status pending_delete if they have it, else deleted."""
    by_status: dict[str, list[int | None]] = {}
    for location in locations:
        is_pending = location.status == LocationStatus.PENDING_DELETE
        kept_as = LocationStatus.PENDING_DELETE if is_pending else LocationStatus.DELETED
        by_status.setdefault(kept_as.value, []).append(location.id)
    for status, numbers in by_status.items():
        connection.execute(
            _DELETE_LOCATIONS,
            {"this_image": image_id, "those": numbers, "now": now, "new_status": status},
        )


def delete_all(connection: sa.Connection, image_id: str, now: datetime.datetime) -> None:
    """Mark all children of an image deleted, the locations with status pending_delete."""
    bound: dict[str, object] = {"this_image": image_id, "now": now}
    for statement in _DELETE_ALL:
        connection.execute(statement, bound)
    connection.execute(
        _DELETE_ALL_LOCATIONS, {**bound, "new_status": LocationStatus.PENDING_DELETE.value}
    )


def has_locations(connection: sa.Connection, image_id: str) -> bool:
    """True when the image has a location that is not deleted."""
    return connection.execute(_ANY_LOCATION, {"this_image": image_id}).first() is not None
