"""Waiting for others, but not for ever.

A limit on the silence between two bytes holds nobody who sends one byte a minute:
he keeps a thread for days.  A watch limits how long a whole step takes, and a
pace how slowly data may come.  What is cut off, and how, is not known here.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator


class Watchdog:
    """Calls ``on_timeout`` when a step takes too long, whatever its thread waits for.

    ``stop`` must be called when there will be no more steps.
    """

    def __init__(self, on_timeout: Callable[[], object]) -> None:
        self._on_timeout = on_timeout
        self._stopped = threading.Event()
        self._deadline: float | None = None
        self._has_timed_out = False
        threading.Thread(target=self._run, name="watch", daemon=True).start()

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
        """The block must end in time.

        :raises TimeoutError: it was cut off.
        """
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None
        if self._has_timed_out:
            raise TimeoutError()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()


class MinimumRate:
    """Reads of which at least ``size`` bytes must come in ``seconds`` of waiting for them.

    Time that the reader takes for itself between two reads does not count.
    """

    def __init__(self, watchdog: Watchdog, size: int, seconds: float) -> None:
        self._watchdog = watchdog
        self._size = size
        self._seconds = seconds
        self._bytes_due, self._seconds_left = size, seconds

    def read(self, read: Callable[[], bytes]) -> bytes:
        """What ``read`` returns.

        :raises TimeoutError: data comes too slowly.
        """
        started = time.monotonic()
        with self._watchdog.within(self._seconds_left):
            chunk = read()
        self._bytes_due -= len(chunk)
        self._seconds_left -= time.monotonic() - started
        if self._bytes_due <= 0:
            self._bytes_due, self._seconds_left = self._size, self._seconds
        return chunk
