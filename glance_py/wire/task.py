"""The task on the wire."""

from __future__ import annotations

from glance_py.wire.field import STRING, UUID, Field, Resource, or_null

TYPES = ("import", "api_image_import", "location_import")
STATUSES = ("pending", "processing", "success", "failure")

_HEAD = (
    Field("id", UUID, "Identifier of the task."),
    Field("type", {"type": "string", "enum": list(TYPES)}, "What the task does."),
    Field("status", {"type": "string", "enum": list(STATUSES)}, "How far it has come."),
)
_DETAIL = (
    Field("input", or_null({"type": "object"}), "What the task was asked to do."),
    Field("result", or_null({"type": "object"}), "What came out of it."),
    Field("message", STRING, "Progress or the reason of a failure, for people."),
)
_TAIL = (
    Field("owner", STRING, "Project that the task belongs to."),
    Field("image_id", STRING, "Image that the task works on."),
    Field("request_id", STRING, "Request that started the task."),
    Field("user_id", STRING, "User who started the task."),
    Field("expires_at", or_null(STRING), "When the task will be forgotten, UTC."),
    Field("created_at", STRING, "When the task was made, UTC."),
    Field("updated_at", STRING, "When the task was last changed, UTC."),
    Field("self", STRING, "Path of this task.", read_only=True),
    Field("schema", STRING, "Path of the schema of this document.", read_only=True),
)

TASK = Resource("task", (*_HEAD, *_DETAIL, *_TAIL))

#: A task in a list: without what was asked and what came out.
TASK_SUMMARY = Resource("task", (*_HEAD, *_TAIL))
