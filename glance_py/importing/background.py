"""The threads of a process that work on tasks, and the progress of each task.

The row of a task that is being worked on gets its latest message every few seconds.  Whether
its worker lives is known by the claim of the image (``claims``, ``recovery``).  A worker
whose task was ended by another process stops at its next step.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from glance_py.claims import HEARTBEAT
from glance_py.domain import errors
from glance_py.domain.ports import TaskOperations
from glance_py.domain.task import Task
from glance_py.importing.fair_queue import FairQueue

LOG = logging.getLogger(__name__)

#: Seconds that a stopping process gives its tasks to take back what they began.
GOODBYE = 10.0

UNFORESEEN = "An error of this service, which its log describes, ended the task."


class Work:
    """One task in the hands of this process.

    ``alive`` is asked at each sign of life for a reason to give up, None when
    there is none.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.message = task.message
        self.alive: Callable[[], str | None] = lambda: None
        self.over: str | None = None

    def say(self, message: str) -> None:
        """Tell how far it is; whoever looks at the task reads it soon."""
        self.message = message

    def check(self) -> None:
        """Is it still worth going on?

        :raises errors.TaskCancelled: no, with the reason.
        """
        if self.over is not None:
            raise errors.TaskCancelled(self.over)


#: What is done for a task: gives the task's result, or raises after taking everything back.
Deed = Callable[[Work], Mapping[str, Any]]


class Background:
    """Runs deeds, a bounded number at the same time.  Safe in threads and across a fork."""

    def __init__(self, tasks: TaskOperations, threads: int, heartbeat: float = HEARTBEAT) -> None:
        self.tasks = tasks
        self._threads = threads
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._process: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._waiting: FairQueue = FairQueue(self._threads)
        self._at_work: dict[str, Work] = {}
        self._running = 0
        self._idle = 0

    def submit(
        self, task: Task, deed: Deed, after: Callable[[bool], object] = lambda ended: None
    ) -> None:
        """Have ``deed`` done soon; ``task`` is one that has been started.

        :param after: called when the deed is over, with whether the end of the task was recorded.
        """
        work = Work(task)
        with self._lock:
            if self._process != os.getpid():
                self._begin()
            self._at_work[task.id] = work
            self._waiting.put(task.owner, (work, deed, after))
            if self._idle < self._waiting.qsize() and self._running < self._threads:
                self._running += 1
                threading.Thread(target=self._run, name="task", daemon=True).start()

    def _begin(self) -> None:
        """Threads do not survive a fork, and neither do the tasks of the parent."""
        self._reset()
        self._process = os.getpid()
        threading.Thread(target=self._beat, name="tasks", daemon=True).start()
        atexit.register(self.stop)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            owner, (work, deed, after) = self._waiting.get()
            with self._lock:
                self._idle -= 1
            try:
                self._work(work, deed, after)
            finally:
                self._waiting.done(owner)

    def _work(self, work: Work, deed: Deed, after: Callable[[bool], object]) -> None:
        ended = False
        try:
            try:
                self._do(work, deed)
                ended = True
            finally:
                # Otherwise this process keeps the claim of the task alive as long as it lives.
                after(ended)
        except Exception:
            LOG.exception("Task %s could not be ended; it is left to recovery", work.task.id)
        finally:
            with self._lock:
                self._at_work.pop(work.task.id, None)

    def _do(self, work: Work, deed: Deed) -> None:
        try:
            work.check()
            result = deed(work)
            self.tasks.succeed(work.task, result, work.message)
        except errors.TaskAlreadyFinished:
            LOG.warning("Task %s was ended by another worker", work.task.id)
        except BaseException as error:
            self._fail(work, error)
        self.tasks.notify_run(work.task)

    def _fail(self, work: Work, error: BaseException) -> None:
        try:
            self.tasks.fail(work.task, sentence(error))
        except errors.TaskAlreadyFinished:
            LOG.warning("Task %s was ended by another worker", work.task.id)

    def _beat(self) -> None:
        process = self._process
        while self._process == process:
            time.sleep(self._heartbeat)
            with self._lock:
                works = list(self._at_work.values())
            for work in works:
                try:
                    self._sign(work)
                except Exception as error:
                    LOG.warning("Task %s could give no sign of life: %s", work.task.id, error)

    def _sign(self, work: Work) -> None:
        try:
            self.tasks.set_message(work.task, work.message)
            work.over = work.over or work.alive()
        except errors.TaskAlreadyFinished as error:
            if work.task.id in self._at_work:
                work.over = str(error)

    def stop(self, seconds: float = GOODBYE) -> None:
        """Have all deeds taken back, and wait for that, but not for ever."""
        if self._process != os.getpid():
            return
        with self._lock:
            works = list(self._at_work.values())
        for work in works:
            work.over = "The worker that did this was stopped; start it again."
        deadline = time.monotonic() + seconds
        while self._at_work and time.monotonic() < deadline:
            time.sleep(0.05)


def sentence(error: BaseException) -> str:
    """What may be told of an error: one true sentence without secrets."""
    if isinstance(error, errors.GlanceError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        LOG.error("A task failed", exc_info=error)
        return f"The service could not read or write data: {error.strerror}."
    LOG.error("A task failed", exc_info=error)
    return UNFORESEEN
