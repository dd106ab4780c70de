"""Images, members and tasks as consumers of notifications know them.

Every payload has all of its keys, in the shape in which consumers have always
had them; what is not there is null.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.importing import FAILED_STORES, PENDING_STORES, stores_in
from glance_py.domain.member import Member
from glance_py.domain.task import Task


def time_text(moment: datetime.datetime | None) -> str | None:
    """A naive UTC time as messages write it (ISO 8601)."""
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def deletion_fields(deleted: bool) -> dict[str, object]:
    """What every message about a thing says of its end, which is now."""
    now = datetime.datetime.now(datetime.UTC) if deleted else None
    return {"deleted": deleted, "deleted_at": time_text(now)}


def image_payload(image: Image, deleted: bool = False) -> dict[str, object]:
    """An image as consumers of notifications know it.  Without its locations."""
    return {
        "id": image.id,
        "name": image.name,
        "status": "deleted" if deleted else image.status,
        "created_at": time_text(image.created_at),
        "updated_at": time_text(image.updated_at),
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "protected": image.protected,
        "checksum": image.checksum,
        "owner": image.owner,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "is_public": image.visibility == "public",
        "visibility": image.visibility,
        "properties": dict(image.properties),
        "tags": list(image.tags),
        **deletion_fields(deleted),
    }


def data_payload(image: Image) -> dict[str, object]:
    """An image whose data is being stored: with the stores of its import."""
    lists = {name: stores_in(image, name) for name in (PENDING_STORES, FAILED_STORES)}
    return {**image_payload(image), **lists}


def send_payload(ctx: Caller, image: Image, sent: int) -> dict[str, object]:
    """``sent`` bytes of an image went to the caller."""
    return {
        "bytes_sent": sent,
        "image_id": image.id,
        "owner_id": image.owner,
        "receiver_tenant_id": ctx.project_id,
        "receiver_user_id": ctx.user_id,
    }


def member_payload(member: Member, deleted: bool = False) -> Mapping[str, object]:
    """A member of an image as consumers of notifications know it."""
    return {
        "image_id": member.image_id,
        "member_id": member.member_id,
        "status": member.status,
        "created_at": time_text(member.created_at),
        "updated_at": time_text(member.updated_at),
        **deletion_fields(deleted),
    }


def task_payload(task: Task) -> Mapping[str, object]:
    """A task as consumers of notifications know it.

    wire: without what was asked, what came out and why it failed; a task that
    does not expire yet shows the present.
    """
    return {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "result": None,
        "owner": task.owner,
        "message": None,
        "expires_at": time_text(task.expires_at or datetime.datetime.now(datetime.UTC)),
        "created_at": time_text(task.created_at),
        "updated_at": time_text(task.updated_at),
        **deletion_fields(deleted=False),
    }
