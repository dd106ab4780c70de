"""A queue that divides threads fairly among projects."""

from __future__ import annotations

import collections
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items of several owners, taken in turns.  Safe in threads.

    The next item belongs to the owner with the fewest items in work, and among those to the one
    that has waited longest.  One owner has at most three quarters of the threads, so that its
    slow work does not stop that of all others.

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
        """Wait for the next item and return (owner, item); call :meth:`done` after the work."""
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
                self._waiting[owner] = items  # behind the other owners
            return owner, item

    def done(self, owner: str) -> None:
        """Report that the work on an item of ``owner`` is over."""
        with self._changed:
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
            self._changed.notify()

    def qsize(self) -> int:
        """The number of items that wait."""
        with self._changed:
            return sum(map(len, self._waiting.values()))
