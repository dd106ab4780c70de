"""Rows become images.

An image is one row and what belongs to it: properties, tags, locations and the
caller's membership.  These are read for a whole page by one statement, and
put in place by position.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import sqlalchemy as sa

from glance_py.db.batching import batched
from glance_py.db.cipher import UrlCipher
from glance_py.db.select import COLUMNS, membership, not_deleted
from glance_py.db.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
)
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image, Location

_PROPERTY, _TAG, _LOCATION, _MEMBER = range(4)

SELECT_BY_ID = sa.select(*COLUMNS).where(
    images.c.id == sa.bindparam("image_id"), not_deleted(images)
)


def _select_children(kind: int, table: sa.Table, *columns, where=None) -> sa.Select:
    return sa.select(
        table.c.image_id,
        sa.literal_column(str(kind)).label("kind"),
        *columns,
    ).where(
        table.c.image_id.in_(sa.bindparam("ids", expanding=True)),
        not_deleted(table) if where is None else where,
    )


_NONE = sa.null()

#: The locations come first, since their columns say of which types the others' are: a cast of
#: NULL would have the collation of the connection, which need not be that of the tables.
SELECT_CHILDREN = sa.union_all(
    _select_children(
        _LOCATION,
        image_locations,
        image_locations.c.meta_data.label("name"),
        image_locations.c.value,
        image_locations.c.status,
        image_locations.c.id.label("number"),
    ),
    _select_children(
        _PROPERTY, image_properties, image_properties.c.name, image_properties.c.value, _NONE, _NONE
    ),
    _select_children(_TAG, image_tags, image_tags.c.value, _NONE, _NONE, image_tags.c.id),
    _select_children(
        _MEMBER, image_members, image_members.c.member, _NONE, _NONE, _NONE, where=membership()
    ),
)


def to_image(row: Sequence) -> Image:
    """An image from the values of COLUMNS, with nothing that belongs to it yet."""
    made = Image(*row, [], {}, [], None, None)  # type: ignore[call-arg]
    if made.status == "saving":
        # What the record holds for data on its way, and no size yet.
        made.size = None
    if made.updated_at is None:
        # Rows of early releases; clients expect a time.
        made.updated_at = made.created_at
    return made


def load_children(
    connection: sa.Connection, ctx: Caller, found: Sequence[Image], cipher: UrlCipher | None = None
) -> None:
    """Give ``found`` images their properties, tags, locations and the caller's membership.

    :param cipher: opens addresses that are kept sealed.
    """
    project = getattr(ctx, "project_id", None)
    for batch in batched(found):
        by_id = {image.id: image for image in batch}
        rows = connection.execute(SELECT_CHILDREN, {"ids": list(by_id), "me": project}).all()
        _attach_children(by_id, rows)
    if cipher is not None:
        cipher.decrypt_locations(found)


def _attach_children(images_by_id: dict[str, Image], rows: Sequence) -> None:
    several = set()
    for image_id, kind, name, value, status, number in rows:
        try:
            owner = images_by_id[image_id]
        except KeyError:
            owner = _find_ignoring_case(images_by_id, image_id)
        if kind == _PROPERTY:
            owner.properties[name] = "" if value is None else value
        elif kind == _TAG:
            if name not in owner.tags:  # nothing in the table keeps a tag from being there twice
                owner.tags.append(name)
        elif kind == _LOCATION:
            if owner.locations:
                several.add(owner.id)
            owner.locations.append(Location(value, load_metadata(name), status, number))
        else:
            owner.caller_membership = name
    for image_id in several:
        # The first location is the one that readers try first.
        images_by_id[image_id].locations.sort(key=lambda location: location.id or 0)


def _find_ignoring_case(images_by_id: dict[str, Image], image_id: str) -> Image:
    """The image that MySQL takes for the same, since its comparisons ignore the case."""
    return next(found for known, found in images_by_id.items() if known.lower() == image_id.lower())


def load_metadata(text: str | None) -> dict:
    """The metadata of a location from its JSON text."""
    return orjson.loads(text) if text else {}


def dump_metadata(metadata: dict) -> str:
    """The JSON text under which the metadata of a location is kept."""
    return orjson.dumps(metadata).decode()
