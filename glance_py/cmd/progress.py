"""A progress bar on a terminal, and silence elsewhere."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

#: Seconds between two paintings.
EVERY = 0.2
WIDTH = 30


class Progress:
    """How far one thing is; painted on stderr when that is a terminal.

    :param name: what it is.
    :param total: bytes in all, None when that is not known.
    :param wanted: False never paints.
    """

    def __init__(self, name: str, total: int | None, wanted: bool = True) -> None:
        self._name = name
        self._total = total
        self._done = 0
        self._began = time.monotonic()
        self._painted = 0.0
        self._paints = wanted and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if self._painted:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def add(self, number: int) -> None:
        """So many bytes more are done."""
        self._done += number
        now = time.monotonic()
        if self._paints and now - self._painted >= EVERY:
            self._painted = now
            self._paint(now)

    def _paint(self, now: float) -> None:
        rate = self._done / max(now - self._began, 0.001) / 2**20
        text = f"{self._done / 2**20:.1f} MiB {rate:.1f} MiB/s {self._name}"
        if self._total:
            part = min(self._done / self._total, 1.0)
            bar = "#" * int(part * WIDTH)
            text = f"[{bar:<{WIDTH}}] {part:4.0%} {text}"
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        sys.stderr.write("\r\033[K" + text[:columns - 1])
        sys.stderr.flush()
