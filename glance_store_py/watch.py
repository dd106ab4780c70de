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


class Watch:
    """Calls ``cut`` when a step takes too long, whatever its thread waits for.

    ``stop`` must be called when there will be no more steps.
    """

    def __init__(self, cut: Callable[[], object]) -> None:
        self._cut = cut
        self._stopped = threading.Event()
        self._deadline: float | None = None
        self._is_cut = False
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def _run(self) -> None:
        while not self._stopped.wait(1.0):
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self._is_cut = True
                with contextlib.suppress(OSError, ValueError):
                    self._cut()
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
        if self._is_cut:
            raise TimeoutError()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()


class Pace:
    """Reads of which at least ``size`` bytes must come in ``seconds`` of waiting for them.

    Time that the reader takes for itself between two reads does not count.
    """

    def __init__(self, watch: Watch, size: int, seconds: float) -> None:
        self._watch = watch
        self._size = size
        self._seconds = seconds
        self._due, self._wait = size, seconds

    def read(self, read: Callable[[], bytes]) -> bytes:
        """What ``read`` returns.

        :raises TimeoutError: data comes too slowly.
        """
        began = time.monotonic()
        with self._watch.within(self._wait):
            chunk = read()
        self._due -= len(chunk)
        self._wait -= time.monotonic() - began
        if self._due <= 0:
            self._due, self._wait = self._size, self._seconds
        return chunk
