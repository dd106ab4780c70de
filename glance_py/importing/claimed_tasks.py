"""Tasks whose work holds the claim of an image, from the request to the end of the work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glance_py.claims import Claim, Claims
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.ports import Repositories
from glance_py.domain.task import Task
from glance_py.importing.task_executor import TaskExecutor, TaskFunction

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


class ClaimedTasks:
    """Takes the claim of an image, records a task, and runs it under the claim."""

    def __init__(self, repositories: Repositories, claims: Claims, executor: TaskExecutor) -> None:
        self._repositories = repositories
        self._claims = claims
        self._executor = executor

    @classmethod
    def of(cls, deps: Dependencies) -> ClaimedTasks:
        """With what a process shares."""
        return cls(deps.repositories, deps.claims, deps.task_executor)

    def take_claim(
        self, ctx: Caller, image: Image, kind: str, status: str, task_id: str, replaces: str | None
    ) -> Claim:
        """Take the claim of an image for a task.

        :param kind: the kind of the claim, see ``domain.claim``.
        :param status: the status in which the image must be.
        :param replaces: the finished task that the lock property of the image may name.
        :raises errors.ImportActive: another attempt works on the image.
        :raises errors.StatusConflict: the image has another status.
        """
        request = self._claims.request(kind, task_id, replaces)
        change = ImageChange(acquire=request, expected=frozenset({status}))
        try:
            claimed = self._repositories.images.update(ctx, image, change)
        except errors.ImageBusy:
            raise errors.ImportActive(image.id) from None
        return self._claims.keep_alive(image.id, claimed.grant, request)

    @contextlib.contextmanager
    def ended_on_error(self, claim: Claim) -> Iterator[None]:
        """End the claim when the block raises."""
        try:
            yield
        except BaseException as error:
            # When the database was away the task may be recorded all the same; then recovery,
            # which takes the expired claim over, ends the task.
            self._claims.end(claim, not isinstance(error, errors.DatabaseUnavailable))
            raise

    def start(self, ctx: Caller, task: Task) -> Task:
        """Record a task as one that is being worked on."""
        tasks = self._executor.tasks
        return tasks.start(tasks.create(ctx, task))

    def submit(self, task: Task, function: TaskFunction, claim: Claim) -> None:
        """Queue the work of a task, and end the claim after it."""
        self._executor.submit(task, function, after=lambda ended: self._claims.end(claim, ended))
