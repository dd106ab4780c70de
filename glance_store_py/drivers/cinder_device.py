"""Reads and writes an attached volume: a block device, a file on a share, or an RBD image.

RBD images are read and written through librbd, without the kernel.
``cinder_attachment.py`` connects volumes to this host.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any, Protocol

from glance_store_py.drivers import rbd_transfer

#: Bytes of one read from the kernel.
PIECE = 1024 * 1024


class Device(Protocol):
    """An attached volume, for one reader or writer."""

    def write(self, piece: bytes, offset: int) -> None:
        """Write a piece at ``offset``.

        :raises OSError: this or an earlier write failed.
        """

    def flush(self) -> None:
        """Return when everything is written."""

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``stop``."""

    def close(self) -> None:
        """Wait until no request is in flight.  May be called twice."""


class FileDevice:
    """A volume that the kernel has a path for."""

    def __init__(self, path: str, writable: bool) -> None:
        self._file = open(  # noqa: SIM115 (closed by close)
            path, "r+b" if writable else "rb", buffering=0
        )

    def write(self, piece: bytes, offset: int) -> None:
        done = 0
        while done < len(piece):
            done += os.pwrite(self._file.fileno(), memoryview(piece)[done:], offset + done)

    def flush(self) -> None:
        os.fsync(self._file.fileno())

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            piece = os.pread(self._file.fileno(), min(PIECE, stop - start), start)
            if not piece:
                return
            start += len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()


class RbdDevice:
    """An image of librbd, with several requests in flight."""

    def __init__(self, image: Any) -> None:
        self._image = image
        self._writes = rbd_transfer.AsyncWriter(image)
        self._reads: list[Any] = []

    def write(self, piece: bytes, offset: int) -> None:
        self._writes.add(piece, offset)

    def flush(self) -> None:
        self._writes.finish()
        self._image.flush()

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        chunks = rbd_transfer.read(self._image, start, stop)
        self._reads.append(chunks)
        return chunks

    def close(self) -> None:
        self._writes.drain()
        for chunks in self._reads:
            chunks.close()


@contextlib.contextmanager
def open_device(path: Any, writable: bool) -> Iterator[Device]:
    """Open what os-brick calls the path of a device: a string, or a file object of librbd.

    A block that wrote and ends without an error ends with a flush.
    """
    made: Device
    if isinstance(path, io.RawIOBase):
        made = RbdDevice(path.rbd_image)  # type: ignore[attr-defined]
    else:
        made = FileDevice(path, writable)
    try:
        yield made
        if writable:
            made.flush()
    finally:
        made.close()
