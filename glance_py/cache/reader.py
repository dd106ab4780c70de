"""A download of an image while the image is fetched into the cache.

Reads the partial file as it grows.  When the fill ends early, because the disk is full or it was
aborted, the rest is read from the store: a download that works without a cache works with one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from glance_py.cache.fill_progress import FillCorrupt, FillInterrupted, FillProgress
from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.ports import Data

#: Bytes that are read from the file at once.
CHUNK_SIZE = 256 * 1024


class FillReader:
    """Reads the file of a fill.  ``progress.add_reader`` was called for it.

    :param open_data: reads an image from its store from a byte number on; None when it has no
        data.
    """

    def __init__(
        self, progress: FillProgress, image: Image, open_data: Callable[[Image, int], Data | None]
    ) -> None:
        self._progress = progress
        self._image = image
        self._open_data = open_data
        self._store_data: Data | None = None
        self._closed = False

    def data(self) -> Data:
        """The whole image; the caller closes it."""
        return Data(self._chunks(), self._progress.size, close=self.close)

    def close(self) -> None:
        """End the download, finished or not.  May be called again."""
        if self._closed:
            return
        self._closed = True
        self._progress.remove_reader()
        if self._store_data is not None:
            self._store_data.close()

    def _chunks(self) -> Iterator[bytes]:
        position, progress = 0, self._progress
        try:
            while position < progress.size:
                available = progress.wait_for_byte(position)
                while position < available:
                    chunk = os.pread(progress.fd, min(CHUNK_SIZE, available - position), position)
                    if not chunk:
                        raise FillInterrupted()
                    position += len(chunk)
                    yield chunk
            progress.wait_verified()
            return
        except FillCorrupt:
            raise errors.CorruptImageData(
                "The data in the store is not that of the image."
            ) from None
        except (FillInterrupted, OSError):
            pass
        yield from self._from_store(position)

    def _from_store(self, position: int) -> Iterator[bytes]:
        left = self._progress.size - position
        if not left:
            return
        self._store_data = self._open_data(self._image, position)
        if self._store_data is None:
            raise errors.CorruptImageData(f"The data ended {left} bytes too early.")
        for chunk in self._store_data.chunks:
            chunk = chunk[:left]
            left -= len(chunk)
            yield chunk
        if left:
            raise errors.CorruptImageData(f"The data ended {left} bytes too early.")
