"""The shorter layer stack of tasks: who may see them, who hears of them, what they are.

Callers pass the policy; those who work on tasks begin behind it, see
:func:`internal_tasks`.  Only unfinished tasks change, and the records see to that.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.ports import INTERNAL_TASK_OPERATIONS, TASK_OPERATIONS, TaskOperations
from glance_py.domain.task import Task, TaskQuery
from glance_py.layers.base import Proxy
from glance_py.layers.notifying import NotifyingProxy
from glance_py.notifications.payloads import task_payload


class TaskPolicyProxy(Proxy):
    """One rule for the whole API of tasks; it is asked before a task is looked for."""

    operations = TASK_OPERATIONS

    def __init__(self, inner, deps) -> None:
        super().__init__(inner)
        self._enforcer = deps.enforcer

    def _check(self, ctx: Caller) -> None:
        self._enforcer.enforce(ctx, "tasks_api_access", {})

    def list(self, ctx: Caller, query: TaskQuery) -> Sequence[Task]:
        self._check(ctx)
        return self.inner.list(ctx, query)

    def get(self, ctx: Caller, task_id: str) -> Task:
        self._check(ctx)
        return self.inner.get(ctx, task_id)

    def create(self, ctx: Caller, task: Task) -> Task:
        self._check(ctx)
        return self.inner.create(ctx, task)


class TaskNotifierProxy(NotifyingProxy):
    """Announces the life of tasks."""

    operations = INTERNAL_TASK_OPERATIONS

    def _notify(self, event: str, task: Task) -> Task:
        self._notifier.info(event, task_payload(task))
        return task

    def create(self, ctx: Caller, task: Task) -> Task:
        return self._notify("task.create", self.inner.create(ctx, task))

    def start(self, task: Task) -> Task:
        return self._notify("task.processing", self.inner.start(task))

    def succeed(self, task: Task, result: Mapping, message: str) -> Task:
        return self._notify("task.success", self.inner.succeed(task, result, message))

    def fail(self, task: Task, message: str) -> Task:
        return self._notify("task.failure", self.inner.fail(task, message))

    def notify_run(self, task: Task) -> None:
        # wire: the task as it was before anybody worked on it.
        self._notify("task.run", dataclasses.replace(task, status="pending"))


class TaskAdapter:
    """Tasks as the records have them, and when finished ones are forgotten."""

    def __init__(self, repository, conf) -> None:
        self._repository = repository
        self._time_to_live = datetime.timedelta(hours=conf.task.task_time_to_live)

    @classmethod
    def build(cls, inner, deps):
        return cls(inner, deps.conf)

    @classmethod
    def overrides(cls) -> tuple[str, ...]:
        """The operations that end here, for ``glance-manage layers``."""
        return INTERNAL_TASK_OPERATIONS

    def list(self, ctx: Caller, query: TaskQuery) -> Sequence[Task]:
        self._repository.expire()
        if ctx.is_admin:
            return self._repository.list(query, None)
        # None would mean the tasks of all projects.
        return self._repository.list(query, ctx.project_id) if ctx.project_id else []

    def get(self, ctx: Caller, task_id: str) -> Task:
        """One task of the caller's project; of any project for an administrator.

        :raises errors.TaskNotFound: there is none that the caller may see.
        """
        task = self._repository.get(task_id)
        if not ctx.is_admin and (not ctx.project_id or task.owner != ctx.project_id):
            # Its input may hold the password of a source.
            raise errors.TaskNotFound(task_id)
        return task

    def create(self, ctx: Caller, task: Task) -> Task:
        return self._repository.create(task)

    def list_for_image(self, ctx: Caller, image: Image) -> Sequence[Task]:
        tasks = self._repository.list_for_image(image.id)
        if ctx.is_admin:
            return tasks
        # A task tells who asked for it: others who see the image do not see that.
        return [task for task in tasks if task.owner == ctx.project_id]

    def start(self, task: Task) -> Task:
        return self._repository.update(task, status="processing")

    def set_message(self, task: Task, message: str) -> Task:
        return self._repository.update(task, message=message)

    def succeed(self, task: Task, result: Mapping, message: str) -> Task:
        return self._finish(task, status="success", result=result, message=message)

    def fail(self, task: Task, message: str) -> Task:
        return self._finish(task, status="failure", message=message)

    def _finish(self, task: Task, **fields: object) -> Task:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        return self._repository.update(task, expires_at=now + self._time_to_live, **fields)

    def notify_run(self, task: Task) -> None:
        """Nothing to record: the task has said how it ended."""


def internal_tasks(deps) -> TaskOperations:
    """Tasks for those who work on them: without the policy, which is about callers."""
    repository = TaskAdapter.build(deps.repositories.tasks, deps)
    return TaskNotifierProxy.build(repository, deps)
