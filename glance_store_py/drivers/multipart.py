"""A stream cut into parts that are sent side by side, in bounded memory.

Sizes of parts, the bytes that may be under way, and the order "read, wait for
room, send": for every service that takes a large object in pieces.  What a part
is sent to is not known here.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Result = TypeVar("Result")


def split_parts(data: Iterable[bytes], size_of: Callable[[int], int]) -> Iterator[bytearray]:
    """``data`` in buffers of ``size_of(number)`` bytes, numbers from 1; the last may be shorter.

    Nothing comes from no data.
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
    """Data, and how many bytes of it have come."""

    def __init__(self, data: Iterable[bytes]) -> None:
        self._data = data
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._data:
            self.count += len(chunk)
            yield chunk


class ByteSemaphore:
    """How many bytes may be under way in this process.

    A part that is larger than all of it goes alone.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self, size: int) -> None:
        """Wait until there is room for ``size`` bytes, and take it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + size <= self._size)
            self._used += size

    def release(self, size: int) -> None:
        """Give back what was taken."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()


class PartUploader:
    """Threads that send parts, and room for them; one per store and process.

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

        The first failure, of the source or of a part, is raised when nothing is
        under way any more: then it is safe to clean up.
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
                    del part  # It may be gone before the next one has come.
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
