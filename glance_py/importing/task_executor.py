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

from glance_py.claims import HEARTBEAT_SECONDS
from glance_py.domain import errors
from glance_py.domain.ports import InternalTaskOperations
from glance_py.domain.task import Task
from glance_py.importing.fair_queue import FairQueue

LOG = logging.getLogger(__name__)

#: Seconds that a stopping process gives its tasks to take back what they began.
SHUTDOWN_SECONDS = 10.0

UNEXPECTED_ERROR = "An error of this service, which its log describes, ended the task."


class RunningTask:
    """One task in the hands of this process.

    ``get_cancel_reason`` is called at each sign of life for a reason to give up, None when
    there is none.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.message = task.message
        self.get_cancel_reason: Callable[[], str | None] = lambda: None
        self.cancel_reason: str | None = None

    def set_progress(self, message: str) -> None:
        """Tell how far it is; whoever looks at the task reads it soon."""
        self.message = message

    def raise_if_cancelled(self) -> None:
        """Is it still worth going on?

        :raises errors.TaskCancelled: no, with the reason.
        """
        if self.cancel_reason is not None:
            raise errors.TaskCancelled(self.cancel_reason)


#: What is done for a task: gives the task's result, or raises after taking everything back.
TaskFunction = Callable[[RunningTask], Mapping[str, Any]]


class TaskExecutor:
    """Runs functions, a bounded number at the same time.  Safe in threads and across a fork."""

    def __init__(
        self,
        tasks: InternalTaskOperations,
        threads: int,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.tasks = tasks
        self._max_threads = threads
        self._heartbeat_seconds = heartbeat_seconds
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._queue: FairQueue = FairQueue(self._max_threads)
        self._unfinished: dict[str, RunningTask] = {}
        self._thread_count = 0
        self._idle_count = 0

    def submit(
        self,
        task: Task,
        function: TaskFunction,
        after: Callable[[bool], object] = lambda ended: None,
    ) -> None:
        """Have ``function`` done soon; ``task`` is one that has been started.

        :param after: called when the function is over, with whether the end of the task was
            recorded.
        """
        running_task = RunningTask(task)
        with self._lock:
            if self._pid != os.getpid():
                self._start_in_process()
            self._unfinished[task.id] = running_task
            self._queue.put(task.owner, (running_task, function, after))
            if self._idle_count < self._queue.qsize() and self._thread_count < self._max_threads:
                self._thread_count += 1
                threading.Thread(target=self._run, name="task", daemon=True).start()

    def _start_in_process(self) -> None:
        """Threads do not survive a fork, and neither do the tasks of the parent."""
        self._reset()
        self._pid = os.getpid()
        threading.Thread(target=self._send_heartbeats, name="tasks", daemon=True).start()
        atexit.register(self.stop)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle_count += 1
            owner, (running_task, function, after) = self._queue.get()
            with self._lock:
                self._idle_count -= 1
            try:
                self._run_task(running_task, function, after)
            finally:
                self._queue.done(owner)

    def _run_task(
        self, running_task: RunningTask, function: TaskFunction, after: Callable[[bool], object]
    ) -> None:
        ended = False
        try:
            try:
                self._execute(running_task, function)
                ended = True
            finally:
                # Otherwise this process keeps the claim of the task alive as long as it lives.
                after(ended)
        except Exception:
            LOG.exception(
                "Task %s could not be ended; it is left to recovery", running_task.task.id
            )
        finally:
            with self._lock:
                self._unfinished.pop(running_task.task.id, None)

    def _execute(self, running_task: RunningTask, function: TaskFunction) -> None:
        try:
            running_task.raise_if_cancelled()
            result = function(running_task)
            self.tasks.succeed(running_task.task, result, running_task.message)
        except errors.TaskAlreadyFinished:
            LOG.warning("Task %s was ended by another worker", running_task.task.id)
        except BaseException as error:
            self._fail(running_task, error)
        self.tasks.notify_run(running_task.task)

    def _fail(self, running_task: RunningTask, error: BaseException) -> None:
        try:
            self.tasks.fail(running_task.task, user_message(error))
        except errors.TaskAlreadyFinished:
            LOG.warning("Task %s was ended by another worker", running_task.task.id)

    def _send_heartbeats(self) -> None:
        pid = self._pid
        while self._pid == pid:
            time.sleep(self._heartbeat_seconds)
            with self._lock:
                running_tasks = list(self._unfinished.values())
            for running_task in running_tasks:
                try:
                    self._send_heartbeat(running_task)
                except Exception as error:
                    LOG.warning(
                        "Task %s could give no sign of life: %s", running_task.task.id, error
                    )

    def _send_heartbeat(self, running_task: RunningTask) -> None:
        try:
            self.tasks.set_message(running_task.task, running_task.message)
            running_task.cancel_reason = (
                running_task.cancel_reason or running_task.get_cancel_reason()
            )
        except errors.TaskAlreadyFinished as error:
            if running_task.task.id in self._unfinished:
                running_task.cancel_reason = str(error)

    def stop(self, seconds: float = SHUTDOWN_SECONDS) -> None:
        """Have all functions taken back, and wait for that, but not for ever."""
        if self._pid != os.getpid():
            return
        with self._lock:
            running_tasks = list(self._unfinished.values())
        for running_task in running_tasks:
            running_task.cancel_reason = "The worker that did this was stopped; start it again."
        deadline = time.monotonic() + seconds
        while self._unfinished and time.monotonic() < deadline:
            time.sleep(0.05)


def user_message(error: BaseException) -> str:
    """What may be told of an error: one true sentence without secrets."""
    if isinstance(error, errors.GlanceError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        LOG.error("A task failed", exc_info=error)
        return f"The service could not read or write data: {error.strerror}."
    LOG.error("A task failed", exc_info=error)
    return UNEXPECTED_ERROR
