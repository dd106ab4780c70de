"""How far something is: on a terminal, and silence elsewhere."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

#: Seconds between two paintings.
EVERY = 0.2
WIDTH = 30


class Line:
    """A line on stderr that is written anew again and again, when that is a terminal.

    :param wanted: False never writes.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._writes = wanted and sys.stderr.isatty()
        self._next = 0.0
        self._shown = False

    def is_due(self) -> bool:
        """Would :meth:`write` be seen, and is the last one long enough ago?"""
        return self._writes and time.monotonic() >= self._next

    def write(self, text: str) -> None:
        """Show ``text``, or as much as there is room for, instead of what was there."""
        if not self._writes:
            return
        self._next = time.monotonic() + EVERY
        self._shown = True
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        sys.stderr.write("\r\033[K" + text[: columns - 1])
        sys.stderr.flush()

    def clear(self) -> None:
        """Make room for other output."""
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


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
        self._line = Line(wanted)

    def __enter__(self) -> Progress:
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
        rate = self._done / max(time.monotonic() - self._began, 0.001) / 2**20
        text = f"{self._done / 2**20:.1f} MiB {rate:.1f} MiB/s {self._name}"
        if self._total:
            part = min(self._done / self._total, 1.0)
            bar = "#" * int(part * WIDTH)
            text = f"[{bar:<{WIDTH}}] {part:4.0%} {text}"
        return text
