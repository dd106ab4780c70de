"""The JSON of tasks: serialisers, and loaders of requests and query strings."""

from __future__ import annotations

import datetime
import urllib.parse
from collections.abc import Mapping, Sequence

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.json_types import JsonDocument
from glance_py.domain.task import IMPORT, STATUSES, TYPES, Task, TaskQuery
from glance_py.domain.uuids import is_uuid
from glance_py.wire import paths
from glance_py.wire.dump import compile_attributes, dumps
from glance_py.wire.field import STRING, UUID, Field, Resource, choice, nullable
from glance_py.wire.load import parse_object
from glance_py.wire.query import parse_parameters

_COMMON_FIELDS = (
    Field("id", UUID, "Identifier of the task.", source="id"),
    Field("type", choice(TYPES), "What the task does.", source="type"),
    Field(
        "status",
        choice(STATUSES),
        "How far it has come.",
        source="status",
    ),
)
_DETAIL_FIELDS = (
    Field("input", nullable({"type": "object"}), "What the task was asked to do.", source="input"),
    Field("result", nullable({"type": "object"}), "What came out of it.", source="result"),
    Field("message", STRING, "Progress or the reason of a failure, for people.", source="message"),
)
_OWNER_FIELD = Field("owner", STRING, "Project that the task belongs to.", source="owner")
_ORIGIN_FIELDS = ("image_id", "request_id", "user_id")
_METADATA_FIELDS = (
    _OWNER_FIELD,
    Field("image_id", STRING, "Image that the task works on."),
    Field("request_id", STRING, "Request that started the task."),
    Field("user_id", STRING, "User who started the task."),
    Field("expires_at", nullable(STRING), "When the task will be forgotten, UTC."),
    Field("created_at", STRING, "When the task was made, UTC.", source="created_at"),
    Field("updated_at", STRING, "When the task was last changed, UTC.", source="updated_at"),
    Field("self", STRING, "Path of this task.", read_only=True),
    Field("schema", STRING, "Path of the schema of this document.", read_only=True),
)

TASK = Resource("task", (*_COMMON_FIELDS, *_DETAIL_FIELDS, *_METADATA_FIELDS))

#: A task in a list, without its input and result.
TASK_SUMMARY = Resource("task", (*_COMMON_FIELDS, *_METADATA_FIELDS))

_attributes = compile_attributes(TASK)
_summary_attributes = compile_attributes(TASK_SUMMARY)

_SORT_KEYS = (
    "created_at",
    "expires_at",
    "id",
    "image_id",
    "owner",
    "request_id",
    "status",
    "type",
    "updated_at",
    "user_id",
)


def dump_task(task: Task) -> bytes:
    """The body that shows one task.

    wire: image_id, request_id and user_id are left out when they are not known.
    """
    document = _with_links(dict(_attributes(task)), task)
    for name in _ORIGIN_FIELDS:
        if getattr(task, name) is not None:
            document[name] = getattr(task, name)
    return dumps(document)


def _with_links(document: JsonDocument, task: Task) -> JsonDocument:
    if task.expires_at is not None:
        document["expires_at"] = task.expires_at
    document["self"] = f"{paths.TASKS}/{task.id}"
    document["schema"] = f"{paths.SCHEMAS}/task"
    return document


def dump_tasks(tasks: Sequence[Task], query: TaskQuery, query_string: str) -> bytes:
    """The body that lists tasks, with the paths of the first page and of the next one.

    :param query_string: of the request, as in WSGI.
    """
    kept = [pair for pair in parse_parameters(query_string) if pair[0] != "marker"]
    body: JsonDocument = {
        "tasks": [_with_links(dict(_summary_attributes(task)), task) for task in tasks],
        "first": _page_path(kept),
        "schema": f"{paths.SCHEMAS}/tasks",
    }
    if tasks and len(tasks) == query.limit:
        body["next"] = _page_path([*kept, ("marker", tasks[-1].id)])
    return dumps(body)


def _page_path(parameters: Sequence[tuple[str, str]]) -> str:
    return f"{paths.TASKS}?{urllib.parse.urlencode(parameters)}" if parameters else paths.TASKS


def dump_image_tasks(tasks: Sequence[Task]) -> bytes:
    """The body that lists the tasks about an image.

    wire: times have microseconds and no zone, other than in the rest of the API.
    """

    def time(moment: datetime.datetime | None) -> str | None:
        return None if moment is None else moment.isoformat(timespec="microseconds")

    return dumps(
        {
            "tasks": [
                {
                    "id": task.id,
                    "type": task.type,
                    "status": task.status,
                    "owner": task.owner,
                    "expires_at": time(task.expires_at),
                    "created_at": time(task.created_at),
                    "updated_at": time(task.updated_at),
                    "deleted_at": None,
                    "deleted": False,
                    "image_id": task.image_id,
                    "request_id": task.request_id,
                    "user_id": task.user_id,
                    "input": task.input,
                    "result": task.result,
                    "message": task.message,
                }
                for task in tasks
            ]
        }
    )


def load_task(ctx: Caller, task_id: str, body: bytes) -> Task:
    """The new task that a request body describes; the caller owns it.

    :raises errors.Invalid: its type or its input is not valid.
    """
    document = parse_object(body)
    kind, task_input = document.get("type"), document.get("input")
    if not isinstance(kind, str) or kind not in TYPES:
        raise errors.Invalid(f"The type of a task is one of {', '.join(TYPES)}.")
    if not isinstance(task_input, Mapping):
        raise errors.Invalid("The input of a task must be a JSON object.")
    if kind == IMPORT:
        _check_import(task_input)
    return Task(
        task_id,
        kind,
        owner=ctx.project_id or "",
        input=task_input,
        request_id=ctx.request_id,
        user_id=ctx.user_id,
    )


def _check_import(task_input: Mapping[str, object]) -> None:
    source = task_input.get("import_from")
    if not isinstance(source, str) or not source.lower().startswith(("http://", "https://")):
        raise errors.Invalid(
            "import_from must be a URL of HTTP or HTTPS; files of the service are never read."
        )
    if not isinstance(task_input.get("image_properties", {}), Mapping):
        raise errors.Invalid("image_properties must be a JSON object.")
    if not isinstance(task_input.get("import_from_format", ""), str):
        raise errors.Invalid("import_from_format must be a string.")


def load_task_query(query_string: str, default_limit: int, max_limit: int) -> TaskQuery:
    """The page of tasks that a query string asks for.

    :param default_limit: tasks of a page when the query string has no limit.
    :param max_limit: tasks of a page at most.
    :raises errors.Invalid: a value is not valid.
    """
    given = dict(parse_parameters(query_string))
    limit = given.get("limit", str(default_limit))
    if not (limit.isascii() and limit.isdigit()):
        raise errors.Invalid("limit must be an integer, zero or more.")
    direction, key = given.get("sort_dir", "desc"), given.get("sort_key", "created_at")
    if direction not in ("asc", "desc"):
        raise errors.Invalid(f"Invalid sort direction: {direction}.")
    if key not in _SORT_KEYS:
        raise errors.Invalid(f"Tasks cannot be sorted by '{key}'.")
    status, kind, marker = given.get("status"), given.get("type"), given.get("marker")
    if status is not None and status not in STATUSES:
        raise errors.Invalid(f"Invalid status value: {status}.")
    if kind is not None and kind != IMPORT:
        # wire: a list can be filtered by this type only.
        raise errors.Invalid(f"Invalid type value: {kind}.")
    if marker is not None and not is_uuid(marker):
        raise errors.Invalid("The marker must be the id of a task.")
    return TaskQuery(kind, status, (key, direction), marker, min(int(limit[:12]), max_limit))
