"""Deletes rows that are marked deleted: ``glance-manage db purge``.

Rows are deleted in small transactions, children before parents, so that a purge of millions of
rows does not delay requests.  The rows of images are purged by a command of their own, since any
project can create an image with a purged id (OSSN-0075).  The row of a location is the only record
of data that is still to be deleted from its store: it stays until then, and so does its image.
"""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

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
from glance_py.domain.image import LocationStatus

LOG = logging.getLogger(__name__)

Conditions = tuple[sa.ColumnElement[bool], ...]

#: Rows that one transaction deletes.
BATCH = 500

#: Rows whose keys one statement reads.
KEYS_PER_READ = 50_000

_PENDING = sa.and_(
    image_locations.c.deleted == sa.true(),
    image_locations.c.status == LocationStatus.PENDING_DELETE.value,
)
_CHILDREN = (image_members, image_tags, image_properties, image_locations, tasks)


def purge(database: Database, age_in_days: int, max_rows: int) -> int:
    """Delete rows that are marked deleted, of all tables but ``images``.

    Children of an image that was deleted long enough ago are deleted even if they are not
    marked.

    :param age_in_days: only rows that were marked longer ago.
    :param max_rows: at most so many rows of each table, -1 for no limit.
    :returns: how many rows were deleted.
    :raises errors.Invalid: a number is out of its range.
    """
    before = _cutoff(database, age_in_days, max_rows)
    _mark_locations_pending(database, before)
    return sum(_purge_table(database, table, before, age_in_days, max_rows) for table in _CHILDREN)


def count_pending_locations(database: Database) -> int:
    """How many locations stay because their data is still to be deleted from its store."""
    return (
        database.read(
            lambda connection: connection.scalar(
                sa.select(sa.func.count()).select_from(image_locations).where(_PENDING)
            )
        )
        or 0
    )


def _mark_locations_pending(database: Database, before: datetime.datetime) -> None:
    """Mark locations of deleted images pending that are not marked deleted."""
    not_deleted = sa.and_(
        image_locations.c.deleted == sa.false(), _of_old_image(image_locations, before)
    )
    keys = database.read(
        functools.partial(_scalars, statement=sa.select(image_locations.c.id).where(not_deleted))
    )
    now = database.now()
    pending = {
        "deleted": True,
        "deleted_at": now,
        "updated_at": now,
        "status": LocationStatus.PENDING_DELETE.value,
    }
    for batch in _batches(keys):
        statement = (
            image_locations.update()
            .where(image_locations.c.id.in_(batch), not_deleted)
            .values(pending)
        )
        database.write(functools.partial(_execute, statement=statement))


def purge_images(database: Database, age_in_days: int, max_rows: int) -> int:
    """Delete rows of ``images`` that are marked deleted; arguments as for :func:`purge`.

    Images with data that is still to be deleted stay.

    :raises errors.Conflict: rows of other tables refer to an image; purge those first.
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
    """The time before which rows must have been marked deleted.

    :raises errors.Invalid: a number is out of its range.
    """
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
    """The keys of the rows to delete, in ascending order and in large slices.

    Not every table has an index that finds deleted rows.  It is read once for a slice, not once
    for each batch (``tests/contract/dal/query_cost_cases.py``).
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


def _scalars(connection: sa.Connection, statement: sa.Select[Any]) -> Sequence[int | str]:
    return connection.scalars(statement).all()


def _execute(connection: sa.Connection, statement: sa.Update) -> None:
    connection.execute(statement)


def _batches(keys: Sequence[int | str]) -> Iterator[Sequence[int | str]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]


def _conditions(table: sa.Table, before: datetime.datetime) -> Iterator[Conditions]:
    """The conditions on which a row is deleted; each set is applied by itself."""
    yield (*_is_old(table, before), *_has_no_pending_data(table))
    if table not in (images, tasks, image_locations):
        # A node of a Galera cluster may have inserted them while another deleted the image.
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
    # The conditions are repeated, since setting a property reuses the row of a deleted one.
    return connection.execute(table.delete().where(table.c.id.in_(keys), *conditions)).rowcount
