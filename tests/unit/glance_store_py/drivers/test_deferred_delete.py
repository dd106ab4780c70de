"""What could not be removed is tried again until there is an answer."""

import threading
import unittest

from glance_store_py import errors
from glance_store_py.drivers.deferred_delete import DeferredDeleter


class TestDeferredDeleter(unittest.TestCase):
    def setUp(self):
        self.deferred = DeferredDeleter(retry_interval=0.01)
        self.calls = []
        self.over = threading.Event()

    def remover(self, *failures):
        """Raises one failure after the other, then succeeds."""
        left = list(failures)

        def remove():
            self.calls.append(threading.current_thread().name)
            if left:
                raise left.pop(0)
            self.over.set()

        return remove

    def test_what_goes_at_once_needs_no_thread(self):
        self.deferred.remove("it", self.remover())
        self.assertEqual(1, len(self.calls))
        self.assertIsNone(self.deferred._pending.get().thread)

    def test_a_service_that_is_away_is_asked_again(self):
        away = errors.RemoteServiceUnavailable()
        with self.assertLogs("glance_store_py"):
            self.deferred.remove(
                "it", self.remover(away, errors.StoreTimeout(1), errors.InUseByStore(), away)
            )
            self.assertTrue(self.over.wait(60))
        self.assertEqual(["deferred-delete"] * 4, self.calls[1:])

    def test_a_service_that_is_known_to_be_away_is_not_asked_at_once(self):
        self.deferred.remove("it", self.remover(), immediately=False)
        self.assertTrue(self.over.wait(60))
        self.assertEqual(["deferred-delete"], self.calls)

    def test_a_thread_ends_with_its_work_and_another_follows(self):
        for _ in range(2):
            with self.assertLogs("glance_store_py"):
                self.deferred.remove("it", self.remover(errors.RemoteServiceUnavailable()))
                self.assertTrue(self.deferred.join(60))
            self.assertIsNone(self.deferred._pending.get().thread)
        self.assertEqual(4, len(self.calls))

    def test_other_answers_settle_it(self):
        with self.assertLogs("glance_store_py"):
            self.deferred.remove("it", self.remover(errors.StoreForbidden()))
            self.deferred.remove("it", self.remover(ValueError()))
        self.deferred.remove("it", self.remover(errors.StoreObjectNotFound("x")))
        self.assertIsNone(self.deferred._pending.get().thread)
