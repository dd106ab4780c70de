"""Reads and writes an open RBD image with several requests at a time.

Requests in flight hide the latency of the cluster; their number is bounded, so that memory
does not depend on the size of the image.  Images and their requests are objects of the
library ``rbd``, which has no types.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from glance_store_py.driver import Chunk

#: Bytes of one request.
REQUEST_SIZE = 1024 * 1024
#: Bytes in flight, at most, of one upload and of one download.
WRITE_WINDOW = 16 * REQUEST_SIZE
READ_WINDOW = 4 * REQUEST_SIZE
#: The largest step in bytes by which an image of unknown size grows.
MAX_STEP = 8 * 1024**3


class AsyncWriter:
    """Writes in flight to one image."""

    def __init__(self, image: Any) -> None:
        self._image = image
        self._in_flight: collections.deque[tuple[Any, int]] = collections.deque()
        self._bytes = 0

    def add(self, piece: bytes, offset: int) -> None:
        """Begin a write; waits first until WRITE_WINDOW leaves space for it.

        :raises OSError: an earlier write failed.
        """
        while self._in_flight and self._bytes + len(piece) > WRITE_WINDOW:
            self._wait_for_oldest()
        # The library keeps a reference to the bytes until they are written.
        write = self._image.aio_write(piece, offset, _ignore_completion)
        self._in_flight.append((write, len(piece)))
        self._bytes += len(piece)

    def finish(self) -> None:
        """Wait until everything is written.

        :raises OSError: a write failed.
        """
        while self._in_flight:
            self._wait_for_oldest()

    def drain(self) -> None:
        """Wait for all writes in flight and ignore their results."""
        while self._in_flight:
            self._in_flight.popleft()[0].wait_for_complete_and_cb()

    def _wait_for_oldest(self) -> None:
        write, length = self._in_flight.popleft()
        write.wait_for_complete_and_cb()
        self._bytes -= length
        _check(write.get_return_value())


def write(image: Any, data: Iterable[Chunk], size: int | None, step: int, thin: bool) -> int:
    """Write ``data`` to an image; returns the number of bytes.

    :param size: size of the image in bytes; None for unknown: the image grows, and is trimmed
        at the end.
    :param step: bytes by which it grows at first; doubled each time.
    :param thin: do not write zeros.
    :raises OSError: the cluster refused a write.
    """
    writes = AsyncWriter(image)
    allocated, offset = size or 0, 0
    try:
        for piece in join_small_chunks(data):
            end = offset + len(piece)
            if end > allocated:
                allocated = max(allocated + step, end)
                image.resize(allocated)
                step = min(2 * step, MAX_STEP)
            if not (thin and not piece[0] and piece == bytes(len(piece))):
                writes.add(piece, offset)
            offset = end
        writes.finish()
    except BaseException:
        writes.drain()
        raise
    if allocated != offset:
        image.resize(offset)
    image.flush()
    return offset


def join_small_chunks(data: Iterable[Chunk]) -> Iterator[bytes]:
    """Join small chunks until they have REQUEST_SIZE bytes; large ones stay as they are."""
    buffered: list[Chunk] = []
    length = 0
    for chunk in data:
        if not buffered and len(chunk) >= REQUEST_SIZE:
            # The library accepts bytes only.
            yield chunk if isinstance(chunk, bytes) else bytes(chunk)
            continue
        buffered.append(chunk)
        length += len(chunk)
        if length >= REQUEST_SIZE:
            yield b"".join(buffered)
            buffered, length = [], 0
    if buffered:
        yield b"".join(buffered)


def read(image: Any, start: int, stop: int) -> Generator[bytes, None, None]:
    """The bytes of an image from ``start`` to ``stop``, which is at most its size.

    :raises OSError: the cluster refused a read.
    """
    in_flight: collections.deque[tuple[Any, list[bytes]]] = collections.deque()
    asked = start
    try:
        while asked < stop or in_flight:
            while asked < stop and len(in_flight) * REQUEST_SIZE < READ_WINDOW:
                length = min(REQUEST_SIZE, stop - asked)
                in_flight.append(_start_read(image, asked, length))
                asked += length
            completion, result = in_flight.popleft()
            completion.wait_for_complete_and_cb()
            _check(completion.get_return_value())
            yield result.pop()
    finally:
        for completion, _ in in_flight:
            completion.wait_for_complete_and_cb()


def _start_read(image: Any, offset: int, length: int) -> tuple[Any, list[bytes]]:
    result: list[bytes] = []
    return image.aio_read(offset, length, lambda _, data: result.append(data)), result


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def _ignore_completion(completion: object) -> None:
    """Do nothing: the result is read after waiting for the write."""
