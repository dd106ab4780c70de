"""The thread that calls registered functions every few seconds."""

from __future__ import annotations

import os
import threading
import unittest

from glance_py.heartbeat import Heartbeat
from tests.manual_clock import ManualClock


class HeartbeatTest(unittest.TestCase):
    def setUp(self) -> None:
        self.threads: list[tuple] = []
        self.clock = ManualClock()
        self.heartbeat = Heartbeat(
            "pulse",
            5.0,
            self.clock,
            start_thread=lambda name, run: self.threads.append((name, run)),
        )
        self.calls: list[str] = []

    def register(self, key: str) -> None:
        self.heartbeat.register(key, lambda: self.calls.append(key))

    def test_one_thread_while_anything_is_registered(self) -> None:
        self.assertEqual([], self.threads)
        self.register("a")
        self.register("b")
        [(name, run)] = self.threads
        self.assertEqual("pulse", name)
        self.clock.wake = lambda: (
            self.clock.now == 1015 and [self.heartbeat.unregister(key) for key in "ab"]
        )
        run()
        self.assertEqual((1015, ["a", "b", "a", "b"]), (self.clock.now, self.calls))
        self.register("c")
        self.assertEqual(2, len(self.threads))

    def test_the_thread_goes_on_while_one_is_left(self) -> None:
        self.register("a")
        self.register("b")
        self.clock.wake = lambda: self.heartbeat.unregister("a" if self.clock.now == 1005 else "b")
        self.threads[0][1]()
        self.assertEqual((1010, ["b"]), (self.clock.now, self.calls))

    def test_what_is_unregistered_is_not_called(self) -> None:
        self.register("a")
        self.register("b")
        self.heartbeat.unregister("a")
        self.heartbeat.unregister("never registered")
        self.heartbeat.beat()
        self.assertEqual(["b"], self.calls)

    def test_an_exception_stops_no_other(self) -> None:
        self.heartbeat.register("bad", lambda: 1 / 0)
        self.register("good")
        with self.assertLogs("glance_py.heartbeat", "ERROR") as logged:
            self.heartbeat.beat()
        self.assertEqual(["good"], self.calls)
        self.assertIn("bad", logged.output[0])

    def test_a_function_may_register_and_unregister(self) -> None:
        self.heartbeat.register("a", lambda: self.heartbeat.unregister("a"))
        self.heartbeat.beat()
        self.heartbeat.register("b", lambda: self.register("c"))
        self.heartbeat.beat()
        self.heartbeat.beat()
        self.assertEqual(["c"], self.calls)

    def test_a_child_has_none_of_its_parents_registrations(self) -> None:
        self.register("a")
        child = os.fork()
        if child == 0:
            self.heartbeat.beat()
            self.register("b")
            os._exit(0 if not self.calls and len(self.threads) == 2 else 1)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def test_in_a_real_thread(self) -> None:
        called = threading.Event()
        pulse = Heartbeat("pulse", 0.001)
        pulse.register("a", called.set)
        self.addCleanup(pulse.unregister, "a")
        self.assertTrue(called.wait(60))


if __name__ == "__main__":
    unittest.main()
