"""Removing for good what was only marked deleted.

Rows go in small transactions, children before parents, so that a purge of
millions disturbs nobody.  The rows of images are purged on their own, since a
purged id can be taken again by anyone (OSSN-0075).
"""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from oslo_db import exception as db_exc

from glance_py.db.engine import Database
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

#: Rows that one transaction removes.
BATCH = 500

#: Rows whose keys are read at once.
FOUND = 50_000

_CHILDREN = (image_members, image_tags, image_properties, image_locations, tasks)


def purge(database: Database, age_in_days: int, max_rows: int) -> int:
    """Remove deleted rows of all tables but that of the images.

    :param age_in_days: only rows that were deleted longer ago.
    :param max_rows: at most so many rows of each table, -1 for no limit.
    :returns: how many rows were removed.
    :raises errors.Invalid: a number makes no sense.
    """
    before = _before(database, age_in_days, max_rows)
    return sum(_purge_table(database, table, before, age_in_days, max_rows)
               for table in _CHILDREN)


def purge_images(database: Database, age_in_days: int, max_rows: int) -> int:
    """Remove deleted rows of the table of images; the same numbers as in :func:`purge`.

    :raises errors.Conflict: something still refers to an image; purge that first.
    """
    before = _before(database, age_in_days, max_rows)
    try:
        return _purge_table(database, images, before, age_in_days, max_rows)
    except db_exc.DBReferenceError:
        raise errors.Conflict(
            "Rows of other tables still refer to deleted images. Run 'glance-manage db purge' "
            "with the same age first.") from None


def _before(database: Database, age_in_days: int, max_rows: int) -> datetime.datetime:
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


def _purge_table(database: Database, table: sa.Table, before: datetime.datetime,
                 age_in_days: int, max_rows: int) -> int:
    LOG.info("Purging rows of %s that were deleted more than %d days ago",
             table.name, age_in_days)
    removed = sum(
        database.write(functools.partial(_remove, table=table, before=before, keys=batch))
        for keys in _keys(database, table, before, max_rows)
        for batch in _batches(keys))
    LOG.info("Removed %d rows of %s", removed, table.name)
    return removed


def _keys(database: Database, table: sa.Table, before: datetime.datetime,
          max_rows: int) -> Iterator[Sequence[int | str]]:
    """The keys of what is to be removed, in their order, many at once.

    Not every table has an index that finds deleted rows: it is read through once, not
    once for each batch.
    """
    found = sa.select(table.c.id).where(*_old(table, before)).order_by(table.c.id)
    statement, left = found, max_rows
    while left:
        size = FOUND if left < 0 else min(FOUND, left)
        keys = database.read(functools.partial(_scalars, statement=statement.limit(size)))
        if keys:
            yield keys
        if len(keys) < size:
            return
        statement = found.where(table.c.id > keys[-1])
        left -= size if left > 0 else 0


def _scalars(connection: sa.Connection, statement: sa.Select) -> Sequence[int | str]:
    return connection.scalars(statement).all()


def _batches(keys: Sequence[int | str]) -> Iterator[Sequence[int | str]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start:start + BATCH]


def _old(table: sa.Table, before: datetime.datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.deleted == sa.true(), table.c.deleted_at < before


def _remove(connection: sa.Connection, table: sa.Table, before: datetime.datetime,
            keys: Sequence[int | str]) -> int:
    if table is tasks:
        connection.execute(task_info.delete().where(task_info.c.task_id.in_(keys)))
    if table is images:
        connection.execute(image_claims.delete().where(image_claims.c.image_id.in_(keys)))
    # Asked again, since a property that is set anew takes the row of one that was removed.
    return connection.execute(
        table.delete().where(table.c.id.in_(keys), *_old(table, before))).rowcount
