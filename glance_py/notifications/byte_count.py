"""Counts the bytes of downloads for notifications."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from glance_py.domain.ports import Data


def count_bytes(data: Data, report: Callable[[int], None]) -> Data:
    """The same data without its file, so that all bytes pass through ``chunks`` and are counted.

    :param report: called once, when the transfer is over, complete or not, with
        the number of bytes that were taken.
    """
    count = _ByteCounter(data, report)
    return Data(chunks=count.chunks(), length=data.length, close=count.close)


class _ByteCounter:
    def __init__(self, data: Data, report: Callable[[int], None]) -> None:
        self._data = data
        self._report: Callable[[int], None] | None = report
        self._sent = 0

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._data.chunks:
            yield chunk
            self._sent += len(chunk)

    def close(self) -> None:
        report, self._report = self._report, None
        try:
            self._data.close()
        finally:
            if report is not None:
                report(self._sent)
