"""A task: work that continues after the response to its request, and its states.

``importing`` runs tasks.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Mapping
from typing import Any

IMPORT, API_IMAGE_IMPORT, LOCATION_IMPORT = "import", "api_image_import", "location_import"
TYPES = (IMPORT, API_IMAGE_IMPORT, LOCATION_IMPORT)


class TaskStatus(enum.StrEnum):
    """The states of a task; the values are those of the API and the database."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"


STATUSES = tuple(TaskStatus)

#: States of a task whose end has not been recorded.
UNFINISHED = frozenset({TaskStatus.PENDING, TaskStatus.PROCESSING})


@dataclasses.dataclass(slots=True)
class Task:
    """One task.  Times are naive UTC.

    input, result
        JSON values: the parameters of the task, and what it returned.
    message
        One sentence for users: progress, or the reason of a failure.
    expires_at
        When a finished task is deleted.
    """

    id: str
    type: str
    owner: str
    status: str = "pending"
    input: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
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
