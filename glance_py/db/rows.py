"""Turns rows into images.

An image is one row and its children: properties, tags, locations and the caller's membership.
The children of a whole page are read by one statement
(``doc/source/contributor/decisions/0003-sqlalchemy-core-and-two-statements.md``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from glance_py.db.batching import batched
from glance_py.db.cipher import UrlCipher
from glance_py.db.hints import not_deleted
from glance_py.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
)
from glance_py.db.visibility import membership
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image, ImageStatus, Location

#: The columns of an image in the order of the fields of ``domain.image.Image``.
COLUMNS = tuple(images.c[f.name] for f in dataclasses.fields(Image) if f.name in images.c)

SELECT_BY_ID = sa.select(*COLUMNS).where(
    images.c.id == sa.bindparam("image_id"), not_deleted(images)
)

#: The column ``kind`` of :data:`SELECT_CHILDREN`.
_PROPERTY, _TAG, _LOCATION, _MEMBER = range(4)


def _select_children(
    kind: int, table: sa.Table, *columns: sa.ColumnElement[Any], where: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    return sa.select(
        table.c.image_id,
        sa.literal_column(str(kind)).label("kind"),
        *columns,
    ).where(table.c.image_id.in_(sa.bindparam("ids", expanding=True)), where)


_NONE = sa.null()

#: The locations come first, since the first SELECT of a UNION decides the types of the columns: a
#: cast of NULL would have the collation of the connection, which may differ from the tables'.
SELECT_CHILDREN = sa.union_all(
    _select_children(
        _LOCATION,
        image_locations,
        image_locations.c.meta_data.label("name"),
        image_locations.c.value,
        image_locations.c.status,
        image_locations.c.id.label("number"),
        where=not_deleted(image_locations),
    ),
    _select_children(
        _PROPERTY,
        image_properties,
        image_properties.c.name,
        image_properties.c.value,
        _NONE,
        _NONE,
        where=not_deleted(image_properties),
    ),
    _select_children(
        _TAG,
        image_tags,
        image_tags.c.value,
        _NONE,
        _NONE,
        image_tags.c.id,
        where=not_deleted(image_tags),
    ),
    _select_children(
        _MEMBER, image_members, image_members.c.member, _NONE, _NONE, _NONE, where=membership()
    ),
)


def to_image(row: Sequence[Any]) -> Image:
    """The image of a row, without its children.

    :param row: the values of COLUMNS, whose types are those of the fields of ``Image``.
    """
    made = Image(*row)
    if made.status == ImageStatus.SAVING:
        # During an upload the column holds the bytes that the quota reserves (``claims``).
        made.size = None
    if made.updated_at is None:
        # Rows of early releases; clients expect a time
        # (``tests/contract/dal/legacy_row_cases.py``).
        made.updated_at = made.created_at
    return made


def load_children(
    connection: sa.Connection, ctx: Caller, found: Sequence[Image], cipher: UrlCipher | None = None
) -> None:
    """Set properties, tags, locations and the caller's membership of ``found`` images.

    :param cipher: decrypts the URLs of locations; None when they are stored as they are.
    """
    for batch in batched(found):
        by_id = {image.id: image for image in batch}
        bound = {"ids": list(by_id), "me": ctx.project_id}
        _attach_children(by_id, connection.execute(SELECT_CHILDREN, bound).all())
    if cipher is not None:
        cipher.decrypt_locations(found)


def _attach_children(images_by_id: Mapping[str, Image], rows: Iterable[Sequence[Any]]) -> None:
    """:param rows: of SELECT_CHILDREN: image id, kind, name, value, status and row id."""
    several = set()
    for image_id, kind, name, value, status, number in rows:
        try:
            image = images_by_id[image_id]
        except KeyError:
            image = _find_ignoring_case(images_by_id.values(), image_id)
        if kind == _PROPERTY:
            image.properties[str(name)] = "" if value is None else value
        elif kind == _TAG:
            # No constraint of the table keeps a tag from being there twice.
            if name not in image.tags:
                image.tags.append(str(name))
        elif kind == _LOCATION:
            if image.locations:
                several.add(image.id)
            image.locations.append(Location(str(value), load_metadata(name), str(status), number))
        else:
            image.caller_membership = name
    for image_id in several:
        # Readers try the first location first, so the order must be stable.
        images_by_id[image_id].locations.sort(key=lambda location: location.id or 0)


def _find_ignoring_case(found: Collection[Image], image_id: str) -> Image:
    """The image whose id equals ``image_id`` in comparisons of MySQL, which ignore the case."""
    return next(image for image in found if image.id.lower() == image_id.lower())


def load_metadata(text: str | None) -> dict[str, Any]:
    """The metadata of a location, a JSON object, from its column."""
    metadata: dict[str, Any] = orjson.loads(text) if text else {}
    return metadata


def dump_metadata(metadata: Mapping[str, Any]) -> str:
    """The metadata of a location as JSON text for its column."""
    return orjson.dumps(metadata).decode()
