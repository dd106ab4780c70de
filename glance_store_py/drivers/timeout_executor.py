"""Calls with a time limit, such as those to a network file system that may hang.

A call runs in a thread of its own; when it takes too long its caller gets an error, and
the thread stays until the operating system answers.  The number of threads is limited.
They are daemon threads: they do not keep the process from ending.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from glance_store_py import errors
from glance_store_py.process import PerProcess, start_thread

LOG = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class TimeoutExecutor:
    """Runs ``executor(function, *arguments)`` and waits ``seconds`` for the result.

    A child process has threads of its own: hanging calls of its parent do not count there.

    :param threads: how many calls may run at the same time.
    :param warning_threshold: log a warning when more calls than that run.
    """

    def __init__(self, seconds: int, threads: int, warning_threshold: float) -> None:
        self._seconds = seconds
        self._running = PerProcess(lambda: _RunningCalls(threads, warning_threshold))

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``function`` returns or raises.

        :raises errors.StoreTimeout: it did neither in time, or no thread was free in time.
        """
        deadline = time.monotonic() + self._seconds
        running = self._running.get()
        if not running.begin(self._seconds):
            raise errors.StoreTimeout(self._seconds)
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)
            finally:
                running.end()

        start_thread("file-store", run)
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            if future.done():
                raise
            raise errors.StoreTimeout(self._seconds) from None


class _RunningCalls:
    """The number of calls that run in this process."""

    def __init__(self, limit: int, warning_threshold: float) -> None:
        self._slots = threading.Semaphore(limit)
        self._warning_threshold = warning_threshold
        self._lock = threading.Lock()
        self._count = 0

    def begin(self, seconds: float) -> bool:
        """Count a call; False when the limit was reached for ``seconds``."""
        if not self._slots.acquire(timeout=seconds):
            return False
        with self._lock:
            self._count += 1
            count = self._count
        if count > self._warning_threshold:
            LOG.warning("%d calls wait for the file system; it may be hanging.", count)
        return True

    def end(self) -> None:
        """Count a call no longer."""
        with self._lock:
            self._count -= 1
        self._slots.release()
