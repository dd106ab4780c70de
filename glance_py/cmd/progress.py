"""How far something is: on a terminal, and silence elsewhere."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

#: Seconds between two paintings.
REDRAW_INTERVAL = 0.2
BAR_WIDTH = 30


class ProgressLine:
    """A line on stderr that is written anew again and again, when that is a terminal.

    :param enabled: False never writes.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled and sys.stderr.isatty()
        self._next_draw = 0.0
        self._drawn = False

    def is_due(self) -> bool:
        """Would :meth:`write` be seen, and is the last one long enough ago?"""
        return self._enabled and time.monotonic() >= self._next_draw

    def write(self, text: str) -> None:
        """Show ``text``, or as much as there is room for, instead of what was there."""
        if not self._enabled:
            return
        self._next_draw = time.monotonic() + REDRAW_INTERVAL
        self._drawn = True
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        sys.stderr.write("\r\033[K" + text[: columns - 1])
        sys.stderr.flush()

    def clear(self) -> None:
        """Make room for other output."""
        if self._drawn:
            self._drawn = False
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


class ProgressBar:
    """How far one thing is; painted on stderr when that is a terminal.

    :param name: what it is.
    :param total: bytes in all, None when that is not known.
    :param enabled: False never paints.
    """

    def __init__(self, name: str, total: int | None, enabled: bool = True) -> None:
        self._name = name
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._line = ProgressLine(enabled)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._line.clear()

    def add(self, number: int) -> None:
        """So many bytes more are done."""
        self._done += number
        if self._line.is_due():
            self._line.write(self._text())

    def _text(self) -> str:
        rate = self._done / max(time.monotonic() - self._started, 0.001) / 2**20
        text = f"{self._done / 2**20:.1f} MiB {rate:.1f} MiB/s {self._name}"
        if self._total:
            fraction = min(self._done / self._total, 1.0)
            bar = "#" * int(fraction * BAR_WIDTH)
            text = f"[{bar:<{BAR_WIDTH}}] {fraction:4.0%} {text}"
        return text
