"""Time limits for a whole step, and a minimum transfer rate.

A per-read timeout does not bound a peer that sends one byte a minute.  A
:class:`Watchdog` bounds the duration of a step, whatever its thread waits for;
:class:`MinimumRate` bounds how slowly data may arrive.  What cuts the connection off is
the caller's ``on_timeout``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from glance_store_py.process import start_thread


class Watchdog:
    """Calls ``on_timeout`` from a thread of its own when a step takes too long.

    It looks once a second.  :meth:`stop` must be called after the last step.
    """

    def __init__(self, on_timeout: Callable[[], object]) -> None:
        self._on_timeout = on_timeout
        self._stopped = threading.Event()
        self._deadline: float | None = None
        self._has_timed_out = False
        start_thread("watch", self._run)

    def _run(self) -> None:
        while not self._stopped.wait(1.0):
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self._has_timed_out = True
                with contextlib.suppress(OSError, ValueError):
                    self._on_timeout()
                return

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Limit the duration of the block.

        :raises TimeoutError: it took longer, and ``on_timeout`` was called.
        """
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None
        if self._has_timed_out:
            raise TimeoutError()

    def stop(self) -> None:
        """Stop watching; the thread ends."""
        self._stopped.set()


class MinimumRate:
    """Reads that must deliver at least ``size`` bytes in each ``seconds`` of waiting.

    The time between two reads does not count.
    """

    def __init__(self, watchdog: Watchdog, size: int, seconds: float) -> None:
        self._watchdog = watchdog
        self._size = size
        self._seconds = seconds
        self._bytes_due, self._seconds_left = size, seconds

    def read(self, read: Callable[[], bytes]) -> bytes:
        """What ``read`` returns.

        :raises TimeoutError: data arrives too slowly.
        """
        started = time.monotonic()
        with self._watchdog.within(self._seconds_left):
            chunk = read()
        self._bytes_due -= len(chunk)
        self._seconds_left -= time.monotonic() - started
        if self._bytes_due <= 0:
            self._bytes_due, self._seconds_left = self._size, self._seconds
        return chunk
