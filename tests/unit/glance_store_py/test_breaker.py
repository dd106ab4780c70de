"""The circuit breaker: a service that does not answer is not asked, then asked by one caller."""

from __future__ import annotations

import unittest

from glance_store_py.breaker import CircuitBreaker, CircuitOpen


class BreakerCase(unittest.TestCase):
    #: Arguments of the breaker.
    options: dict = {}

    def setUp(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.breaker = CircuitBreaker(
            (OSError,), **{"failures": 3, "seconds": 5.0, "clock": lambda: self.now, **self.options}
        )

    def ask(self, error: Exception | None = None) -> str:
        def work() -> str:
            self.asked += 1
            if error is not None:
                raise error
            return "answer"

        return self.breaker.call(work)

    def fail(self, times: int) -> None:
        for _ in range(times):
            self.assertRaises(OSError, self.ask, OSError())

    def assert_refused(self, times: int = 1) -> None:
        asked = self.asked
        for _ in range(times):
            self.assertRaises(CircuitOpen, self.ask)
        self.assertEqual(asked, self.asked)


class TestBreaker(BreakerCase):
    def test_some_failures_in_a_row_open_it(self) -> None:
        self.fail(2)
        self.assertFalse(self.breaker.is_open)
        self.assertEqual("answer", self.ask())
        self.fail(3)
        self.assertTrue(self.breaker.is_open)
        self.assert_refused(10)

    def test_one_tries_again(self) -> None:
        self.fail(3)
        self.now += 4.9
        self.assert_refused()
        self.now += 0.1
        with self.breaker.watch():
            self.assert_refused()  # another caller, meanwhile
        self.assertEqual("answer", self.ask())
        self.fail(3)
        self.now += 5
        self.fail(1)
        self.assert_refused()
        self.now += 5
        self.assertEqual("answer", self.ask())

    def test_a_caller_that_tries_in_vain_for_long_delays_the_next_attempt(self) -> None:
        self.fail(3)
        self.now += 5

        def work() -> None:
            self.now += 60
            raise OSError

        self.assertRaises(OSError, self.breaker.call, work)
        self.assert_refused()
        self.now += 5
        self.ask()

    def test_an_error_that_is_an_answer_closes_it(self) -> None:
        self.fail(2)
        self.assertRaises(ValueError, self.ask, ValueError())
        self.fail(2)
        self.assertEqual("answer", self.ask())

    def test_without_a_name_nothing_is_logged(self) -> None:
        with self.assertNoLogs("glance_store_py"):
            self.fail(3)
            self.now += 5
            self.ask()


class TestNamedBreaker(BreakerCase):
    options = {"answers": (LookupError,), "name": "Store s", "open_error": lambda: CircuitOpen("s")}

    def test_errors_that_are_no_answer_change_nothing(self) -> None:
        self.fail(2)
        for _ in range(5):
            self.assertRaises(ZeroDivisionError, self.ask, ZeroDivisionError())
        self.assertFalse(self.breaker.is_open)
        self.fail(1)
        self.assertTrue(self.breaker.is_open)
        self.assertRaisesRegex(CircuitOpen, "^s$", self.ask)

    def test_an_answer_starts_the_count_again(self) -> None:
        self.fail(2)
        self.assertRaises(KeyError, self.ask, KeyError())
        self.fail(2)
        self.assertFalse(self.breaker.is_open)

    def test_transitions_are_logged_once(self) -> None:
        with self.assertLogs("glance_store_py.breaker") as logs:
            self.fail(3)
            self.now += 5
            self.fail(1)
            self.now += 5
            self.ask()
            self.ask()
        self.assertEqual(
            [
                "ERROR:glance_store_py.breaker:Store s cannot be reached and is left alone for "
                "5 seconds at a time",
                "WARNING:glance_store_py.breaker:Store s can be reached again",
            ],
            logs.output,
        )


if __name__ == "__main__":
    unittest.main()
