"""A queue that gives each project its share of the threads that take from it."""

from __future__ import annotations

import collections
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items of several owners, who take turns.

    What is taken next belongs to the owner of whom the fewest items are being
    worked on, and of those to the one who has waited longest.  A quarter of the
    threads is never taken by one owner alone, so that slow work of one does not
    stop all others.  Safe in threads.

    :param threads: how many threads take items.
    """

    def __init__(self, threads: int) -> None:
        self._max_per_owner = threads - threads // 4
        self._changed = threading.Condition()
        self._waiting: dict[str, collections.deque[T]] = {}
        self._running: collections.Counter[str] = collections.Counter()

    def put(self, owner: str, item: T) -> None:
        """Add an item; never waits."""
        with self._changed:
            self._waiting.setdefault(owner, collections.deque()).append(item)
            self._changed.notify()

    def get(self) -> tuple[str, T]:
        """The next item and its owner, as soon as there is one; :meth:`done` must follow."""
        with self._changed:
            while True:
                # A dict keeps the order in which owners began to wait, and min takes the first.
                ready = [
                    owner for owner in self._waiting if self._running[owner] < self._max_per_owner
                ]
                if ready:
                    break
                self._changed.wait()
            owner = min(ready, key=self._running.__getitem__)
            self._running[owner] += 1
            items = self._waiting.pop(owner)
            item = items.popleft()
            if items:
                self._waiting[owner] = items  # behind the others
            return owner, item

    def done(self, owner: str) -> None:
        """An item that was taken is not worked on any more."""
        with self._changed:
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
            self._changed.notify()

    def qsize(self) -> int:
        """How many items wait."""
        with self._changed:
            return sum(map(len, self._waiting.values()))
