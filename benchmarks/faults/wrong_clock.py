"""Runs a module whose clock is wrong: ``python -m benchmarks.faults.wrong_clock FILE MODULE``.

FILE holds the seconds by which it is wrong and may change at any time.  libfaketime would be
the usual way: version 0.9.10 breaks ``time.sleep`` of Python 3.11 and lets waits on locks with
a time-out hang, so this replaces what Python programs read the time with.  Monotonic clocks
stay as they are.
"""

from __future__ import annotations

import datetime
import os
import runpy
import sys
import threading
import time
from typing import Any

_real_time, _real_datetime = time.time, datetime.datetime


class Offset:
    """The seconds by which the clock is wrong, from the file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.seconds = 0.0
        self._look()
        # Workers are forked from a process that has this thread, and do not have it.
        os.register_at_fork(after_in_child=self.follow)

    def follow(self) -> None:
        """Read the file once a second from now on."""
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while True:
            self._look()
            time.sleep(1)

    def _look(self) -> None:
        try:
            with open(self._path) as file:
                self.seconds = float(file.read())
        except (OSError, ValueError):
            pass


def install(offset: Offset) -> None:
    """Let ``time.time`` and ``datetime.now`` be wrong."""

    class Meta(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, _real_datetime)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, _real_datetime)

    class ShiftedDatetime(_real_datetime, metaclass=Meta):
        """Makes datetimes of the usual class."""

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return _real_datetime(*args, **kwargs)

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _real_datetime.now(tz) + datetime.timedelta(seconds=offset.seconds)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(datetime.UTC).replace(tzinfo=None)

    time.time = lambda: _real_time() + offset.seconds
    time.time_ns = lambda: int(time.time() * 1e9)
    datetime.datetime = ShiftedDatetime  # type: ignore[misc]


if __name__ == "__main__":
    _, path, module = sys.argv
    wrong = Offset(path)
    install(wrong)
    wrong.follow()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
