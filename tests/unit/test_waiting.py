"""Waiting for a condition: the value that holds comes back, and a deadline fails the test."""

from __future__ import annotations

import unittest

from tests.waiting import eventually


class EventuallyTest(unittest.TestCase):
    def test_the_first_result_that_holds_is_returned(self) -> None:
        values = iter((1, 2, 3, 4))
        found = eventually(lambda: next(values), lambda value: value > 2, interval=0)
        self.assertEqual((3, 4), (found, next(values)))

    def test_a_result_that_never_holds_fails_the_test_and_is_named(self) -> None:
        with self.assertRaisesRegex(AssertionError, "'saving'\nthe log"):
            eventually(
                lambda: "saving",
                lambda status: status == "active",
                seconds=0,
                explain=lambda: "the log",
            )

    def test_errors_to_ignore_are_waited_out_and_others_are_raised(self) -> None:
        values = iter((ConnectionError(), None))

        def look() -> bool:
            if error := next(values):
                raise error
            return True

        self.assertTrue(eventually(look, ignore=(ConnectionError,), interval=0))
        with self.assertRaises(ZeroDivisionError):
            eventually(lambda: 1 // 0, ignore=(ConnectionError,))
        with self.assertRaisesRegex(AssertionError, "ConnectionError"):
            eventually(self.refuse, ignore=(ConnectionError,), seconds=0)

    def refuse(self) -> None:
        raise ConnectionError


if __name__ == "__main__":
    unittest.main()
