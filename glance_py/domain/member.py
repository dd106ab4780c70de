"""A project that an image is shared with."""

from __future__ import annotations

import dataclasses
import datetime
import enum


class MemberStatus(enum.StrEnum):
    """What a member decided about an image; the values are those of the API and the database."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


STATUSES = tuple(MemberStatus)


@dataclasses.dataclass(slots=True)
class Member:
    """``member_id`` is a project id; ``status`` one of STATUSES."""

    image_id: str
    member_id: str
    status: str = "pending"
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
