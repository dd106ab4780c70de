"""The shorter layer stack of tasks: who may see them, who hears of them, what they are.

Callers pass the policy; those who work on tasks begin behind it, see
:func:`internal_tasks`.  Only unfinished tasks change, and the records see to that.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.ports import (
    INTERNAL_TASK_OPERATIONS,
    InternalTaskOperations,
    TaskOperations,
    TaskRepository,
)
from glance_py.domain.task import Task, TaskQuery
from glance_py.domain.times import utc_now
from glance_py.layers.base import InternalTaskLayer, Proxy, TaskLayer
from glance_py.layers.checks import Check, CheckedLayer, Method, Unchecked
from glance_py.layers.notifying import NotifyingLayer
from glance_py.notifications.notifier import Notifier
from glance_py.policies.enforcer import Enforcer
from glance_py.settings import TaskSettings

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


@dataclasses.dataclass(frozen=True, slots=True)
class TaskRules(Check):
    """All ``rules`` are asked without a target, before a task is looked for."""

    def method(self, operation: str) -> Method:
        rules = self.rules

        def checked(
            layer: TaskPolicyProxy, ctx: Caller, *arguments: object, **named: object
        ) -> object:
            for rule in rules:
                layer.enforcer.enforce(ctx, rule, {})
            return getattr(layer.inner, operation)(ctx, *arguments, **named)

        return checked


_TASKS_API = TaskRules(("tasks_api_access",))


class TaskPolicyProxy(CheckedLayer, TaskLayer):
    """One rule guards the tasks API."""

    checks = {
        "list": _TASKS_API,
        "get": _TASKS_API,
        "create": _TASKS_API,
        "list_for_image": Unchecked(
            reason="a request about an image, which images.get checks; shows own tasks only"
        ),
    }

    def __init__(self, inner: TaskOperations, enforcer: Enforcer) -> None:
        super().__init__(inner)
        self.enforcer = enforcer

    @classmethod
    def build(cls, inner: TaskOperations, deps: Dependencies) -> TaskOperations:
        return cls(inner, deps.enforcer)


class TaskNotifierProxy(NotifyingLayer, InternalTaskLayer):
    """Announces that tasks are created, begin and end."""

    noun = "tasks"

    def __init__(self, inner: InternalTaskOperations, notifier: Notifier) -> None:
        super().__init__(inner)
        self.notifier = notifier


class TaskAdapter(Proxy[TaskRepository]):
    """Tasks as the records have them, and when finished ones are forgotten."""

    operations = INTERNAL_TASK_OPERATIONS

    def __init__(self, inner: TaskRepository, settings: TaskSettings) -> None:
        super().__init__(inner)
        self._time_to_live = datetime.timedelta(hours=settings.task_time_to_live)

    def list(self, ctx: Caller, query: TaskQuery) -> Sequence[Task]:
        self.inner.expire()
        if ctx.is_admin:
            return self.inner.list(query, None)
        # None would mean the tasks of all projects.
        return self.inner.list(query, ctx.project_id) if ctx.project_id else []

    def get(self, ctx: Caller, task_id: str) -> Task:
        """One task of the caller's project; of any project for an administrator.

        :raises errors.TaskNotFound: there is none that the caller may see.
        """
        task = self.inner.get(task_id)
        if not ctx.is_admin and (not ctx.project_id or task.owner != ctx.project_id):
            # Its input may hold the password of a source.
            raise errors.TaskNotFound(task_id)
        return task

    def create(self, ctx: Caller, task: Task) -> Task:
        return self.inner.create(task)

    def list_for_image(self, ctx: Caller, image: Image) -> Sequence[Task]:
        tasks = self.inner.list_for_image(image.id)
        if ctx.is_admin:
            return tasks
        # A task tells who asked for it: others who see the image do not see that.
        return [task for task in tasks if task.owner == ctx.project_id]

    def start(self, task: Task) -> Task:
        return self.inner.update(task, status="processing")

    def set_message(self, task: Task, message: str) -> Task:
        return self.inner.update(task, message=message)

    def succeed(self, task: Task, result: Mapping[str, object], message: str) -> Task:
        return self._finish(task, status="success", result=result, message=message)

    def fail(self, task: Task, message: str) -> Task:
        return self._finish(task, status="failure", message=message)

    def _finish(self, task: Task, **fields: object) -> Task:
        now = utc_now()
        return self.inner.update(task, expires_at=now + self._time_to_live, **fields)

    def notify_run(self, task: Task) -> None:
        """Nothing to record: the task has said how it ended."""


def internal_tasks(
    repository: TaskRepository, notifier: Notifier, settings: TaskSettings
) -> InternalTaskOperations:
    """The operations on tasks without the policy, which judges callers: for task executors."""
    tasks = TaskAdapter(repository, settings)
    return TaskNotifierProxy(tasks, notifier) if notifier.enabled else tasks
