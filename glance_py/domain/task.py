"""A piece of work that goes on after its request was answered, and its states.

A task tells how far it has come and, when it failed, why.  Who works on it and
how is the business of ``importing``.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Mapping

IMPORT, API_IMAGE_IMPORT, LOCATION_IMPORT = "import", "api_image_import", "location_import"
TYPES = (IMPORT, API_IMAGE_IMPORT, LOCATION_IMPORT)


class TaskStatus(enum.StrEnum):
    """The states of a task; the values are those of the API and the database."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"


STATUSES = tuple(TaskStatus)

#: States in which a worker owes an end to the task.
UNFINISHED = frozenset({TaskStatus.PENDING, TaskStatus.PROCESSING})


@dataclasses.dataclass(slots=True)
class Task:
    """One task.  Times are naive UTC.

    input, result
        JSON-ready: what was asked, and what came out of it.
    message
        One sentence for people: progress, or the reason of a failure.
    expires_at
        When a finished task is forgotten.
    """

    id: str
    type: str
    owner: str
    status: str = "pending"
    input: Mapping | None = None
    result: Mapping | None = None
    message: str = ""
    image_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    expires_at: datetime.datetime | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TaskQuery:
    """One page of tasks.

    ``sort`` is a column and "asc" or "desc"; ``marker`` the id of the last task
    of the page before; ``limit`` how many.
    """

    type: str | None = None
    status: str | None = None
    sort: tuple[str, str] = ("created_at", "desc")
    marker: str | None = None
    limit: int = 25
