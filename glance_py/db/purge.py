"""Removing for good what was only marked deleted.

Rows go in small transactions, children before parents, so that a purge of
millions disturbs nobody.  The rows of images are purged on their own, since a
purged id can be taken again by anyone (OSSN-0075).  The row of a location is the
only trace of bytes that are still to be removed: it stays until they are gone,
and so does its image.
"""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from oslo_db import exception as db_exc

from glance_py.db.database import Database
from glance_py.db.tables import (
    image_claims,
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
    task_info,
    tasks,
)
from glance_py.domain import errors

LOG = logging.getLogger(__name__)

Conditions = tuple[sa.ColumnElement[bool], ...]

#: Rows that one transaction removes.
BATCH = 500

#: Rows whose keys are read at once.
KEYS_PER_READ = 50_000

_PENDING = sa.and_(
    image_locations.c.deleted == sa.true(), image_locations.c.status == "pending_delete"
)
_CHILDREN = (image_members, image_tags, image_properties, image_locations, tasks)


def purge(database: Database, age_in_days: int, max_rows: int) -> int:
    """Remove deleted rows of all tables but that of the images.

    :param age_in_days: only rows that were deleted longer ago.
    :param max_rows: at most so many rows of each table, -1 for no limit.
    Rows of an image that was deleted so long ago go whatever they say of themselves.

    :returns: how many rows were removed.
    :raises errors.Invalid: a number makes no sense.
    """
    before = _cutoff(database, age_in_days, max_rows)
    _mark_locations_pending(database, before)
    return sum(_purge_table(database, table, before, age_in_days, max_rows) for table in _CHILDREN)


def count_pending_locations(database: Database) -> int:
    """How many locations stay because their bytes are still to be removed."""
    return (
        database.read(
            lambda connection: connection.scalar(
                sa.select(sa.func.count()).select_from(image_locations).where(_PENDING)
            )
        )
        or 0
    )


def _mark_locations_pending(database: Database, before: datetime.datetime) -> None:
    """Have the bytes removed that deleted images have at locations that are not deleted."""
    not_deleted = sa.and_(
        image_locations.c.deleted == sa.false(), _of_old_image(image_locations, before)
    )
    keys = database.read(
        functools.partial(_scalars, statement=sa.select(image_locations.c.id).where(not_deleted))
    )
    now = database.now()
    pending = {"deleted": True, "deleted_at": now, "updated_at": now, "status": "pending_delete"}
    for batch in _batches(keys):
        statement = (
            image_locations.update()
            .where(image_locations.c.id.in_(batch), not_deleted)
            .values(pending)
        )
        database.write(functools.partial(_execute, statement=statement))


def purge_images(database: Database, age_in_days: int, max_rows: int) -> int:
    """Remove deleted rows of the table of images; the same numbers as in :func:`purge`.

    Images with bytes that are still to be removed stay.

    :raises errors.Conflict: something still refers to an image; purge that first.
    """
    before = _cutoff(database, age_in_days, max_rows)
    try:
        return _purge_table(database, images, before, age_in_days, max_rows)
    except db_exc.DBReferenceError:
        raise errors.Conflict(
            "Rows of other tables still refer to deleted images. Run 'glance-manage db purge' "
            "with the same age first."
        ) from None


def _cutoff(database: Database, age_in_days: int, max_rows: int) -> datetime.datetime:
    if age_in_days < 0:
        raise errors.Invalid("The age in days must not be negative.")
    now = database.now()
    if age_in_days > (now - datetime.datetime(1970, 1, 1)).days:
        raise errors.Invalid("The age in days must not reach back beyond 1970.")
    if max_rows < -1:
        raise errors.Invalid("The number of rows must not be less than -1, which means no limit.")
    if max_rows >= 2**31:
        raise errors.Invalid("The number of rows must not be larger than 2147483647.")
    return now - datetime.timedelta(days=age_in_days)


def _purge_table(
    database: Database, table: sa.Table, before: datetime.datetime, age_in_days: int, max_rows: int
) -> int:
    LOG.info("Purging rows of %s that were deleted more than %d days ago", table.name, age_in_days)
    removed = 0
    for conditions in _conditions(table, before):
        left = max_rows if max_rows < 0 else max_rows - removed
        removed += sum(
            database.write(
                functools.partial(_remove, table=table, conditions=conditions, keys=batch)
            )
            for keys in _keys(database, table, conditions, left)
            for batch in _batches(keys)
        )
    LOG.info("Removed %d rows of %s", removed, table.name)
    return removed


def _keys(
    database: Database, table: sa.Table, conditions: Conditions, max_rows: int
) -> Iterator[Sequence[int | str]]:
    """The keys of what is to be removed, in their order, many at once.

    Not every table has an index that finds deleted rows: it is read through once, not
    once for each batch.
    """
    found = sa.select(table.c.id).where(*conditions).order_by(table.c.id)
    statement, left = found, max_rows
    while left:
        size = KEYS_PER_READ if left < 0 else min(KEYS_PER_READ, left)
        keys = database.read(functools.partial(_scalars, statement=statement.limit(size)))
        if keys:
            yield keys
        if len(keys) < size:
            return
        statement = found.where(table.c.id > keys[-1])
        left -= size if left > 0 else 0


def _scalars(connection: sa.Connection, statement: sa.Select) -> Sequence[int | str]:
    return connection.scalars(statement).all()


def _execute(connection: sa.Connection, statement: sa.Update) -> None:
    connection.execute(statement)


def _batches(keys: Sequence[int | str]) -> Iterator[Sequence[int | str]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]


def _conditions(table: sa.Table, before: datetime.datetime) -> Iterator[Conditions]:
    """What a row must be to go, one way after the other."""
    yield (*_is_old(table, before), *_has_no_pending_data(table))
    if table not in (images, tasks, image_locations):
        # A node of a Galera cluster may have written them while another deleted the image.
        yield table.c.deleted == sa.false(), _of_old_image(table, before)


def _is_old(table: sa.Table, before: datetime.datetime) -> Conditions:
    return table.c.deleted == sa.true(), table.c.deleted_at < before


def _of_old_image(table: sa.Table, before: datetime.datetime) -> sa.ColumnElement[bool]:
    return table.c.image_id.in_(sa.select(images.c.id).where(*_is_old(images, before)))


def _has_no_pending_data(table: sa.Table) -> Conditions:
    if table is image_locations:
        return (~_PENDING,)
    if table is images:
        return (
            ~sa.exists().where(
                image_locations.c.image_id == images.c.id,
                sa.or_(_PENDING, image_locations.c.deleted == sa.false()),
            ),
        )
    return ()


def _remove(
    connection: sa.Connection, table: sa.Table, conditions: Conditions, keys: Sequence[int | str]
) -> int:
    if table is tasks:
        connection.execute(task_info.delete().where(task_info.c.task_id.in_(keys)))
    if table is images:
        connection.execute(image_claims.delete().where(image_claims.c.image_id.in_(keys)))
    # Asked again, since a property that is set anew takes the row of one that was removed.
    return connection.execute(table.delete().where(table.c.id.in_(keys), *conditions)).rowcount
