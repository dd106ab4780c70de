"""Values that each process creates for itself, across a real fork."""

import gc
import os
import threading
import unittest
import weakref

from glance_store_py.process import PerProcess, run_in_children, start_thread


def in_child(ask) -> str:
    """What ``ask()`` returns in a forked child, as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(ask()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        text = answer.read().decode()
    os.waitpid(child, 0)
    return text


class TestPerProcess(unittest.TestCase):
    def test_a_value_is_created_once_in_a_process(self):
        values = PerProcess(object)
        self.assertIsNone(values.peek())
        self.assertIs(values.get(), values.get())
        self.assertIs(values.peek(), values.get())

    def test_a_child_creates_its_own(self):
        values = PerProcess(os.getpid)
        self.assertEqual(os.getpid(), values.get())
        self.assertNotEqual(str(os.getpid()), in_child(values.get))
        self.assertEqual("None", in_child(values.peek))
        self.assertEqual(os.getpid(), values.get())

    def test_a_child_may_say_what_becomes_of_the_value_of_its_parent(self):
        inherited = []
        values = PerProcess(os.getpid, inherited.append)
        values.get()

        def ask():
            values.get()
            return inherited

        self.assertEqual(f"[{os.getpid()}]", in_child(ask))
        self.assertEqual([], inherited)

    def test_what_could_not_be_created_is_tried_again(self):
        outcomes = [OSError("no"), "value"]

        def create():
            outcome = outcomes.pop(0)
            if isinstance(outcome, OSError):
                raise outcome
            return outcome

        values = PerProcess(create)
        self.assertRaises(OSError, values.get)
        self.assertEqual("value", values.get())

    def test_a_discarded_value_is_created_again(self):
        values = PerProcess(object)
        first = values.get()
        values.discard(first)
        second = values.get()
        self.assertIsNot(first, second)
        values.discard(first)
        self.assertIs(second, values.get())

    def test_threads_that_come_at_once_get_the_same_value(self):
        barrier, made, got = threading.Barrier(4), [], []

        def create():
            made.append(object())
            return made[-1]

        values = PerProcess(create)

        def ask():
            barrier.wait()
            got.append(values.get())

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(1, len(made))
        self.assertEqual(made * 4, got)


class TestThreads(unittest.TestCase):
    def test_a_thread_has_its_name_and_does_not_keep_the_process(self):
        names = []
        thread = start_thread("watchdog", lambda: names.append(threading.current_thread().name))
        thread.join()
        self.assertEqual(["watchdog"], names)
        self.assertTrue(thread.daemon)


class Counter:
    def __init__(self):
        self.calls = 0

    def count(self):
        self.calls += 1


class TestChildren(unittest.TestCase):
    def test_a_method_runs_in_each_child_and_not_here(self):
        counter = Counter()
        run_in_children(counter.count)
        self.assertEqual(["1", "1"], [in_child(lambda: counter.calls) for _ in range(2)])
        self.assertEqual(0, counter.calls)

    def test_the_object_is_not_kept(self):
        counter = Counter()
        reference = weakref.ref(counter)
        run_in_children(counter.count)
        del counter
        gc.collect()
        self.assertEqual("None", in_child(reference))
