"""A project that an image is shared with."""

from __future__ import annotations

import dataclasses
import datetime

STATUSES = ("pending", "accepted", "rejected")


@dataclasses.dataclass(slots=True)
class Member:
    """``member_id`` is a project id; ``status`` one of STATUSES."""

    image_id: str
    member_id: str
    status: str = "pending"
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
