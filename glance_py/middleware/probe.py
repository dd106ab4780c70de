"""Checks of the health check that run beside requests and remember their result."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from glance_store_py.process import start_thread

LOG = logging.getLogger(__name__)

#: Seconds for which a result is reused.
RESULT_TTL = 5.0
#: Seconds after which a check counts as failed; its thread keeps running.
PROBE_TIMEOUT = 3.0


class Probe:
    """One check, run by at most one thread at a time.

    :param check: returns when the thing works, else raises.
    :param ttl: seconds for which a success is reused; RESULT_TTL when None.  A failure is always
        reused for RESULT_TTL.
    :param clock: seconds, as ``time.monotonic``.
    """

    def __init__(
        self,
        check: Callable[[], object],
        ttl: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._ttl = ttl
        self._clock = clock
        self._started = 0.0
        self._lock = threading.Lock()
        self._result: tuple[float, str | None] | None = None
        self._done: threading.Event | None = None

    def start(self) -> None:
        """Run the check in a thread, unless it runs already or its result can be reused."""
        with self._lock:
            if self._done is not None or self._is_fresh():
                return
            self._started = self._clock()
            self._done = done = threading.Event()
            start_thread("health", lambda: self._run(done))

    def _is_fresh(self) -> bool:
        if self._result is None:
            return False
        when, failure = self._result
        ttl = RESULT_TTL if self._ttl is None or failure else self._ttl
        return self._clock() - when < ttl

    def _run(self, done: threading.Event) -> None:
        failure = None
        try:
            self._check()
        except Exception as error:
            LOG.warning("Health check: %s: %s", type(error).__name__, error)
            # Callers of the health check are not authenticated: the text stays in the log.
            failure = type(error).__name__
        with self._lock:
            self._result, self._done = (self._clock(), failure), None
        done.set()

    def failure(self) -> str | None:
        """The name of the error or a sentence about the timeout; None when the thing works.

        Waits for a check that runs until PROBE_TIMEOUT has passed since its start.
        """
        done = self._done
        if done is not None and not done.wait(
            max(0.0, self._started + PROBE_TIMEOUT - self._clock())
        ):
            return f"no answer within {PROBE_TIMEOUT:.0f} seconds"
        return self._result[1] if self._result else None
