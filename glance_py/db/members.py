"""Members of images: the port ``MemberRepository`` in SQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa

from glance_py.db import galera
from glance_py.db.database import Database
from glance_py.db.hints import not_deleted
from glance_py.db.tables import image_members, images
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.member import Member, MemberStatus

_COLUMNS = tuple(
    image_members.c[name] for name in ("image_id", "member", "status", "created_at", "updated_at")
)
_IMAGE = image_members.c.image_id == sa.bindparam("this_image")
_MEMBER = image_members.c.member == sa.bindparam("this_member")
_ALL = sa.select(*_COLUMNS).where(_IMAGE, not_deleted(image_members)).order_by(image_members.c.id)
_ONE = _ALL.where(_MEMBER)
_UPDATE = image_members.update().where(_IMAGE, _MEMBER, not_deleted(image_members))
#: Locks the row of the image, since no constraint excludes two rows of one member.
_LOCK_IMAGE = (
    sa.select(images.c.id)
    .where(images.c.id == sa.bindparam("this_image"), not_deleted(images))
    .with_for_update()
)
_NEWEST_ROW = (
    sa.select(image_members.c.id, image_members.c.deleted)
    .where(_IMAGE, _MEMBER)
    .order_by(image_members.c.deleted, image_members.c.id.desc())
    .limit(1)
)
_RESTORE = image_members.update().where(image_members.c.id == sa.bindparam("this_id"))


class SqlMembers:
    """Members in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, ctx: Caller, image_id: str, member_id: str | None = None) -> Sequence[Member]:
        """The members of an image in the order in which they were added.

        :param member_id: only this project.
        """
        bound = {"this_image": image_id}
        if member_id is not None:
            bound["this_member"] = member_id
        statement = _ALL if member_id is None else _ONE
        return self._database.read(
            lambda connection: [Member(*row) for row in connection.execute(statement, bound)]
        )

    def create(self, ctx: Caller, image_id: str, member_id: str) -> Member:
        """Add a project as a member with status pending.

        :raises errors.Duplicate: it is a member already.
        :raises errors.ImageNotFound: the image is deleted.
        """
        now = self._database.now()
        bound = {"this_image": image_id, "this_member": member_id}
        row = {
            "status": MemberStatus.PENDING.value,
            "can_share": False,
            "created_at": now,
            "updated_at": now,
            "deleted": False,
            "deleted_at": None,
        }

        def work(connection: sa.Connection) -> None:
            if connection.execute(_LOCK_IMAGE, bound).first() is None:
                raise errors.ImageNotFound(image_id)
            galera.certify(connection, images, image_id)
            present = connection.execute(_NEWEST_ROW, bound).first()
            if present is None:
                connection.execute(
                    image_members.insert(), {"image_id": image_id, "member": member_id, **row}
                )
            elif present.deleted:
                # Reuse the row: a second deleted row could violate the unique constraint on
                # (image_id, member, deleted_at).
                connection.execute(_RESTORE, {"this_id": present.id, **row})
            else:
                raise errors.Duplicate(
                    f"Project {member_id} is a member of image {image_id} already."
                )

        self._database.write(work)
        return Member(image_id, member_id, MemberStatus.PENDING, now, now)

    def update(self, ctx: Caller, member: Member, status: str) -> Member:
        """Set the status of a membership.

        :raises errors.MemberNotFound: the project is no longer a member.
        """
        now = self._database.now()
        self._write(member, {"status": status, "updated_at": now})
        return dataclasses.replace(member, status=status, updated_at=now)

    def delete(self, ctx: Caller, member: Member) -> None:
        """Remove a member.

        :raises errors.MemberNotFound: the project is no longer a member.
        """
        now = self._database.now()
        self._write(member, {"deleted": True, "deleted_at": now, "updated_at": now})

    def _write(self, member: Member, fields: dict[str, object]) -> None:
        bound = {"this_image": member.image_id, "this_member": member.member_id, **fields}

        def work(connection: sa.Connection) -> None:
            if connection.execute(_UPDATE, bound).rowcount == 0:
                raise errors.MemberNotFound(member.member_id, member.image_id)

        self._database.write(work)
