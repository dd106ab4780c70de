"""A circuit breaker: when a service is away, say so at once.

After several failures in a row nobody is made to wait for another one; after a
while one caller tries, and what becomes of that holds for all.  What a failure
is, the caller knows.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from glance_store_py import errors

LOG = logging.getLogger(__name__)

#: Failures in a row after which a service counts as away.
FAILURES = 5
#: Seconds until somebody may try again.
PAUSE = 10.0

#: What says that the service is away; anything else says that it is there.  One that is
#: full answers, and those who read from it must not be kept away.
AWAY = (errors.RemoteServiceUnavailable, errors.TimeoutError)


class Breaker:
    """Counts the failures of one service; used by many threads.

    :param name: of the service, for the log.
    """

    def __init__(
        self,
        name: str,
        failures: int = FAILURES,
        pause: float = PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._limit = failures
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    @property
    def is_open(self) -> bool:
        """Does the service count as away?"""
        return self._failures >= self._limit

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Judge the service by what happens in the block.

        :raises errors.RemoteServiceUnavailable: it counts as away, and somebody
            else is to try next; the block did not run.
        """
        if self._failures >= self._limit:
            self._take_turn()
        try:
            yield
        except AWAY:
            self._failed()
            raise
        except errors.GlanceStoreError:
            self._answered()
            raise
        # Other exceptions come from the caller, and say nothing of the service.
        self._answered()

    def _take_turn(self) -> None:
        with self._lock:
            if self._failures >= self._limit:
                now = self._clock()
                if now < self._next_try:
                    raise errors.RemoteServiceUnavailable()
                self._next_try = now + self._pause

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            self._next_try = self._clock() + self._pause
            if self._failures == self._limit:
                LOG.error(
                    "Store %s cannot be reached and is left alone for %.0f seconds at a time",
                    self._name,
                    self._pause,
                )

    def _answered(self) -> None:
        if self._failures:
            with self._lock:
                if self._failures >= self._limit:
                    LOG.warning("Store %s can be reached again", self._name)
                self._failures = 0
