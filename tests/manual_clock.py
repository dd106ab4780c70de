"""A clock that a test sets."""

from __future__ import annotations

from collections.abc import Callable


class ManualClock:
    """Stands still until a test changes ``now``, or until the code under test sleeps.

    ``wake`` is called at the end of each sleep.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.wake: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.wake()
