"""The JSON of a member of an image."""

from __future__ import annotations

from glance_py.domain.member import STATUSES
from glance_py.wire.field import STRING, UUID, Field, Resource, choice

#: A project that an image is shared with.
MEMBER = Resource(
    "member",
    (
        Field("member_id", STRING, "Project that the image is shared with.", source="member_id"),
        Field("image_id", UUID, "Image that is shared.", source="image_id"),
        Field(
            "status",
            choice(STATUSES),
            "Whether the project wants to see the image in its lists.",
            source="status",
        ),
        Field("created_at", STRING, "When the image was shared, UTC.", source="created_at"),
        Field(
            "updated_at", STRING, "When the membership was last changed, UTC.", source="updated_at"
        ),
        Field("schema", STRING, "Path of the schema of this document.", read_only=True),
    ),
)
