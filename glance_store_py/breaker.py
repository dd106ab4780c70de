"""A circuit breaker: requests fail at once while a service does not answer.

Each request that waits for a service which does not answer holds a thread until its time
limit.  After several failures in a row, requests fail at once for some seconds; then
one of them tries again, and its result counts for all.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

LOG = logging.getLogger(__name__)

T = TypeVar("T")


class CircuitOpen(Exception):
    """The service was not asked, because it did not answer a moment ago."""


class CircuitBreaker:
    """The state of one service; safe in threads.

    :param no_answer: exceptions that mean that the service did not answer.
    :param answers: other exceptions that are an answer of the service.  What is in neither,
        such as an error of the caller's own data, changes nothing.
    :param failures: how many in a row open the circuit.
    :param seconds: how long it stays open until one caller may try.
    :param open_error: what is raised in place of asking the service.
    :param name: the service in the log; None logs nothing.
    :param clock: the present in seconds, never running backwards.
    """

    def __init__(
        self,
        no_answer: tuple[type[Exception], ...],
        answers: tuple[type[Exception], ...] = (Exception,),
        failures: int = 3,
        seconds: float = 5.0,
        open_error: Callable[[], Exception] = CircuitOpen,
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._no_answer = no_answer
        self._answers = answers
        self._limit = failures
        self._seconds = seconds
        self._open_error = open_error
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    @property
    def is_open(self) -> bool:
        """True while requests fail at once."""
        return self._failures >= self._limit

    def call(self, ask: Callable[[], T]) -> T:
        """What ``ask()`` returns or raises; see :meth:`watch`."""
        with self.watch():
            return ask()

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Count the outcome of the block.

        :raises CircuitOpen: (or what ``open_error`` makes) the block did not run.
        """
        if self._failures >= self._limit:
            self._claim_trial()
        try:
            yield
        except self._no_answer:
            self._record_failure()
            raise
        except self._answers:
            self._record_answer()
            raise
        self._record_answer()

    def _claim_trial(self) -> None:
        with self._lock:
            if self._failures < self._limit:
                return
            now = self._clock()
            if now < self._next_try:
                raise self._open_error()
            # Other requests go on failing until this one has a result.
            self._next_try = now + self._seconds

    def _record_failure(self) -> None:
        with self._lock:
            self._failures += 1
            self._next_try = self._clock() + self._seconds
            if self._failures == self._limit and self._name is not None:
                LOG.error(
                    "%s cannot be reached and is left alone for %.0f seconds at a time",
                    self._name,
                    self._seconds,
                )

    def _record_answer(self) -> None:
        if self._failures:
            with self._lock:
                if self._failures >= self._limit and self._name is not None:
                    LOG.warning("%s can be reached again", self._name)
                self._failures = 0
