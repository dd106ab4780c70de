"""Calls that may hang, such as those to a network file system whose server is gone.

A call is made in a thread and given up in time; the thread is lost until the
system answers.  Lost threads are counted, and they keep no process from ending.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future

from glance_store_py import errors

LOG = logging.getLogger(__name__)


class TimeoutExecutor:
    """Waits ``seconds`` for a call: ``executor(function, *arguments)``.  Safe across a fork.

    :param threads: how many calls may be under way at the same time.
    :param warning_threshold: a warning when more than so many are.
    """

    def __init__(self, seconds: int, threads: int, warning_threshold: float) -> None:
        self._seconds = seconds
        self._threads = threads
        self._warning_threshold = warning_threshold
        self._reset()
        _reset_after_fork(self)

    def _reset(self) -> None:
        self._slots = threading.Semaphore(self._threads)
        self._lock = threading.Lock()
        self._busy = 0

    def __call__(self, function: Callable, *arguments: object) -> object:
        """What ``function`` returns or raises.

        :raises errors.StoreTimeout: it did neither in time.
        """
        deadline = time.monotonic() + self._seconds
        if not self._slots.acquire(timeout=self._seconds):
            raise errors.StoreTimeout(self._seconds)
        self._count(1)
        future: Future = Future()
        threading.Thread(
            target=self._run, args=(future, function, arguments), name="file-store", daemon=True
        ).start()
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            if future.done():
                raise
            raise errors.StoreTimeout(self._seconds) from None

    def _run(self, future: Future, function: Callable, arguments: tuple[object, ...]) -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)
        finally:
            self._count(-1)
            self._slots.release()

    def _count(self, delta: int) -> None:
        with self._lock:
            self._busy += delta
            busy = self._busy
        if delta > 0 and busy > self._warning_threshold:
            LOG.warning("%d calls wait for the file system; it may be hanging.", busy)


def _reset_after_fork(executor: TimeoutExecutor) -> None:
    """Threads of the parent, lost ones among them, do not exist in a child."""
    reference = weakref.ref(executor)

    def reset() -> None:
        if (inherited := reference()) is not None:
            inherited._reset()

    os.register_at_fork(after_in_child=reset)
