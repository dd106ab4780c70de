"""Tasks: what can be asked of them, of their records, and who holds an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.task import Task, TaskQuery


class TaskVerbs(Protocol):
    """What can be asked of tasks."""

    def list(self, ctx: Caller, query: TaskQuery) -> Sequence[Task]: ...

    def get(self, ctx: Caller, task_id: str) -> Task: ...

    def create(self, ctx: Caller, task: Task) -> Task: ...

    def of_image(self, ctx: Caller, image: Image) -> Sequence[Task]:
        """The tasks about an image that the caller may see."""

    def start(self, task: Task) -> Task:
        """Work begins.  This and what follows raise TaskFinished for a task that was lost."""

    def tell(self, task: Task, message: str) -> Task:
        """Work goes on, and this is how far it is."""

    def succeed(self, task: Task, result: Mapping, message: str) -> Task: ...

    def fail(self, task: Task, message: str) -> Task: ...

    def ran(self, task: Task) -> None:
        """Nobody works on the task any more, as it was when it was handed over."""


#: The verbs on which callers are judged, and those of who works.
TASK_VERBS = ("list", "get", "create", "of_image")
TASK_WORK_VERBS = (*TASK_VERBS, "start", "tell", "succeed", "fail", "ran")


class TaskRecords(Protocol):
    """The DAL for tasks.

    ``get`` raises TaskNotFound.  ``update`` changes an unfinished task, sets
    its updated_at and raises TaskFinished when there is no such task any more.
    ``expire`` forgets tasks whose expires_at has passed.
    """

    def create(self, task: Task) -> Task: ...

    def get(self, task_id: str) -> Task: ...

    def list(self, query: TaskQuery, owner: str | None = None) -> Sequence[Task]: ...

    def of_image(self, image_id: str) -> Sequence[Task]: ...

    def update(self, task: Task, **fields: Any) -> Task: ...

    def expire(self) -> int: ...
