"""Claims: the port ``ClaimRepository`` in SQL, and the condition of guarded writes.

A claim is one row per image in a table that only this service has.  Transactions lock that row
before the row of the image, always in this order.  A guarded write locks it, too, so that a
take-over and a late write of the former holder run one after the other and the later one fails.
On Galera, where locks do not hold on other nodes, both change the row of the image
(``doc/source/contributor/decisions/0009-claims.md``).
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from glance_py.db import galera, upsert
from glance_py.db.database import Database
from glance_py.db.hints import no_index, not_deleted
from glance_py.db.tables import image_claims, image_properties, images, tasks
from glance_py.domain import errors
from glance_py.domain.claim import (
    IMPORT,
    LOCATION_IMPORT,
    REMOVE,
    STAGE,
    TASK,
    UPLOAD,
    ClaimGrant,
    ClaimRelease,
    ClaimRequest,
    HeldClaim,
    UnclaimedWork,
)
from glance_py.domain.image import ImageStatus
from glance_py.domain.importing import LOCK_PROPERTY
from glance_py.domain.task import LOCATION_IMPORT as LOCATION_IMPORT_TASK
from glance_py.domain.task import UNFINISHED

_THIS = image_claims.c.image_id == sa.bindparam("this_id")
_HELD_BY = image_claims.c.holder == sa.bindparam("this_holder")
_HOLDERS = image_claims.c.holder.in_(sa.bindparam("holders", expanding=True))

#: An upload that succeeds does not release its claim, which would cost a statement: its claim
#: counts only while the image is ``saving``, the status that the same transaction set.
_IS_SAVING = sa.exists().where(
    images.c.id == sa.bindparam("this_id"), images.c.status == ImageStatus.SAVING.value
)
_IS_FREE = image_claims.c.holder.is_(None) | ((image_claims.c.kind == UPLOAD) & ~_IS_SAVING)

_TAKE = (
    image_claims.update()
    .where(_THIS, _IS_FREE)
    .values(generation=image_claims.c.generation + 1, beats=0)
)
_STAGED = image_claims.update().where(_THIS).values(staged=image_claims.c.generation)
_GRANT = sa.select(image_claims.c.generation, image_claims.c.staged).where(_THIS)
_RELEASE = image_claims.update().where(_THIS, _HELD_BY).values(holder=None)
_IS_FIRST_GENERATION = (image_claims.c.generation == 1) & (image_claims.c.keep == sa.false())
_DELETE = image_claims.delete().where(_THIS, _HELD_BY, _IS_FIRST_GENERATION)
_KEEP_ROW = image_claims.update().where(_THIS).values(keep=sa.true())
_HEARTBEAT = image_claims.update().where(_HOLDERS).values(beats=image_claims.c.beats + 1)
_STILL_HELD = sa.select(image_claims.c.holder).where(_HOLDERS)
_DELETE_FIRST = image_claims.delete().where(_HOLDERS, _IS_FIRST_GENERATION)
_FINISH = image_claims.update().where(_HOLDERS).values(holder=None)
_RENEW = image_claims.update().where(_THIS, _HOLDERS)
_COLUMNS = (
    image_claims.c.image_id,
    image_claims.c.generation,
    image_claims.c.holder,
    image_claims.c.kind,
    image_claims.c.beats,
    image_claims.c.host,
    image_claims.c.task_id,
    image_claims.c.staged,
)
_HELD = sa.select(*_COLUMNS).where(image_claims.c.holder.is_not(None))
_BY_IMAGE = sa.select(*_COLUMNS).where(_THIS)
_TAKE_OVER = (
    image_claims.update()
    .where(_THIS, _HELD_BY, image_claims.c.beats == sa.bindparam("seen"))
    .values(generation=image_claims.c.generation + 1)
)

#: The condition of a guarded write; it locks the row of the claim.
IS_HOLDER = sa.select(image_claims.c.holder).where(
    image_claims.c.image_id == sa.bindparam("this_id")
).with_for_update().scalar_subquery() == sa.bindparam("this_holder")
_IS_HELD_BY = sa.select(sa.literal(1)).where(_THIS, _HELD_BY)

_LOCK_OF = (
    image_properties.c.image_id == sa.bindparam("this_id"),
    image_properties.c.name == LOCK_PROPERTY,
)
_IS_REPLACEABLE = sa.or_(
    image_properties.c.deleted == sa.true(), image_properties.c.value == sa.bindparam("replaced")
)
_SET_LOCK = image_properties.update().where(*_LOCK_OF, _IS_REPLACEABLE)
#: The same on MySQL, whose collation equates other spellings of the name; those are no locks.
_SET_LOCK_IN_ANY_SPELLING = image_properties.update().where(
    *_LOCK_OF,
    sa.or_(
        _IS_REPLACEABLE,
        sa.cast(image_properties.c.name, sa.LargeBinary) != sa.literal(LOCK_PROPERTY.encode()),
    ),
)
_REMOVE_LOCK = image_properties.delete().where(
    *_LOCK_OF, image_properties.c.value == sa.bindparam("task_id")
)

_HAS_CLAIM = sa.exists().where(
    image_claims.c.image_id == images.c.id, image_claims.c.holder.is_not(None)
)
_KIND_OF_STATUS = {
    ImageStatus.SAVING.value: UPLOAD,
    ImageStatus.UPLOADING.value: STAGE,
    ImageStatus.IMPORTING.value: IMPORT,
}
_IS_IN_WORK = no_index(images.c.status).in_(tuple(_KIND_OF_STATUS))
_UNCLAIMED_IMAGES = (
    sa.select(images.c.id, images.c.status, images.c.updated_at)
    .where(
        not_deleted(images),
        _IS_IN_WORK,
        ~_HAS_CLAIM,
        sa.or_(images.c.status != ImageStatus.UPLOADING.value, images.c.size.is_(None)),
    )
    .limit(1000)
)
_TASK_HAS_CLAIM = sa.exists().where(
    sa.or_(image_claims.c.task_id == tasks.c.id, image_claims.c.image_id == tasks.c.image_id),
    image_claims.c.holder.is_not(None),
)
_UNCLAIMED_TASKS = (
    sa.select(tasks.c.image_id, tasks.c.type, tasks.c.id, tasks.c.updated_at)
    .where(not_deleted(tasks), tasks.c.status.in_(sorted(UNFINISHED)), ~_TASK_HAS_CLAIM)
    .limit(1000)
)
_SAME_IMAGE = sa.select(sa.literal(1)).where(
    images.c.id == sa.bindparam("this_id"), images.c.updated_at == sa.bindparam("stamp")
)
_SAME_TASK = sa.select(sa.literal(1)).where(
    tasks.c.id == sa.bindparam("this_id"), tasks.c.updated_at == sa.bindparam("stamp")
)


#: Columns of a new claim.
_NEW_CLAIM = {"generation": 1, "beats": 0, "staged": 1, "keep": False}


def take(
    connection: sa.Connection, image_id: str, request: ClaimRequest, now: datetime.datetime
) -> ClaimGrant:
    """Take the claim of an image in the caller's transaction, before its other writes.

    :raises errors.ImageBusy: another attempt holds it.
    :raises errors.ImportActive: the image has the lock property of another task.
    """
    row: dict[str, object] = {
        "holder": request.holder,
        "kind": request.kind,
        "host": request.host[:255],
        "task_id": request.task_id,
        "updated_at": now,
    }
    inserted = connection.execute(
        upsert.insert_if_absent(connection.dialect.name, image_claims),
        {"image_id": image_id, **_NEW_CLAIM, **row},
    )
    if inserted.rowcount == 1:
        grant = ClaimGrant(1)
    else:
        if connection.execute(_TAKE, {"this_id": image_id, **row}).rowcount == 0:
            raise errors.ImageBusy(image_id)
        if request.kind == STAGE:
            connection.execute(_STAGED, {"this_id": image_id})
        grant = ClaimGrant(*connection.execute(_GRANT, {"this_id": image_id}).one())
    if request.task_id is not None and request.kind != TASK:
        _set_lock_property(connection, image_id, request, now)
    return grant


def _set_lock_property(
    connection: sa.Connection, image_id: str, request: ClaimRequest, now: datetime.datetime
) -> None:
    """wire: a property of the image names the task that imports into it; it is Glance's lock.

    :raises errors.ImportActive: the property names another task.
    """
    dialect = connection.dialect.name
    row = {
        "name": LOCK_PROPERTY,
        "value": request.task_id,
        "created_at": now,
        "updated_at": now,
        "deleted_at": None,
        "deleted": False,
    }
    found = connection.execute(
        _SET_LOCK_IN_ANY_SPELLING if dialect == "mysql" else _SET_LOCK,
        {"this_id": image_id, "replaced": request.replaces, **row},
    )
    if found.rowcount == 0:
        inserted = connection.execute(
            upsert.insert_if_absent(dialect, image_properties), {"image_id": image_id, **row}
        )
        if inserted.rowcount != 1:
            raise errors.ImportActive(image_id)


def release(connection: sa.Connection, image_id: str, holder: str, how: ClaimRelease) -> bool:
    """Release a claim in the caller's transaction, before its other writes.

    :returns: False when ``holder`` does not have it; then nothing is changed.
    """
    bound = {"this_id": image_id, "this_holder": holder}
    statements = (_DELETE, _RELEASE) if how.forget else (_RELEASE,)
    if not any(connection.execute(statement, bound).rowcount for statement in statements):
        return False
    if how.task_id is not None:
        connection.execute(_REMOVE_LOCK, {"this_id": image_id, "task_id": how.task_id})
    return True


def keep_row(connection: sa.Connection, image_id: str, now: datetime.datetime) -> None:
    """Record that data of an image is being deleted, before other writes of the transaction.

    Data is named after the attempt that wrote it.  A store may delete it late, so the row, whose
    generation numbers the attempts, must stay.
    """
    inserted = connection.execute(
        upsert.insert_if_absent(connection.dialect.name, image_claims),
        {
            "image_id": image_id,
            **_NEW_CLAIM,
            "keep": True,
            "holder": None,
            "kind": REMOVE,
            "host": "",
            "task_id": None,
            "updated_at": now,
        },
    )
    if inserted.rowcount == 0:
        connection.execute(_KEEP_ROW, {"this_id": image_id})


def is_held_by(connection: sa.Connection, image_id: str, holder: str) -> bool:
    """True when ``holder`` has the claim of an image."""
    return (
        connection.execute(_IS_HELD_BY, {"this_id": image_id, "this_holder": holder}).first()
        is not None
    )


class SqlClaims:
    """Claims in a database.  The port documents the methods."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, image_id: str, request: ClaimRequest) -> ClaimGrant:
        """See the port."""
        now = self._database.now()
        return self._database.write(lambda connection: take(connection, image_id, request, now))

    def beat(self, holders: Sequence[str]) -> Sequence[str]:
        """See the port."""
        bound = {"holders": list(holders)}

        def work(connection: sa.Connection) -> list[str]:
            if connection.execute(_HEARTBEAT, bound).rowcount == len(holders):
                return []
            alive = set(connection.execute(_STILL_HELD, bound).scalars())
            return [holder for holder in holders if holder not in alive]

        return self._database.write(work)

    def release(self, image_id: str, holder: str, how: ClaimRelease) -> bool:
        """See the port."""
        return self._database.write(lambda connection: release(connection, image_id, holder, how))

    def finish(self, holders: Sequence[str]) -> None:
        """See the port."""
        bound = {"holders": list(holders)}

        def work(connection: sa.Connection) -> None:
            connection.execute(_DELETE_FIRST, bound)
            connection.execute(_FINISH, bound)

        self._database.write(work)

    def replace_holder(self, image_id: str, holders: Sequence[str], holder: str) -> bool:
        """See the port."""

        def work(connection: sa.Connection) -> bool:
            renewed = connection.execute(
                _RENEW, {"this_id": image_id, "holders": list(holders), "holder": holder}
            )
            if renewed.rowcount:
                galera.certify(connection, images, image_id)
            return renewed.rowcount > 0

        return self._database.write(work)

    def held(self) -> Sequence[HeldClaim]:
        """See the port."""
        return self._database.read(
            lambda connection: [_claim(row) for row in connection.execute(_HELD)]
        )

    def take_over(self, claim: HeldClaim, holder: str) -> ClaimGrant | None:
        """See the port."""
        bound = {
            "this_id": claim.image_id,
            "this_holder": claim.holder,
            "seen": claim.beats,
            "holder": holder,
            "updated_at": self._database.now(),
        }

        def work(connection: sa.Connection) -> ClaimGrant | None:
            if connection.execute(_TAKE_OVER, bound).rowcount == 0:
                return None
            galera.certify(connection, images, claim.image_id)
            return ClaimGrant(*connection.execute(_GRANT, {"this_id": claim.image_id}).one())

        return self._database.write(work)

    def unclaimed(self, seconds: float | None = None) -> Sequence[UnclaimedWork]:
        """See the port."""
        in_images, in_tasks = _UNCLAIMED_IMAGES, _UNCLAIMED_TASKS
        bound: dict[str, object] = {}
        if seconds is not None:
            in_images = in_images.where(images.c.updated_at >= sa.bindparam("since"))
            in_tasks = in_tasks.where(tasks.c.updated_at >= sa.bindparam("since"))
            bound["since"] = self._database.now() - datetime.timedelta(seconds=seconds)

        def work(connection: sa.Connection) -> list[UnclaimedWork]:
            found = [
                UnclaimedWork(image_id, _kind_of_task(kind) if image_id else TASK, number, stamp)
                for image_id, kind, number, stamp in connection.execute(in_tasks, bound)
            ]
            # Work without an image is identified by its task.
            found = [
                each
                if each.image_id
                else UnclaimedWork(str(each.task_id), TASK, each.task_id, each.stamp)
                for each in found
            ]
            known = {each.image_id for each in found}
            return found + [
                UnclaimedWork(image_id, _KIND_OF_STATUS[status], None, stamp)
                for image_id, status, stamp in connection.execute(in_images, bound)
                if image_id not in known
            ]

        return self._database.read(work)

    def take_unclaimed(self, work: UnclaimedWork, request: ClaimRequest) -> ClaimGrant | None:
        """See the port."""
        now = self._database.now()
        same = _SAME_IMAGE if work.task_id is None else _SAME_TASK
        bound = {"this_id": work.task_id or work.image_id, "stamp": work.stamp}

        def transaction(connection: sa.Connection) -> ClaimGrant | None:
            if work.stamp is not None and connection.execute(same, bound).first() is None:
                return None
            try:
                grant = take(connection, work.image_id, request, now)
            except (errors.ImageBusy, errors.ImportActive):
                return None
            galera.certify(connection, images, work.image_id)
            return grant

        return self._database.write(transaction)

    def get(self, image_id: str) -> HeldClaim | None:
        """See the port."""
        row = self._database.read(
            lambda connection: connection.execute(_BY_IMAGE, {"this_id": image_id}).first()
        )
        return None if row is None else _claim(row)


def _claim(row: Sequence[Any]) -> HeldClaim:
    image_id, generation, holder, kind, beats, host, task_id, staged = row
    return HeldClaim(image_id, generation, holder or "", kind, beats, host, task_id, staged)


def _kind_of_task(task_type: str) -> str:
    """The kind of claim that a task with an image has."""
    return LOCATION_IMPORT if task_type == LOCATION_IMPORT_TASK else IMPORT
