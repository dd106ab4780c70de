"""A thread that calls registered functions every few seconds.

Claims (``claims``) and running tasks (``importing.task_executor``) refresh their records with
it.  Each has a thread of its own: a claim must be refreshed even when the writes of tasks wait
for the database.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Protocol

from glance_store_py import process

LOG = logging.getLogger(__name__)


class Clock(Protocol):
    """The clock of a process; the module ``time`` is one."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""

    def sleep(self, seconds: float, /) -> None:
        """Return after ``seconds``."""


@dataclasses.dataclass(slots=True)
class _Registrations:
    """What one process has registered."""

    beats: dict[Hashable, Callable[[], object]] = dataclasses.field(default_factory=dict)
    has_thread: bool = False
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)


class Heartbeat:
    """Calls registered functions in a thread that runs while anything is registered.

    A forked child starts without the registrations of its parent.  Safe in threads.

    :param name: the name of the thread.
    :param seconds: how long the thread sleeps between two rounds.
    :param start_thread: starts the thread, see :func:`glance_store_py.process.start_thread`.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        clock: Clock = time,
        start_thread: Callable[[str, Callable[[], object]], object] = process.start_thread,
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._clock = clock
        self._start_thread = start_thread
        self._process = process.PerProcess(_Registrations)

    def register(self, key: Hashable, beat: Callable[[], object]) -> None:
        """Have ``beat`` called every few seconds until ``key`` is unregistered.

        A second registration of a key replaces the first.
        """
        mine = self._process.get()
        with mine.lock:
            mine.beats[key] = beat
            if not mine.has_thread:
                mine.has_thread = True
                self._start_thread(self._name, self._run)

    def unregister(self, key: Hashable) -> None:
        """Have the function of ``key`` called no more; a call that has begun goes on."""
        mine = self._process.get()
        with mine.lock:
            mine.beats.pop(key, None)

    def beat(self) -> None:
        """Call every registered function once.  An exception is logged and stops no other."""
        mine = self._process.get()
        with mine.lock:
            beats = list(mine.beats.items())
        for key, beat in beats:
            try:
                beat()
            except Exception:
                LOG.exception("The heartbeat of %s failed", key)

    def _run(self) -> None:
        mine = self._process.get()
        while True:
            self._clock.sleep(self._seconds)
            self.beat()
            with mine.lock:
                if not mine.beats:
                    mine.has_thread = False
                    return
