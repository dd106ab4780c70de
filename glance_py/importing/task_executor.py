"""The threads of a process that run tasks, and the heartbeats of those tasks.

The record of a task that is queued or running gets its latest message every few seconds.  The
record does not show whether the worker is alive: that is known from the claim of the image
(``claims``, ``recovery``).  A task that another process has ended is cancelled at its next
heartbeat.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import logging
import threading
from collections.abc import Callable, Mapping

from glance_py.domain import errors
from glance_py.domain.ports import InternalTaskOperations
from glance_py.domain.task import Task
from glance_py.heartbeat import Heartbeat
from glance_py.importing.fair_queue import FairQueue
from glance_store_py import process

LOG = logging.getLogger(__name__)

#: Seconds that the tasks of a stopping process have for their rollback.
SHUTDOWN_SECONDS = 10.0

UNEXPECTED_ERROR = "An error of this service, which its log describes, ended the task."
PROCESS_STOPPED = "The worker that did this was stopped; start it again."


class RunningTask:
    """A task that is queued or running in this process.

    ``get_cancel_reason`` is called at every heartbeat; a string cancels the task, None does not.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.message = task.message
        self.get_cancel_reason: Callable[[], str | None] = lambda: None
        self.cancel_reason: str | None = None

    def set_progress(self, message: str) -> None:
        """Set the progress message, which the next heartbeat records."""
        self.message = message

    def raise_if_cancelled(self) -> None:
        """Return when the task may go on.

        :raises errors.TaskCancelled: the task is cancelled, with the reason.
        """
        if self.cancel_reason is not None:
            raise errors.TaskCancelled(self.cancel_reason)


#: The work of a task.  Returns the task's result; undoes everything before it raises.
TaskFunction = Callable[[RunningTask], Mapping[str, object]]
#: Called when the work is over; True when the end of the task was recorded.
AfterTask = Callable[[bool], object]


def do_nothing(ended: bool) -> None:
    """The default of ``after``."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    running_task: RunningTask
    function: TaskFunction
    after: AfterTask


class _ProcessState:
    """The tasks and threads of one process; ``changed`` guards everything but the queue."""

    def __init__(self, max_threads: int) -> None:
        self.queue: FairQueue[_Job] = FairQueue(max_threads)
        self.unfinished: dict[str, RunningTask] = {}
        self.thread_count = 0
        self.idle_count = 0
        self.changed = threading.Condition()


class TaskExecutor:
    """Runs the functions of tasks, a bounded number at the same time.

    Safe in threads; a forked child starts without the tasks and threads of its parent.

    :param threads: at most so many functions run at the same time.
    :param heartbeat: calls what the executor registers for each task.
    """

    def __init__(self, tasks: InternalTaskOperations, threads: int, heartbeat: Heartbeat) -> None:
        self.tasks = tasks
        self._max_threads = threads
        self._heartbeat = heartbeat
        self._process = process.PerProcess(self._begin_process)

    def _begin_process(self) -> _ProcessState:
        atexit.register(self.stop)
        return _ProcessState(self._max_threads)

    @property
    def is_idle(self) -> bool:
        """True when no task of this process is queued or running."""
        return not self._process.get().unfinished

    def submit(self, task: Task, function: TaskFunction, after: AfterTask = do_nothing) -> None:
        """Queue ``function`` for ``task``; see :data:`TaskFunction` and :data:`AfterTask`."""
        mine, running_task = self._process.get(), self._begin(task)
        with mine.changed:
            mine.queue.put(task.owner, _Job(running_task, function, after))
            if mine.idle_count < mine.queue.qsize() and mine.thread_count < self._max_threads:
                mine.thread_count += 1
                process.start_thread("task", self._run)

    def run(self, task: Task, function: TaskFunction, after: AfterTask = do_nothing) -> None:
        """Call ``function`` for ``task`` in this thread; see :meth:`submit`."""
        self._run_job(_Job(self._begin(task), function, after))

    def _begin(self, task: Task) -> RunningTask:
        mine, running_task = self._process.get(), RunningTask(task)
        with mine.changed:
            mine.unfinished[task.id] = running_task
        self._heartbeat.register(task.id, functools.partial(self._send_heartbeat, running_task))
        return running_task

    def _run(self) -> None:
        mine = self._process.get()
        while True:
            with mine.changed:
                mine.idle_count += 1
            owner, job = mine.queue.get()
            with mine.changed:
                mine.idle_count -= 1
            try:
                self._run_job(job)
            finally:
                mine.queue.done(owner)

    def _run_job(self, job: _Job) -> None:
        mine, task, ended = self._process.get(), job.running_task.task, False
        try:
            try:
                self._execute(job.running_task, job.function)
                ended = True
            finally:
                # Otherwise this process would refresh the claim of the task until it ends.
                job.after(ended)
        except Exception:
            LOG.exception("Task %s could not be ended; it is left to recovery", task.id)
        finally:
            self._heartbeat.unregister(task.id)
            with mine.changed:
                mine.unfinished.pop(task.id, None)
                mine.changed.notify_all()

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

    def _send_heartbeat(self, running_task: RunningTask) -> None:
        """Record the message of a task, and find out whether it is cancelled."""
        task_id = running_task.task.id
        try:
            self.tasks.set_message(running_task.task, running_task.message)
            running_task.cancel_reason = (
                running_task.cancel_reason or running_task.get_cancel_reason()
            )
        except errors.TaskAlreadyFinished as error:
            # A task that ended in this process, in the meantime, is not cancelled.
            if task_id in self._process.get().unfinished:
                running_task.cancel_reason = str(error)
        except Exception as error:
            LOG.warning("The progress of task %s could not be recorded: %s", task_id, error)

    def stop(self, seconds: float = SHUTDOWN_SECONDS) -> None:
        """Cancel all tasks of this process and wait until they have ended.

        :param seconds: after which it returns in any case.
        """
        mine = self._process.peek()
        if mine is None:
            return
        with mine.changed:
            for running_task in mine.unfinished.values():
                running_task.cancel_reason = PROCESS_STOPPED
            mine.changed.wait_for(lambda: not mine.unfinished, seconds)


def user_message(error: BaseException) -> str:
    """One sentence about an error that the user may read: no paths and no secrets.

    An error of which the user learns nothing is logged.
    """
    if isinstance(error, errors.GlanceError):
        return str(error)
    LOG.error("A task failed", exc_info=error)
    if isinstance(error, OSError) and error.strerror:
        return f"The service could not read or write data: {error.strerror}."
    return UNEXPECTED_ERROR
