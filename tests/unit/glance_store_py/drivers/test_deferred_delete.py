"""What could not be removed is tried again until there is an answer."""

import threading
import unittest
from unittest import mock

from glance_store_py import errors
from glance_store_py.drivers import deferred_delete
from glance_store_py.drivers.deferred_delete import DeferredDeleter
from tests.unit.glance_store_py.test_process import in_child


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

    def test_too_many_are_logged_and_dropped(self):
        deferred = DeferredDeleter(retry_interval=60)
        with mock.patch.object(deferred_delete, "MAX_PENDING", 1):
            deferred.remove("first", self.remover(), immediately=False)
            with self.assertLogs("glance_store_py", "ERROR") as logs:
                deferred.remove("second", self.remover(), immediately=False)
        self.assertIn("second", logs.output[0])

    def test_a_child_process_begins_without_pending_deletions(self):
        deferred = DeferredDeleter(retry_interval=60)
        deferred.remove("it", self.remover(), immediately=False)
        self.assertFalse(deferred.join(0))

        def look():
            pending = deferred._pending.get()
            return pending.deletions, pending.thread

        self.assertEqual("([], None)", in_child(look))
