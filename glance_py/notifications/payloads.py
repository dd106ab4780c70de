"""Images, members and tasks as consumers of notifications know them.

Every payload has all of its keys, in the shape in which consumers have always
had them; what is not there is null.
"""

from __future__ import annotations

import dataclasses
import datetime
import operator
from collections.abc import Mapping

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image, ImageStatus, Visibility
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


#: What of an image is in no message: consumers have never had it.
_UNPUBLISHED = frozenset(
    {
        "os_hidden",
        "os_hash_algo",
        "os_hash_value",
        "deleted_at",
        "locations",
        "caller_membership",
        "grant",
    }
)
_PUBLISHED = tuple(f.name for f in dataclasses.fields(Image) if f.name not in _UNPUBLISHED)
_published_values = operator.attrgetter(*_PUBLISHED)


def image_payload(image: Image, deleted: bool = False) -> dict[str, object]:
    """An image as consumers of notifications know it, without its locations.

    A new field of the image is in it unless ``_UNPUBLISHED`` names it.
    """
    payload: dict[str, object] = dict(zip(_PUBLISHED, _published_values(image), strict=True))
    payload.update(
        created_at=time_text(image.created_at),
        updated_at=time_text(image.updated_at),
        is_public=image.visibility == Visibility.PUBLIC,
        properties=dict(image.properties),
        tags=list(image.tags),
        **deletion_fields(deleted),
    )
    if deleted:
        payload["status"] = ImageStatus.DELETED
    return payload


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
