"""Tasks: what can be asked of them, of their records, and who holds an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.task import Task, TaskQuery


class TaskOperations(Protocol):
    """The operations of a request about tasks, on which callers are judged."""

    def list(self, ctx: Caller, query: TaskQuery) -> Sequence[Task]: ...

    def get(self, ctx: Caller, task_id: str) -> Task:
        """:raises errors.TaskNotFound: no task that the caller may see has this id."""

    def create(self, ctx: Caller, task: Task) -> Task: ...

    def list_for_image(self, ctx: Caller, image: Image) -> Sequence[Task]:
        """The tasks about an image that the caller may see."""


class InternalTaskOperations(TaskOperations, Protocol):
    """The operations on tasks that the executor of tasks calls, beside those of a request.

    Those that change a task raise errors.TaskAlreadyFinished when it has ended.
    """

    def start(self, task: Task) -> Task:
        """Record that the work begins."""

    def set_message(self, task: Task, message: str) -> Task:
        """Record that the work goes on; ``message`` is its progress."""

    def succeed(self, task: Task, result: Mapping[str, object], message: str) -> Task: ...

    def fail(self, task: Task, message: str) -> Task: ...

    def notify_run(self, task: Task) -> None:
        """Announce that the work has ended; ``task`` is the task as it was submitted."""


#: The names of the operations of :class:`TaskOperations` and :class:`InternalTaskOperations`.
TASK_OPERATIONS: tuple[str, ...] = ("list", "get", "create", "list_for_image")
INTERNAL_TASK_OPERATIONS: tuple[str, ...] = (
    *TASK_OPERATIONS,
    "start",
    "set_message",
    "succeed",
    "fail",
    "notify_run",
)


class TaskRepository(Protocol):
    """The DAL for tasks.

    ``get`` raises TaskNotFound.  ``update`` changes an unfinished task, sets
    its updated_at and raises TaskAlreadyFinished when there is no such task any more.
    ``expire`` forgets tasks whose expires_at has passed.
    """

    def create(self, task: Task) -> Task: ...

    def get(self, task_id: str) -> Task: ...

    def list(self, query: TaskQuery, owner: str | None = None) -> Sequence[Task]: ...

    def list_for_image(self, image_id: str) -> Sequence[Task]: ...

    def update(self, task: Task, **fields: Any) -> Task: ...

    def expire(self) -> int: ...
