"""Projects take turns, and none takes all threads."""

from __future__ import annotations

import threading
import unittest

from glance_py.importing.fair_queue import FairQueue


class FairQueueTest(unittest.TestCase):
    def test_owners_take_turns(self) -> None:
        queue: FairQueue[int] = FairQueue(16)
        for number in range(4):
            queue.put("a", number)
        queue.put("b", 10)
        queue.put("c", 20)
        self.assertEqual(6, queue.qsize())
        self.assertEqual(
            [("a", 0), ("b", 10), ("c", 20), ("a", 1), ("a", 2), ("a", 3)],
            [queue.get() for _ in range(6)],
        )

    def test_who_has_least_at_work_is_next(self) -> None:
        queue: FairQueue[int] = FairQueue(16)
        for number in range(3):
            queue.put("a", number)
        self.assertEqual([("a", 0), ("a", 1)], [queue.get(), queue.get()])
        queue.put("b", 10)
        queue.put("b", 11)
        self.assertEqual([("b", 10), ("b", 11)], [queue.get(), queue.get()])

    def test_a_share_of_the_threads_is_for_others(self) -> None:
        for threads, most in ((1, 1), (2, 2), (4, 3), (16, 12)):
            with self.subTest(threads):
                queue: FairQueue[int] = FairQueue(threads)
                for number in range(threads + 1):
                    queue.put("a", number)
                for _ in range(most):
                    queue.get()
                queue.put("b", 10)
                self.assertEqual(("b", 10), queue.get())

    def test_what_is_done_lets_the_next_begin(self) -> None:
        queue: FairQueue[int] = FairQueue(4)
        for number in range(4):
            queue.put("a", number)
        for _ in range(3):
            queue.get()
        got: list[tuple[str, int]] = []
        waits, wait = threading.Event(), queue._changed.wait
        queue._changed.wait = lambda: waits.set() or wait()
        thread = threading.Thread(target=lambda: got.append(queue.get()), daemon=True)
        thread.start()
        self.assertTrue(waits.wait(60))
        self.assertEqual([], got)
        queue.done("a")
        thread.join(60)
        self.assertEqual([("a", 3)], got)


if __name__ == "__main__":
    unittest.main()
