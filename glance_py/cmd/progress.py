"""Shows progress on a terminal; without a terminal nothing is printed."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

#: Seconds between two updates of a line.
REDRAW_INTERVAL = 0.2
#: Characters of a full bar.
BAR_WIDTH = 30


class ProgressLine:
    """A line on stderr that is replaced again and again, if stderr is a terminal.

    :param enabled: False writes nothing.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled and sys.stderr.isatty()
        self._next_draw = 0.0
        self._drawn = False

    def is_due(self) -> bool:
        """True when :meth:`write` would show something, REDRAW_INTERVAL after the last call."""
        return self._enabled and time.monotonic() >= self._next_draw

    def write(self, text: str) -> None:
        """Replace the line by ``text``, cut to the width of the terminal."""
        if not self._enabled:
            return
        self._next_draw = time.monotonic() + REDRAW_INTERVAL
        self._drawn = True
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        sys.stderr.write("\r\033[K" + text[: columns - 1])
        sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line before other output is printed."""
        if self._drawn:
            self._drawn = False
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


class ProgressBar:
    """A bar, the bytes done and the rate of one transfer, on stderr if it is a terminal.

    :param name: shown at the end of the line.
    :param total: bytes of the transfer, None when that is not known.
    :param enabled: False shows nothing.
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
        """Count ``number`` bytes as done."""
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
