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


class Deadline:
    """Waits ``seconds`` for a call: ``deadline(function, *arguments)``.  Safe across a fork.

    :param threads: how many calls may be under way at the same time.
    :param alarm: a warning when more than so many are.
    """

    def __init__(self, seconds: int, threads: int, alarm: float) -> None:
        self._seconds = seconds
        self._threads = threads
        self._alarm = alarm
        self._begin()
        _begin_anew_after_fork(self)

    def _begin(self) -> None:
        self._free = threading.Semaphore(self._threads)
        self._lock = threading.Lock()
        self._busy = 0

    def __call__(self, function: Callable, *arguments: object) -> object:
        """What ``function`` returns or raises.

        :raises errors.TimeoutError: it did neither in time.
        """
        until = time.monotonic() + self._seconds
        if not self._free.acquire(timeout=self._seconds):
            raise errors.TimeoutError(self._seconds)
        self._count(1)
        answer: Future = Future()
        threading.Thread(
            target=self._run, args=(answer, function, arguments), name="file-store", daemon=True
        ).start()
        try:
            return answer.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            if answer.done():
                raise
            raise errors.TimeoutError(self._seconds) from None

    def _run(self, answer: Future, function: Callable, arguments: tuple[object, ...]) -> None:
        try:
            answer.set_result(function(*arguments))
        except BaseException as error:
            answer.set_exception(error)
        finally:
            self._count(-1)
            self._free.release()

    def _count(self, more: int) -> None:
        with self._lock:
            self._busy += more
            busy = self._busy
        if more > 0 and busy > self._alarm:
            LOG.warning("%d calls wait for the file system; it may be hanging.", busy)


def _begin_anew_after_fork(deadline: Deadline) -> None:
    """Threads of the parent, lost ones among them, do not exist in a child."""
    reference = weakref.ref(deadline)

    def begin() -> None:
        if (inherited := reference()) is not None:
            inherited._begin()

    os.register_at_fork(after_in_child=begin)
