"""A circuit breaker: fails fast while another service does not answer.

Each request that waits for a dead service holds a thread until its time limit.
After several failures in a row, requests fail at once for some seconds; then
one of them tries again.  What is asked, and what is no answer, is the caller's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class CircuitOpen(Exception):
    """The service was not asked, because it did not answer a moment ago."""


class CircuitBreaker:
    """The state of one service; safe in threads.

    :param failures: so many in a row open it.
    :param seconds: how long it stays open until one caller may try.
    :param clock: the present in seconds, never running backwards.
    """

    def __init__(
        self, failures: int = 3, seconds: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    def call(self, ask: Callable[[], T], no_answer: tuple[type[Exception], ...]) -> T:
        """What ``ask()`` returns.

        :param no_answer: exceptions of ``ask`` that mean that there was no answer.
        :raises CircuitOpen: ``ask`` was not called.
        """
        if self._failures >= self._limit:
            self._allow_one_trial()
        try:
            answer = ask()
        except no_answer:
            with self._lock:
                self._failures += 1
                self._next_try = self._clock() + self._seconds
            raise
        except Exception:
            self._failures = 0
            raise
        self._failures = 0
        return answer

    def _allow_one_trial(self) -> None:
        with self._lock:
            now = self._clock()
            if now < self._next_try:
                raise CircuitOpen
            # The others go on failing until this caller knows more.
            self._next_try = now + self._seconds
