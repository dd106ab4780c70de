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
FAILURE_THRESHOLD = 5
#: Seconds until somebody may try again.
OPEN_SECONDS = 10.0

#: What says that the service is away; anything else says that it is there.  One that is
#: full answers, and those who read from it must not be kept away.
UNREACHABLE_ERRORS = (errors.RemoteServiceUnavailable, errors.StoreTimeout)


class StoreBreaker:
    """Counts the failures of one service; used by many threads.

    :param name: of the service, for the log.
    """

    def __init__(
        self,
        name: str,
        threshold: int = FAILURE_THRESHOLD,
        open_seconds: float = OPEN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._threshold = threshold
        self._open_seconds = open_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_probe = 0.0

    @property
    def is_open(self) -> bool:
        """Does the service count as away?"""
        return self._failures >= self._threshold

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Judge the service by what happens in the block.

        :raises errors.RemoteServiceUnavailable: it counts as away, and somebody
            else is to try next; the block did not run.
        """
        if self._failures >= self._threshold:
            self._claim_probe()
        try:
            yield
        except UNREACHABLE_ERRORS:
            self._record_failure()
            raise
        except errors.GlanceStoreError:
            self._record_success()
            raise
        # Other exceptions come from the caller, and say nothing of the service.
        self._record_success()

    def _claim_probe(self) -> None:
        with self._lock:
            if self._failures >= self._threshold:
                now = self._clock()
                if now < self._next_probe:
                    raise errors.RemoteServiceUnavailable()
                self._next_probe = now + self._open_seconds

    def _record_failure(self) -> None:
        with self._lock:
            self._failures += 1
            self._next_probe = self._clock() + self._open_seconds
            if self._failures == self._threshold:
                LOG.error(
                    "Store %s cannot be reached and is left alone for %.0f seconds at a time",
                    self._name,
                    self._open_seconds,
                )

    def _record_success(self) -> None:
        if self._failures:
            with self._lock:
                if self._failures >= self._threshold:
                    LOG.warning("Store %s can be reached again", self._name)
                self._failures = 0
