"""Bytes into and out of an open RBD image, several requests at a time.

A cluster answers each request late and many at once: what is in flight hides
the waiting, and is bounded, so that memory stays small however long the image.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Generator, Iterable, Iterator
from typing import Any

#: Bytes of one request.
PIECE = 1024 * 1024
#: Bytes in flight, at most, of one upload and of one download.
WRITE_WINDOW = 16 * PIECE
READ_WINDOW = 4 * PIECE
#: The largest step by which an image of unknown size grows.
MAX_STEP = 8 * 1024**3


class Writes:
    """Writes in flight to one image."""

    def __init__(self, image: Any) -> None:
        self._image = image
        self._flying: collections.deque = collections.deque()
        self._bytes = 0

    def add(self, piece: bytes, offset: int) -> None:
        """Begin a write, after waiting until there is room for it.

        :raises OSError: an earlier write failed.
        """
        while self._flying and self._bytes + len(piece) > WRITE_WINDOW:
            self._land()
        # The binding keeps the bytes alive until they are written.
        write = self._image.aio_write(piece, offset, _nothing)
        self._flying.append((write, len(piece)))
        self._bytes += len(piece)

    def finish(self) -> None:
        """Wait until everything is written.

        :raises OSError: a write failed.
        """
        while self._flying:
            self._land()

    def abandon(self) -> None:
        """Wait for what is in flight, whatever becomes of it."""
        while self._flying:
            self._flying.popleft()[0].wait_for_complete_and_cb()

    def _land(self) -> None:
        write, length = self._flying.popleft()
        write.wait_for_complete_and_cb()
        self._bytes -= length
        _check(write.get_return_value())


def write(image: Any, data: Iterable[bytes], size: int | None, step: int, thin: bool) -> int:
    """Write ``data`` to an image of ``size`` bytes (None: unknown, it grows).

    It grows by ``step`` bytes at first, then by twice as much each time, and is
    trimmed at the end.  ``thin`` leaves zeros out.  Returns the number of bytes.

    :raises OSError: the cluster did not take them.
    """
    writes = Writes(image)
    room, offset = size or 0, 0
    try:
        for piece in pieces(data):
            end = offset + len(piece)
            if end > room:
                room = max(room + step, end)
                image.resize(room)
                step = min(2 * step, MAX_STEP)
            if not (thin and not piece[0] and piece == bytes(len(piece))):
                writes.add(piece, offset)
            offset = end
        writes.finish()
    except BaseException:
        writes.abandon()
        raise
    if room != offset:
        image.resize(offset)
    image.flush()
    return offset


def pieces(data: Iterable[bytes]) -> Iterator[bytes]:
    """Small chunks joined until they are worth a request; large ones as they come."""
    waiting: list[bytes] = []
    length = 0
    for chunk in data:
        if not waiting and len(chunk) >= PIECE:
            yield chunk
            continue
        waiting.append(chunk)
        length += len(chunk)
        if length >= PIECE:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)


def read(image: Any, start: int, stop: int) -> Generator[bytes, None, None]:
    """The bytes of an image from ``start`` to ``stop``, which lies within it.

    :raises OSError: the cluster did not deliver them.
    """
    flying: collections.deque = collections.deque()
    asked = start
    try:
        while asked < stop or flying:
            while asked < stop and len(flying) * PIECE < READ_WINDOW:
                length = min(PIECE, stop - asked)
                flying.append(_begin_read(image, asked, length))
                asked += length
            reading, box = flying.popleft()
            reading.wait_for_complete_and_cb()
            _check(reading.get_return_value())
            yield box.pop()
    finally:
        for reading, _ in flying:
            reading.wait_for_complete_and_cb()


def _begin_read(image: Any, offset: int, length: int) -> tuple[Any, list[bytes]]:
    box: list[bytes] = []
    return image.aio_read(offset, length, lambda _, data: box.append(data)), box


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def _nothing(completion: object) -> None:
    """The result is looked at when the write is waited for."""
