"""The image cache of this node, as everybody else sees it.

Reads go through here: a complete image is a hit, any other starts a fill or
joins one.  Who may read, and what is said when an image cannot be cached, is
decided elsewhere: then the answer is None and the store has the data.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from glance_py.cache.directory import CacheDirectory, is_image_id
from glance_py.cache.driver import CacheDriver
from glance_py.cache.fill import Fill
from glance_py.cache.fill_progress import FillStatus
from glance_py.cache.reader import FillReader
from glance_py.domain.cached_image import CachedImage
from glance_py.domain.image import Image
from glance_py.domain.ports import Data

LOG = logging.getLogger(__name__)

#: How much of a file is read at once, in bytes.
CHUNK_SIZE = 256 * 1024

#: States of an image in which it has data that does not change any more.
_STATUSES_WITH_DATA = ("active", "deactivated")

#: The data of an image from the byte of this number on, read for a caller (None: for
#: the service itself); None when there is none.
OpenData = Callable[[Image, int, Any], Data | None]


@dataclasses.dataclass(frozen=True, slots=True)
class CacheRead:
    """Data that the cache delivers; ``hit`` when it was all there already."""

    data: Data
    hit: bool


class ImageCache:
    """One cache directory with its books.

    :param max_size: bytes that the directory never exceeds.
    :param stall_time: seconds after which a half-written file is given up.
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
        """Bring files and books together after whatever happened to an earlier process."""
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
                "The image cache could not be tidied, it is used as it is: %s",
                error or type(error).__name__,
            )

    # --- reading -------------------------------------------------------------------------------

    def read(self, image: Image, may_fill: bool = True, caller: Any = None) -> CacheRead | None:
        """The data of an image, whole; None when the cache cannot deliver it.

        An image that is not here is brought in while it is read, if ``may_fill``.
        A deactivated image, which only administrators read, is never a hit.
        ``caller`` matters to stores that act on behalf of those who ask.
        """
        if (
            image.status not in _STATUSES_WITH_DATA
            or image.size is None
            or not is_image_id(image.id)
        ):
            return None
        cache_read = self._open_cached(image) if image.status == "active" else None
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

    def _opener(self, caller: Any) -> Callable[[Image, int], Data | None]:
        return lambda image, start: self._open_data(image, start, caller)

    def _join_fill(self, image: Image, caller: Any = None) -> Fill:
        """The fill of an image, joined; a new one when there is none."""
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
        """Remove what was used least until ``size`` more bytes fit; False: they never will.

        They must fit into the cache and on its disk, which may be smaller, or
        shared with others.
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
            # In vain nothing is removed: somebody else may have filled the disk.
            if sum(stat.st_size for stat in directory.image_files().values()) < missing:
                return False
            self._prune(missing)
        return directory.free_bytes() >= size

    def _evict(self, size: int) -> bool:
        """The disk is full: remove images for ``size`` bytes; False when there was nothing.

        :raises CacheBusy: another process kept the directory for too long.
        """
        directory = self._directory
        with directory.locked():
            removed = directory.remove_orphaned_partials() + directory.remove_invalid()
            if removed < size:
                removed += self._prune(size - removed)[1]
        LOG.warning("The disk of the image cache is full: removed %d bytes", removed)
        return removed > 0

    def _prune(self, excess: int) -> tuple[int, int]:
        """Remove images, the least recently read first, until ``excess`` bytes are gone.

        Returns how many images and bytes were removed.
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
            LOG.warning("The books of the cache cannot be read, the oldest images go: %s", error)
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
        """Bring the cache back to its size, for example after that was lowered.

        Returns how many images and bytes were removed.

        :raises CacheBusy: another process kept the directory for too long.
        """
        with self._directory.locked():
            self._directory.remove_orphaned_partials()
            excess = self._directory.used_bytes() - self._max_size
            if excess > 0:
                excess -= self._directory.remove_invalid()
            return self._prune(excess) if excess > 0 else (0, 0)

    def clean(self) -> None:
        """Remove what was given up, and half-written files whose writer is dead or stuck.

        :raises CacheBusy: another process kept the directory for too long.
        """
        with self._directory.locked():
            self._directory.remove_invalid()
            self._directory.remove_orphaned_partials()
            self._directory.remove_stalled_partials(self._stall_time)

    # --- management ----------------------------------------------------------------------------

    def entries(self) -> list[CachedImage]:
        """The images that are here."""
        files = self._directory.image_files()
        return [entry for entry in self._driver.entries() if entry.image_id in files]

    def nodes(self, image_id: str) -> list[str]:
        """The nodes that have an image, by URL.

        :raises errors.Conflict: the driver knows of this node only.
        """
        return self._driver.nodes(image_id)

    def is_cached(self, image_id: str) -> bool:
        """Is it here, complete?"""
        return self._directory.has(image_id)

    def delete(self, image_id: str) -> bool:
        """Remove an image, also one that is being filled; False when it was not here."""
        size = self._directory.remove(image_id)
        self._remove_entry(image_id)
        return size is not None

    def delete_all(self) -> int:
        """Remove all images: their number."""
        return sum(self.delete(image_id) for image_id in self._directory.image_files())

    def _remove_entry(self, image_id: str) -> None:
        try:
            self._driver.remove(image_id)
        except Exception as error:
            LOG.warning(
                "The books of the cache keep image %s until the next start: %s", image_id, error
            )

    # --- the queue -----------------------------------------------------------------------------

    def queue(self, image_id: str) -> None:
        """Have an image fetched soon; nothing when it is here or being filled.

        :raises errors.Invalid: this cannot be the id of an image.
        """
        if self.is_cached(image_id) or image_id in self._fills:
            return
        self._directory.enqueue(image_id)
        self._on_enqueue()

    def queued(self) -> list[str]:
        """The images that wait, the oldest first."""
        return self._directory.queued()

    def dequeue(self, image_id: str) -> bool:
        """Do not fetch it after all; False when it did not wait."""
        return self._directory.dequeue(image_id)

    def dequeue_all(self) -> int:
        """Empty the queue: how many waited."""
        return sum(self._directory.dequeue(image_id) for image_id in self._directory.queued())

    def on_enqueue(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called after something was queued in this process."""
        self._on_enqueue = callback

    def fetch(self, image: Image) -> bool:
        """Bring an active image in and wait for it; False when that was not possible."""
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
