"""Splits a stream into parts and sends several at a time, in bounded memory.

For every service that takes a large object in parts.  A part is read, then waits until
the parts that are being sent leave memory for it, then it is sent.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from glance_store_py.driver import Chunk

Result = TypeVar("Result")


def split_parts(data: Iterable[Chunk], size_of: Callable[[int], int]) -> Iterator[bytearray]:
    """``data`` in buffers of ``size_of(number)`` bytes, numbers from 1; the last may be shorter.

    No data gives no part.
    """
    number, part = 1, bytearray()
    size = size_of(number)
    for chunk in data:
        rest = memoryview(chunk)
        while len(part) + len(rest) >= size:
            missing = size - len(part)
            part += rest[:missing]
            rest = rest[missing:]
            yield part
            number, part = number + 1, bytearray()
            size = size_of(number)
        part += rest
    if part:
        yield part


class CountedChunks:
    """Data, and in ``count`` the number of bytes that were read of it."""

    def __init__(self, data: Iterable[Chunk]) -> None:
        self._data = data
        self.count = 0

    def __iter__(self) -> Iterator[Chunk]:
        for chunk in self._data:
            self.count += len(chunk)
            yield chunk


class ByteSemaphore:
    """Limits the bytes that are in memory at the same time.

    A part that is larger than the limit is let in when no other one is there.

    :param size: the limit in bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self, size: int) -> None:
        """Wait until ``size`` bytes may be added, and add them."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + size <= self._size)
            self._used += size

    def release(self, size: int) -> None:
        """Subtract bytes that are no longer in memory."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()


class PartUploader:
    """Sends parts in threads, with one limit of memory for all uploads of a store.

    :param threads: parts that are sent at the same time.
    :param size: bytes of a usual part.
    """

    def __init__(self, threads: int, size: int) -> None:
        self._threads = threads
        self._budget = ByteSemaphore(threads * size)

    def upload(
        self, parts: Iterable[bytearray], send_part: Callable[[int, bytearray], Result]
    ) -> list[Result]:
        """Call ``send_part(number, part)`` for all ``parts`` and return the results in order.

        The first error, of the source or of a part, is raised after all threads have ended:
        then it is safe to clean up.
        """
        futures: list[concurrent.futures.Future[Result]] = []
        failed = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(self._threads, "parts") as pool:
            try:
                for part in parts:
                    if failed.is_set():
                        break
                    self._budget.acquire(len(part))
                    number = len(futures) + 1
                    futures.append(pool.submit(self._upload_part, send_part, number, part, failed))
                    del part  # Its memory can be freed before the next one is read.
            except BaseException:
                failed.set()
                raise
        return [future.result() for future in futures]

    def _upload_part(
        self,
        send_part: Callable[[int, bytearray], Result],
        number: int,
        part: bytearray,
        failed: threading.Event,
    ) -> Result:
        size = len(part)
        try:
            if failed.is_set():
                raise concurrent.futures.CancelledError
            return send_part(number, part)
        except BaseException:
            failed.set()
            raise
        finally:
            self._budget.release(size)
