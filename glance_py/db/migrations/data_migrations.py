"""Changes of rows between the expansion and the contraction of a release.

Each migration is one transaction and changes only rows that need it, since the service may be
running.  It can be repeated.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

VISIBILITY_TYPE = sa.Enum("private", "public", "shared", "community", name="image_visibility")

_images = sa.table(
    "images",
    sa.column("id", sa.String),
    sa.column("is_public", sa.Boolean),
    sa.column("visibility", VISIBILITY_TYPE),
)
_members = sa.table(
    "image_members", sa.column("image_id", sa.String), sa.column("deleted", sa.Boolean)
)
_locations = sa.table(
    "image_locations", sa.column("id", sa.Integer), sa.column("meta_data", sa.Text)
)

#: How many rows one statement reads.
_BATCH_ROWS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class DataMigration:
    """One change.

    :param contract_revision: the contraction that relies on it.
    :param is_needed: whether there are rows to change.
    :param migrate: changes them, and returns how many.
    """

    name: str
    contract_revision: str
    is_needed: Callable[[sa.Connection], bool]
    migrate: Callable[[sa.Connection], int]


# --- Ocata: images that are public or not get a visibility -----------------------------------


def _has_is_public(connection: sa.Connection) -> bool:
    names = {column["name"] for column in sa.inspect(connection).get_columns("images")}
    return {"is_public", "visibility"} <= names


def _lacks_visibility(connection: sa.Connection) -> bool:
    if not _has_is_public(connection):
        return False
    row = sa.select(_images.c.id).where(_images.c.visibility.is_(None)).limit(1)
    return connection.execute(row).first() is not None


def _set_visibility(connection: sa.Connection) -> int:
    """Set visibility from ``is_public``: public; else shared with members, private without."""
    if not _has_is_public(connection):
        return 0
    has_members = sa.exists().where(
        _members.c.image_id == _images.c.id, _members.c.deleted == sa.false()
    )
    public = _images.c.is_public == sa.true()
    moved = 0
    # Each statement has the whole condition: rows may be inserted between the statements.
    for visibility, condition in (
        ("public", public),
        ("shared", sa.and_(sa.not_(public), has_members)),
        ("private", sa.and_(sa.not_(public), sa.not_(has_members))),
    ):
        moved += connection.execute(
            _images.update()
            .where(_images.c.visibility.is_(None), condition)
            .values(visibility=visibility)
        ).rowcount
    return moved


# --- Train: the metadata of a location has the key "store", not "backend" ---------------------


def _batches(connection: sa.Connection) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Locations whose metadata has the key "backend": (row id, metadata with "store")."""
    last = 0
    while True:
        rows = connection.execute(
            sa.select(_locations.c.id, _locations.c.meta_data)
            .where(_locations.c.id > last, _locations.c.meta_data.like('%"backend"%'))
            .order_by(_locations.c.id)
            .limit(_BATCH_ROWS)
        ).all()
        if not rows:
            return
        last = rows[-1].id
        yield [(row.id, renamed) for row in rows if (renamed := _with_store_key(row.meta_data))]


def _with_store_key(text: str) -> dict[str, Any] | None:
    """The metadata with the key "store", None when it has no key "backend"."""
    try:
        metadata = json.loads(text)
    except ValueError:
        return None
    if not isinstance(metadata, dict) or "backend" not in metadata:
        return None
    store = metadata.pop("backend")
    return {"store": store, **metadata}


def _has_backend_key(connection: sa.Connection) -> bool:
    return any(_batches(connection))


def _rename_backend_key(connection: sa.Connection) -> int:
    moved = 0
    statement = (
        _locations.update()
        .where(_locations.c.id == sa.bindparam("row"))
        .values(meta_data=sa.bindparam("text"))
    )
    for batch in _batches(connection):
        if batch:
            connection.execute(
                statement, [{"row": row, "text": json.dumps(metadata)} for row, metadata in batch]
            )
            moved += len(batch)
    return moved


VISIBILITY = DataMigration(
    "ocata_migrate01", "ocata_contract01", _lacks_visibility, _set_visibility
)
STORE_OF_LOCATION = DataMigration(
    "train_migrate01", "train_contract01", _has_backend_key, _rename_backend_key
)

#: In the order in which they run.
DATA_MIGRATIONS = (VISIBILITY, STORE_OF_LOCATION)
