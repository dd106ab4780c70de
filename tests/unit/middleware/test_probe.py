"""Checks of the health check: when they run, and for how long their result counts."""

from __future__ import annotations

import threading
import unittest

from glance_py.middleware import probe
from glance_py.middleware.probe import Probe


class ProbeTest(unittest.TestCase):
    def setUp(self) -> None:
        self.now, self.runs = 100.0, 0
        self.error: Exception | None = None

    def check(self) -> None:
        self.runs += 1
        if self.error is not None:
            raise self.error

    def made(self, ttl: float | None = None) -> Probe:
        return Probe(self.check, ttl, lambda: self.now)

    def look(self, made: Probe) -> str | None:
        made.start()
        return made.failure()

    def test_a_success_counts_for_its_time(self) -> None:
        for ttl, seconds in ((None, probe.RESULT_TTL), (60.0, 60.0)):
            made, before = self.made(ttl), self.runs
            self.assertIsNone(self.look(made))
            self.now += seconds - 0.001
            self.assertIsNone(self.look(made))
            self.assertEqual(1, self.runs - before)
            self.now += 0.001
            self.assertIsNone(self.look(made))
            self.assertEqual(2, self.runs - before)

    def test_a_failure_counts_for_a_moment(self) -> None:
        self.error = ValueError("secret")
        made = self.made(60.0)
        with self.assertLogs(probe.LOG, "WARNING") as logs:
            self.assertEqual("ValueError", self.look(made))
        self.assertIn("secret", logs.output[0])
        self.error = None
        self.now += probe.RESULT_TTL - 0.001
        self.assertEqual("ValueError", self.look(made))
        self.now += 0.001
        self.assertIsNone(self.look(made))

    def test_a_check_that_does_not_return(self) -> None:
        """It is waited for once, runs once, and its late answer counts."""
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        runs = []

        def hang() -> None:
            runs.append(1)
            go_on.wait(60)

        made = Probe(hang, None, lambda: self.now)
        made.start()
        self.now += probe.PROBE_TIMEOUT
        for _ in range(2):
            self.assertEqual("no answer within 3 seconds", self.look(made))
        done = made._done
        go_on.set()
        self.assertTrue(done.wait(60))
        self.assertIsNone(self.look(made))
        self.assertEqual([1], runs)

    def test_a_check_that_never_ran(self) -> None:
        self.assertIsNone(self.made().failure())
