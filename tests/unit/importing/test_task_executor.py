"""Tasks of a process: each has an end and heartbeats, in no more threads than allowed."""

from __future__ import annotations

import dataclasses
import os
import threading
import unittest

from glance_py.domain import errors
from glance_py.domain.task import Task
from glance_py.heartbeat import Heartbeat
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
        self.heartbeat = Heartbeat("tasks", 60.0, start_thread=lambda name, run: None)
        self.task_executor = self.executor(threads=2)

    def executor(self, threads: int) -> TaskExecutor:
        return TaskExecutor(self.tasks, threads, self.heartbeat)

    def do(self, function, number: int = 0) -> None:
        self.task_executor.submit(Task(f"t{number}", "import", owner="p"), function)

    def ended(self, count: int = 1) -> list[tuple]:
        eventually(lambda: sum(entry[1] == "ran" for entry in self.tasks.log) == count)
        return [entry for entry in self.tasks.log if entry[1] != "tell"]

    def test_success(self) -> None:
        def function(running_task):
            running_task.set_progress("half")
            self.heartbeat.beat()
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
            eventually(lambda: self.task_executor.is_idle)
        self.assertEqual([True, False], heard)

    @staticmethod
    def refuse(*_) -> Task:
        raise errors.DatabaseUnavailable

    def test_a_bounded_number_at_once(self) -> None:
        """The third of three waits, and its record is refreshed while it does."""
        go, running = threading.Event(), []

        def function(running_task):
            running.append(running_task.task.id)
            go.wait(60)
            return {}

        for number in range(3):
            self.do(function, number)
        eventually(lambda: len(running) == 2)
        self.heartbeat.beat()
        self.assertIn(("t2", "tell", ""), self.tasks.log)
        self.assertEqual(["t0", "t1"], sorted(running))
        go.set()
        self.ended(3)
        self.assertEqual(["t0", "t1", "t2"], sorted(running))

    def test_one_project_does_not_stop_the_others(self) -> None:
        """More endless tasks of one project than there are threads, and one of another."""
        self.task_executor = self.executor(threads=4)
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
            self.heartbeat.beat()
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
            self.heartbeat.beat()
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

    def test_stopping_waits_no_longer_than_it_may(self) -> None:
        go, started = threading.Event(), threading.Event()
        self.addCleanup(go.set)
        self.do(lambda running_task: started.set() or go.wait(60) and {})
        started.wait(60)
        self.task_executor.stop(0)
        self.assertFalse(self.task_executor.is_idle)

    def test_stopping_a_process_without_tasks(self) -> None:
        self.task_executor.stop()
        self.assertTrue(self.task_executor.is_idle)

    def test_a_queued_task_that_was_cancelled_does_not_begin(self) -> None:
        go, begun = threading.Event(), []
        self.addCleanup(go.set)
        self.task_executor = self.executor(threads=1)
        self.do(lambda running_task: go.wait(60) and {})
        self.do(lambda running_task: begun.append(1) or {}, 1)
        self.task_executor.stop(0)
        go.set()
        self.assertIn(("t1", "failure", task_executor.PROCESS_STOPPED), self.ended(2))
        self.assertEqual([], begun)

    def test_in_the_thread_of_the_caller(self) -> None:
        heard: list[bool] = []
        seen: list[object] = []

        def function(running_task):
            seen.extend((threading.current_thread(), self.task_executor.is_idle))
            return {"a": 1}

        self.task_executor.run(Task("t0", "import", owner="p"), function, heard.append)
        self.assertEqual([threading.current_thread(), False], seen)
        self.assertEqual(([True], True), (heard, self.task_executor.is_idle))
        self.assertEqual([("t0", "success", {"a": 1}, ""), ("t0", "ran")], self.ended())

    def test_heartbeats_end_with_the_task(self) -> None:
        self.task_executor.run(Task("t0", "import", owner="p"), lambda running_task: {})
        before = list(self.tasks.log)
        self.heartbeat.beat()
        self.assertEqual(before, self.tasks.log)

    def test_progress_that_cannot_be_recorded_does_not_cancel(self) -> None:
        def function(running_task):
            self.tasks.set_message = self.refuse
            with self.assertLogs(task_executor.LOG, "WARNING") as logged:
                self.heartbeat.beat()
            self.assertIn("t0", logged.output[0])
            running_task.raise_if_cancelled()
            return {}

        self.task_executor.run(Task("t0", "import", owner="p"), function)
        self.assertEqual("success", self.ended()[0][1])

    def test_the_first_reason_stays(self) -> None:
        def function(running_task):
            running_task.cancel_reason = "first"
            running_task.get_cancel_reason = lambda: "second"
            self.heartbeat.beat()
            running_task.raise_if_cancelled()

        self.task_executor.run(Task("t0", "import", owner="p"), function)
        self.assertEqual(("t0", "failure", "first"), self.ended()[0])

    def test_a_heartbeat_that_comes_after_the_end_cancels_nothing(self) -> None:
        """A heartbeat has begun when the task ends, and finds its record finished."""
        made: list = []

        def function(running_task):
            made.append(running_task)
            return {}

        self.task_executor.run(Task("t0", "import", owner="p"), function)
        self.tasks.taken.add("t0")
        self.task_executor._send_heartbeat(made[0])
        self.assertIsNone(made[0].cancel_reason)

    def test_a_failure_that_another_worker_recorded(self) -> None:
        def function(running_task):
            self.tasks.taken.add("t0")
            raise errors.SourceFailed("too late")

        with self.assertLogs(task_executor.LOG, "WARNING") as logged:
            self.task_executor.run(Task("t0", "import", owner="p"), function)
        self.assertIn("another worker", logged.output[0])
        self.assertEqual([("t0", "ran")], self.ended())

    def test_errors_of_the_operating_system_without_a_text(self) -> None:
        with self.assertLogs(task_executor.LOG, "ERROR"):
            self.assertEqual(
                task_executor.UNEXPECTED_ERROR, task_executor.user_message(OSError("/secret"))
            )

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
