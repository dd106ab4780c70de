"""The breaker: who is away is left alone, and asked again after a while."""

import unittest

from glance_store_py import errors
from glance_store_py.breaker import StoreBreaker


class TestBreaker(unittest.TestCase):
    def setUp(self):
        self.now = 100.0
        self.asked = 0
        self.breaker = StoreBreaker("s", threshold=3, open_seconds=10, clock=lambda: self.now)

    def ask(self, answer=None):
        with self.breaker.watch():
            self.asked += 1
            if answer is not None:
                raise answer

    def is_away(self, times=1):
        for _ in range(times):
            self.assertRaises(
                errors.RemoteServiceUnavailable, self.ask, errors.RemoteServiceUnavailable()
            )

    def test_after_some_failures_nobody_waits(self):
        self.is_away(3)
        self.assertTrue(self.breaker.is_open)
        self.is_away(5)
        self.assertEqual(3, self.asked)

    def test_an_answer_in_between_starts_the_count_again(self):
        self.is_away(2)
        self.assertRaises(errors.StoreObjectNotFound, self.ask, errors.StoreObjectNotFound("x"))
        self.is_away(2)
        self.ask()
        self.assertFalse(self.breaker.is_open)

    def test_a_service_that_fails_but_answers_is_not_away(self):
        """Who writes to a full store does not keep away those who read."""
        self.is_away(2)
        for _ in range(5):
            self.assertRaises(errors.RemoteServiceFailed, self.ask, errors.RemoteServiceFailed(500))
        self.assertFalse(self.breaker.is_open)
        self.ask()
        self.assertEqual(8, self.asked)

    def test_after_a_while_one_tries_for_all(self):
        self.is_away(3)
        self.now += 11
        self.is_away(2)
        self.assertEqual(4, self.asked)
        self.now += 11
        self.ask()
        self.ask()
        self.assertEqual(6, self.asked)

    def test_time_outs_count_and_errors_of_callers_do_not(self):
        for _ in range(3):
            self.assertRaises(ZeroDivisionError, self.ask, ZeroDivisionError())
        self.assertFalse(self.breaker.is_open)
        for _ in range(3):
            self.assertRaises(errors.StoreTimeout, self.ask, errors.StoreTimeout(5))
        self.assertTrue(self.breaker.is_open)
