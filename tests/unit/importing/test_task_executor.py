"""Tasks of a process: each has an end, a sign of life, and no more threads than allowed."""

from __future__ import annotations

import dataclasses
import os
import threading
import unittest

from glance_py.domain import errors
from glance_py.domain.task import Task
from glance_py.importing import task_executor
from glance_py.importing.task_executor import TaskExecutor
from tests.waiting import eventually


class Tasks:
    """Keeps what was said about tasks; ``taken`` are those that somebody else ended."""

    def __init__(self) -> None:
        self.log: list[tuple] = []
        self.taken: set[str] = set()

    def _say(self, task: Task, *words) -> Task:
        if task.id in self.taken:
            raise errors.TaskAlreadyFinished(task.id)
        self.log.append((task.id, *words))
        return dataclasses.replace(task)

    def set_message(self, task, message):
        return self._say(task, "tell", message)

    def succeed(self, task, result, message):
        return self._say(task, "success", result, message)

    def fail(self, task, message):
        return self._say(task, "failure", message)

    def notify_run(self, task):
        self.log.append((task.id, "ran"))


class TaskExecutorTest(unittest.TestCase):
    def setUp(self) -> None:
        self.tasks = Tasks()
        self.task_executor = TaskExecutor(self.tasks, threads=2, heartbeat_seconds=0.02)

    def do(self, function, number: int = 0) -> None:
        self.task_executor.submit(Task(f"t{number}", "import", owner="p"), function)

    def ended(self, count: int = 1) -> list[tuple]:
        eventually(lambda: sum(entry[1] == "ran" for entry in self.tasks.log) == count)
        return [entry for entry in self.tasks.log if entry[1] != "tell"]

    def test_success(self) -> None:
        def function(running_task):
            running_task.set_progress("half")
            eventually(lambda: ("t0", "tell", "half") in self.tasks.log)
            running_task.set_progress("all")
            return {"a": 1}

        self.do(function)
        self.assertEqual([("t0", "success", {"a": 1}, "all"), ("t0", "ran")], self.ended())
        self.assertIn(("t0", "tell", "half"), self.tasks.log)

    def test_reasons_of_failures(self) -> None:
        """What users may know is told; what nobody foresaw is not described to them."""
        reasons = {
            errors.SourceFailed("The source answered 404."): "The source answered 404.",
            OSError(
                28, "No space left on device", "/secret/path"
            ): "The service could not read or write data: No space left on device.",
            ValueError("password=x"): task_executor.UNEXPECTED_ERROR,
        }
        for error, told in reasons.items():

            def function(running_task, error=error):
                raise error

            self.tasks.log.clear()
            with (
                self.assertLogs(task_executor.LOG, "ERROR")
                if told != str(error)
                else self.subTest()
            ):
                self.do(function)
                self.assertEqual([("t0", "failure", told), ("t0", "ran")], self.ended())

    def test_who_submitted_hears_whether_the_end_was_recorded(self) -> None:
        """Even when it was not: who keeps a claim for the task must not keep it for ever."""
        heard: list[bool] = []
        self.task_executor.submit(
            Task("good", "import", owner="p"), lambda running_task: {}, after=heard.append
        )
        eventually(lambda: heard)
        self.tasks.succeed = self.tasks.fail = self.refuse
        with self.assertLogs(task_executor.LOG, "ERROR"):
            self.task_executor.submit(
                Task("bad", "import", owner="p"), lambda running_task: {}, after=heard.append
            )
            eventually(lambda: len(heard) == 2)
            eventually(lambda: not self.task_executor._unfinished)
        self.assertEqual([True, False], heard)

    @staticmethod
    def refuse(*_) -> Task:
        raise errors.DatabaseUnavailable

    def test_a_bounded_number_at_once(self) -> None:
        """The third of three waits, and gives signs of life while it does."""
        go, running = threading.Event(), []

        def function(running_task):
            running.append(running_task.task.id)
            go.wait(60)
            return {}

        for number in range(3):
            self.do(function, number)
        eventually(lambda: ("t2", "tell", "") in self.tasks.log)
        self.assertIn(("t2", "tell", ""), self.tasks.log)
        self.assertEqual(["t0", "t1"], sorted(running))
        go.set()
        self.ended(3)
        self.assertEqual(["t0", "t1", "t2"], sorted(running))

    def test_one_project_does_not_stop_the_others(self) -> None:
        """More endless tasks of one project than there are threads, and one of another."""
        self.task_executor = TaskExecutor(self.tasks, threads=4, heartbeat_seconds=60)
        go = threading.Event()
        self.addCleanup(go.set)
        for number in range(8):
            self.do(lambda running_task: go.wait(60) and {}, number)
        done = threading.Event()
        self.task_executor.submit(
            Task("other", "import", owner="q"), lambda running_task: done.set() or {}
        )
        self.assertTrue(done.wait(60))

    def test_threads_are_used_again(self) -> None:
        before = threading.active_count()
        for number in range(5):
            self.do(lambda running_task: {}, number)
            self.ended(number + 1)
        self.assertLessEqual(threading.active_count(), before + 3)

    def test_a_task_that_was_lost(self) -> None:
        """Who lost its task to another worker is told at its next step, and says nothing more."""
        seen: list[BaseException] = []

        def function(running_task):
            self.tasks.taken.add("t0")
            eventually(lambda: running_task.cancel_reason)
            try:
                running_task.raise_if_cancelled()
            except errors.TaskCancelled as error:
                seen.append(error)
                raise
            return {}

        self.do(function)
        self.assertEqual([("t0", "ran")], self.ended())
        self.assertEqual(1, len(seen))

    def test_an_objection(self) -> None:
        def function(running_task):
            running_task.get_cancel_reason = lambda: "The image was deleted."
            eventually(lambda: running_task.cancel_reason)
            running_task.raise_if_cancelled()
            return {}

        self.do(function)
        self.assertEqual(("t0", "failure", "The image was deleted."), self.ended()[0])

    def test_stopping(self) -> None:
        """A process that is stopped has everything taken back before it ends."""
        started, taken_back = threading.Event(), threading.Event()

        def function(running_task):
            started.set()
            try:
                eventually(running_task.raise_if_cancelled)
            finally:
                taken_back.set()

        self.do(function)
        started.wait(60)
        self.task_executor.stop(60)
        self.assertTrue(taken_back.is_set())
        self.assertIn("stopped", self.ended()[0][2])

    def test_after_a_fork(self) -> None:
        """A child has its own threads, although its parent had some before."""
        self.do(lambda running_task: {})
        self.ended()
        pid = os.fork()
        if pid == 0:
            done = threading.Event()
            self.do(lambda running_task: done.set() or {}, 1)
            os._exit(0 if done.wait(60) else 1)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    unittest.main()
