"""The shorter onion of tasks: who may see them, who hears of them, what they are.

Callers pass the policy; those who work on tasks begin behind it, see
:func:`work_tasks`.  Only unfinished tasks change, and the records see to that.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.ports import TASK_VERBS, TASK_WORK_VERBS, TaskVerbs
from glance_py.domain.task import Task, TaskQuery
from glance_py.layers.announcing import AnnouncingProxy
from glance_py.layers.base import Proxy
from glance_py.notifications.payloads import task_payload


class TaskPolicyProxy(Proxy):
    """One rule for the whole API of tasks; it is asked before a task is looked for."""

    verbs = TASK_VERBS

    def __init__(self, below, services) -> None:
        super().__init__(below)
        self._enforcer = services.enforcer

    def _check(self, ctx: Caller) -> None:
        self._enforcer.check(ctx, "tasks_api_access", {})

    def list(self, ctx: Caller, query: TaskQuery) -> Sequence[Task]:
        self._check(ctx)
        return self.below.list(ctx, query)

    def get(self, ctx: Caller, task_id: str) -> Task:
        self._check(ctx)
        return self.below.get(ctx, task_id)

    def create(self, ctx: Caller, task: Task) -> Task:
        self._check(ctx)
        return self.below.create(ctx, task)


class TaskNotifierProxy(AnnouncingProxy):
    """Announces the life of tasks."""

    verbs = TASK_WORK_VERBS

    def _announced(self, event: str, task: Task) -> Task:
        self._notifier.info(event, task_payload(task))
        return task

    def create(self, ctx: Caller, task: Task) -> Task:
        return self._announced("task.create", self.below.create(ctx, task))

    def start(self, task: Task) -> Task:
        return self._announced("task.processing", self.below.start(task))

    def succeed(self, task: Task, result: Mapping, message: str) -> Task:
        return self._announced("task.success", self.below.succeed(task, result, message))

    def fail(self, task: Task, message: str) -> Task:
        return self._announced("task.failure", self.below.fail(task, message))

    def ran(self, task: Task) -> None:
        # wire: the task as it was before anybody worked on it.
        self._announced("task.run", dataclasses.replace(task, status="pending"))


class TaskRepository:
    """Tasks as the records have them, and when finished ones are forgotten."""

    def __init__(self, records, conf) -> None:
        self._records = records
        self._life = datetime.timedelta(hours=conf.task.task_time_to_live)

    @classmethod
    def build(cls, below, services):
        return cls(below, services.conf)

    @classmethod
    def overrides(cls) -> tuple[str, ...]:
        """The verbs that end here, for ``glance-manage layers``."""
        return TASK_WORK_VERBS

    def list(self, ctx: Caller, query: TaskQuery) -> Sequence[Task]:
        self._records.expire()
        if ctx.is_admin:
            return self._records.list(query, None)
        # None would mean the tasks of all projects.
        return self._records.list(query, ctx.project_id) if ctx.project_id else []

    def get(self, ctx: Caller, task_id: str) -> Task:
        """One task of the caller's project; of any project for an administrator.

        :raises errors.TaskNotFound: there is none that the caller may see.
        """
        task = self._records.get(task_id)
        if not ctx.is_admin and (not ctx.project_id or task.owner != ctx.project_id):
            # Its input may hold the password of a source.
            raise errors.TaskNotFound(task_id)
        return task

    def create(self, ctx: Caller, task: Task) -> Task:
        return self._records.create(task)

    def of_image(self, ctx: Caller, image: Image) -> Sequence[Task]:
        tasks = self._records.of_image(image.id)
        if ctx.is_admin:
            return tasks
        # A task tells who asked for it: others who see the image do not see that.
        return [task for task in tasks if task.owner == ctx.project_id]

    def start(self, task: Task) -> Task:
        return self._records.update(task, status="processing")

    def tell(self, task: Task, message: str) -> Task:
        return self._records.update(task, message=message)

    def succeed(self, task: Task, result: Mapping, message: str) -> Task:
        return self._finish(task, status="success", result=result, message=message)

    def fail(self, task: Task, message: str) -> Task:
        return self._finish(task, status="failure", message=message)

    def _finish(self, task: Task, **fields: object) -> Task:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        return self._records.update(task, expires_at=now + self._life, **fields)

    def ran(self, task: Task) -> None:
        """Nothing to record: the task has said how it ended."""


def work_tasks(services) -> TaskVerbs:
    """Tasks for those who work on them: without the policy, which is about callers."""
    repository = TaskRepository.build(services.records.tasks, services)
    return TaskNotifierProxy.build(repository, services)
