"""The image cache of this host: reads, space, entries and queue.

A read of a complete image is a hit; any other read starts a fill or joins one.  The caller of this
module checks permissions, and reads from the store when the cache cannot deliver an image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

from glance_py.cache.directory import CacheDirectory, is_image_id
from glance_py.cache.driver import CacheDriver
from glance_py.cache.fill import Fill
from glance_py.cache.fill_progress import FillStatus
from glance_py.cache.reader import FillReader
from glance_py.domain.cached_image import CachedImage
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image, ImageStatus
from glance_py.domain.ports import Data

LOG = logging.getLogger(__name__)

#: Bytes that are read from a file at once.
CHUNK_SIZE = 256 * 1024

#: Statuses of an image in which it has data, which then does not change.
_STATUSES_WITH_DATA = (ImageStatus.ACTIVE, ImageStatus.DEACTIVATED)

#: Reads the data of an image from the byte of this number on, with the rights of a caller, or of
#: the service when that is None; returns None when the image has no data.
OpenData = Callable[[Image, int, Caller | None], Data | None]


@dataclasses.dataclass(frozen=True, slots=True)
class CacheRead:
    """Data that the cache delivers; ``hit`` when the image was complete before the read."""

    data: Data
    hit: bool


class ImageCache:
    """One cache directory with its driver.  Safe in threads.

    :param max_size: bytes that the directory never exceeds.
    :param stall_time: seconds without a write after which :meth:`clean` removes a partial file.
    :param open_data: reads an image from its store.
    """

    def __init__(
        self,
        directory: CacheDirectory,
        driver: CacheDriver,
        max_size: int,
        stall_time: float,
        open_data: OpenData,
    ) -> None:
        self._directory = directory
        self._driver = driver
        self._max_size = max_size
        self._stall_time = stall_time
        self._open_data = open_data
        self._lock = threading.Lock()
        self._fills: dict[str, Fill] = {}
        self._on_enqueue: Callable[[], None] = lambda: None

    def reconcile(self) -> None:
        """Add entries for files without one, and remove entries without a file.

        An earlier process may have crashed between the two.  Errors are logged.
        """
        try:
            with self._directory.locked():
                self._directory.remove_orphaned_partials()
                files = self._directory.image_files()
            known = {entry.image_id for entry in self._driver.entries()}
            for image_id in known - files.keys():
                self._driver.remove(image_id)
            for image_id in files.keys() - known:
                self._driver.add(image_id, files[image_id].st_size)
        except Exception as error:
            LOG.warning(
                "The entries of the image cache could not be compared with its files: %s",
                error or type(error).__name__,
            )

    # --- reading -------------------------------------------------------------------------------

    def read(
        self, image: Image, may_fill: bool = True, caller: Caller | None = None
    ) -> CacheRead | None:
        """The data of an image, whole; None when the cache cannot deliver it.

        A deactivated image, which only administrators can download, is never a hit.

        :param may_fill: fetch an image that is not in the cache while it is read.
        :param caller: whose rights a store may need; None for those of the service.
        """
        if (
            image.status not in _STATUSES_WITH_DATA
            or image.size is None
            or not is_image_id(image.id)
        ):
            return None
        cache_read = self._open_cached(image) if image.status == ImageStatus.ACTIVE else None
        if cache_read is not None or not may_fill or image.size > self._max_size:
            return cache_read
        fill = self._join_fill(image, caller)
        if not fill.progress.wait_for_file():
            fill.progress.remove_reader()
            return None
        return CacheRead(FillReader(fill.progress, image, self._opener(caller)).data(), hit=False)

    def _open_cached(self, image: Image) -> CacheRead | None:
        path = self._directory.image_path(image.id)
        try:
            file = io.FileIO(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            LOG.error("The cached image %s cannot be read: %s", image.id, error.strerror)
            return None
        if os.fstat(file.fileno()).st_size != image.size:
            file.close()
            LOG.error("The cached image %s has not the size of the image; it is dropped", image.id)
            self._directory.invalidate(image.id)
            self._remove_entry(image.id)
            return None
        try:
            self._driver.hit(image.id, image.size)
        except Exception as error:
            LOG.warning("A hit on image %s was not counted: %s", image.id, error)
        return CacheRead(Data(_chunks(file), image.size, file, file.close), hit=True)

    def _opener(self, caller: Caller | None) -> Callable[[Image, int], Data | None]:
        return lambda image, start: self._open_data(image, start, caller)

    def _join_fill(self, image: Image, caller: Caller | None = None) -> Fill:
        """The fill of an image, with one reader more; starts one when none is running."""
        with self._lock:
            fill = self._fills.get(image.id)
            if fill is not None and fill.progress.add_reader():
                return fill
            fill = Fill(
                image,
                self._directory,
                self._driver,
                self._ensure_space,
                self._evict,
                lambda image: self._open_data(image, 0, caller),
                self._on_fill_end,
            )
            fill.progress.add_reader()
            self._fills[image.id] = fill
        fill.start()
        return fill

    def _on_fill_end(self, fill: Fill) -> None:
        with self._lock:
            if self._fills.get(fill.image.id) is fill:
                del self._fills[fill.image.id]

    # --- space ---------------------------------------------------------------------------------

    def _ensure_space(self, size: int) -> bool:
        """Remove the least recently read images until ``size`` more bytes fit.

        They must fit into ``max_size`` and on the disk, which other programs may use too.

        :returns: False when they cannot fit.
        """
        directory = self._directory
        directory.remove_orphaned_partials()
        if directory.reserved_bytes() + size > self._max_size:
            return False
        excess = directory.used_bytes() + size - self._max_size
        if excess > 0:
            excess -= directory.remove_invalid()
        if excess > 0:
            self._prune(excess)
        missing = size + directory.unwritten_bytes() - directory.free_bytes()
        if missing > 0:
            missing -= directory.remove_invalid()
        if missing > 0:
            # Remove nothing if that does not suffice: another program may have filled the disk.
            if sum(stat.st_size for stat in directory.image_files().values()) < missing:
                return False
            self._prune(missing)
        return directory.free_bytes() >= size

    def _evict(self, size: int) -> bool:
        """Remove images for ``size`` bytes, because the disk is full; False when there were none.

        :raises CacheBusy: another process held the lock of the directory for too long.
        """
        directory = self._directory
        with directory.locked():
            removed = directory.remove_orphaned_partials() + directory.remove_invalid()
            if removed < size:
                removed += self._prune(size - removed)[1]
        LOG.warning("The disk of the image cache is full: removed %d bytes", removed)
        return removed > 0

    def _prune(self, excess: int) -> tuple[int, int]:
        """Remove images, the least recently read first, until ``excess`` bytes are removed.

        :returns: the number of images and of bytes that were removed.
        """
        files = self._directory.image_files()
        used = {image_id: stat.st_mtime for image_id, stat in files.items()}
        try:
            used.update(
                (entry.image_id, entry.last_accessed)
                for entry in self._driver.entries()
                if entry.image_id in used
            )
        except Exception as error:
            LOG.warning(
                "The entries of the cache cannot be read; the oldest images are removed: %s", error
            )
        count = removed = 0
        for image_id in sorted(used, key=used.__getitem__):
            if removed >= excess:
                break
            size = self._directory.remove(image_id)
            if size is not None:
                count, removed = count + 1, removed + size
                self._remove_entry(image_id)
        return count, removed

    def prune(self) -> tuple[int, int]:
        """Reduce the cache to ``max_size``, for example after an operator has lowered that.

        :returns: the number of images and of bytes that were removed.
        :raises CacheBusy: another process held the lock of the directory for too long.
        """
        with self._directory.locked():
            self._directory.remove_orphaned_partials()
            excess = self._directory.used_bytes() - self._max_size
            if excess > 0:
                excess -= self._directory.remove_invalid()
            return self._prune(excess) if excess > 0 else (0, 0)

    def clean(self) -> None:
        """Remove invalid files, and partial files whose writer has crashed or does not write.

        :raises CacheBusy: another process held the lock of the directory for too long.
        """
        with self._directory.locked():
            self._directory.remove_invalid()
            self._directory.remove_orphaned_partials()
            self._directory.remove_stalled_partials(self._stall_time)

    # --- management ----------------------------------------------------------------------------

    def entries(self) -> list[CachedImage]:
        """The entries of the images in the cache."""
        files = self._directory.image_files()
        return [entry for entry in self._driver.entries() if entry.image_id in files]

    def nodes(self, image_id: str) -> list[str]:
        """The URLs of the hosts that have an image in their caches.

        :raises errors.Conflict: the driver has the entries of this host only.
        """
        return self._driver.nodes(image_id)

    def is_cached(self, image_id: str) -> bool:
        """Is the image in the cache, complete?"""
        return self._directory.has(image_id)

    def delete(self, image_id: str) -> bool:
        """Remove an image, also a partial one; False when it was not complete."""
        size = self._directory.remove(image_id)
        self._remove_entry(image_id)
        return size is not None

    def delete_all(self) -> int:
        """Remove all images; returns their number."""
        return sum(self.delete(image_id) for image_id in self._directory.image_files())

    def _remove_entry(self, image_id: str) -> None:
        try:
            self._driver.remove(image_id)
        except Exception as error:
            LOG.warning(
                "The entry of image %s stays in the cache driver until the next start: %s",
                image_id,
                error,
            )

    # --- the queue -----------------------------------------------------------------------------

    def queue(self, image_id: str) -> None:
        """Have an image fetched by the prefetcher, unless it is in the cache or is being fetched.

        :raises errors.Invalid: this cannot be the id of an image.
        """
        if self.is_cached(image_id) or image_id in self._fills:
            return
        self._directory.enqueue(image_id)
        self._on_enqueue()

    def queued(self) -> list[str]:
        """The ids of the queued images, the oldest first."""
        return self._directory.queued()

    def dequeue(self, image_id: str) -> bool:
        """Remove an image from the queue; False when it was not there."""
        return self._directory.dequeue(image_id)

    def dequeue_all(self) -> int:
        """Empty the queue; returns how many images were in it."""
        return sum(self._directory.dequeue(image_id) for image_id in self._directory.queued())

    def on_enqueue(self, callback: Callable[[], None]) -> None:
        """Set a function that is called after an image was queued in this process."""
        self._on_enqueue = callback

    def fetch(self, image: Image) -> bool:
        """Fetch an active image and wait for it; False when that was not possible."""
        if self.is_cached(image.id):
            return True
        fill = self._join_fill(image)
        try:
            return fill.progress.wait_finished() is FillStatus.COMMITTED
        finally:
            fill.progress.remove_reader()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with contextlib.closing(file):
        while chunk := file.read(CHUNK_SIZE):
            yield chunk
