"""A service that does not answer is left alone for a while, then asked by one."""

from __future__ import annotations

import unittest

from glance_py.breaker import CircuitBreaker, CircuitOpen


class BreakerTest(unittest.TestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.breaker = CircuitBreaker(failures=3, seconds=5.0, clock=lambda: self.now)
        self.asked = 0

    def ask(self, error: Exception | None = None) -> str:
        def work() -> str:
            self.asked += 1
            if error is not None:
                raise error
            return "answer"

        return self.breaker.call(work, (OSError,))

    def fail(self, times: int) -> None:
        for _ in range(times):
            with self.assertRaises(OSError):
                self.ask(OSError())

    def test_some_failures_in_a_row_open_it(self) -> None:
        self.fail(2)
        self.assertEqual("answer", self.ask())
        self.fail(3)
        for _ in range(10):
            with self.assertRaises(CircuitOpen):
                self.ask()
        self.assertEqual(6, self.asked)

    def test_one_tries_again(self) -> None:
        self.fail(3)
        self.now += 5
        seen = []

        def work() -> str:
            with self.assertRaises(CircuitOpen):
                self.ask()  # another caller, meanwhile
            seen.append(1)
            return "answer"

        self.assertEqual("answer", self.breaker.call(work, (OSError,)))
        self.assertEqual("answer", self.ask())
        self.fail(3)
        self.now += 5
        self.fail(1)
        with self.assertRaises(CircuitOpen):
            self.ask()

    def test_an_error_that_is_an_answer_closes_it(self) -> None:
        self.fail(2)
        with self.assertRaises(ValueError):
            self.ask(ValueError())
        self.fail(2)
        self.assertEqual("answer", self.ask())


if __name__ == "__main__":
    unittest.main()
