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

from glance_py.cache.books import Books
from glance_py.cache.directory import Directory, is_image_id
from glance_py.cache.fill import Fill
from glance_py.cache.progress import State
from glance_py.cache.reader import Reader
from glance_py.domain.cached_image import CachedImage
from glance_py.domain.image import Image
from glance_py.domain.ports import Data

LOG = logging.getLogger(__name__)

#: How much of a file is read at once, in bytes.
CHUNK_SIZE = 256 * 1024

#: States of an image in which it has data that does not change any more.
_WITH_DATA = ("active", "deactivated")

#: The data of an image from the byte of this number on, read for a caller (None: for
#: the service itself); None when there is none.
OpenData = Callable[[Image, int, Any], Data | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Copy:
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
        directory: Directory,
        books: Books,
        max_size: int,
        stall_time: float,
        open_data: OpenData,
    ) -> None:
        self._directory = directory
        self._books = books
        self._max_size = max_size
        self._stall_time = stall_time
        self._open_data = open_data
        self._lock = threading.Lock()
        self._fills: dict[str, Fill] = {}
        self._when_queued: Callable[[], None] = lambda: None

    def tidy(self) -> None:
        """Bring files and books together after whatever happened to an earlier process."""
        try:
            with self._directory.locked():
                self._directory.remove_leftovers()
                files = self._directory.files()
            known = {entry.image_id for entry in self._books.entries()}
            for image_id in known - files.keys():
                self._books.remove(image_id)
            for image_id in files.keys() - known:
                self._books.add(image_id, files[image_id].st_size)
        except Exception as error:
            LOG.warning(
                "The image cache could not be tidied, it is used as it is: %s",
                error or type(error).__name__,
            )

    # --- reading -------------------------------------------------------------------------------

    def read(self, image: Image, may_fill: bool = True, caller: Any = None) -> Copy | None:
        """The data of an image, whole; None when the cache cannot deliver it.

        An image that is not here is brought in while it is read, if ``may_fill``.
        A deactivated image, which only administrators read, is never a hit.
        ``caller`` matters to stores that act on behalf of those who ask.
        """
        if image.status not in _WITH_DATA or image.size is None or not is_image_id(image.id):
            return None
        copy = self._hit(image) if image.status == "active" else None
        if copy is not None or not may_fill or image.size > self._max_size:
            return copy
        fill = self._join(image, caller)
        if not fill.progress.wait_opened():
            fill.progress.leave()
            return None
        return Copy(Reader(fill.progress, image, self._opener(caller)).data(), hit=False)

    def _hit(self, image: Image) -> Copy | None:
        path = self._directory.complete(image.id)
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
            self._forget(image.id)
            return None
        try:
            self._books.hit(image.id, image.size)
        except Exception as error:
            LOG.warning("A hit on image %s was not counted: %s", image.id, error)
        return Copy(Data(_chunks(file), image.size, file, file.close), hit=True)

    def _opener(self, caller: Any) -> Callable[[Image, int], Data | None]:
        return lambda image, start: self._open_data(image, start, caller)

    def _join(self, image: Image, caller: Any = None) -> Fill:
        """The fill of an image, joined; a new one when there is none."""
        with self._lock:
            fill = self._fills.get(image.id)
            if fill is not None and fill.progress.join():
                return fill
            fill = Fill(
                image,
                self._directory,
                self._books,
                self._make_room,
                self._relieve,
                lambda image: self._open_data(image, 0, caller),
                self._ended,
            )
            fill.progress.join()
            self._fills[image.id] = fill
        fill.start()
        return fill

    def _ended(self, fill: Fill) -> None:
        with self._lock:
            if self._fills.get(fill.image.id) is fill:
                del self._fills[fill.image.id]

    # --- space ---------------------------------------------------------------------------------

    def _make_room(self, size: int) -> bool:
        """Remove what was used least until ``size`` more bytes fit; False: they never will.

        They must fit into the cache and on its disk, which may be smaller, or
        shared with others.
        """
        directory = self._directory
        directory.remove_leftovers()
        if directory.reserved() + size > self._max_size:
            return False
        excess = directory.occupied() + size - self._max_size
        if excess > 0:
            excess -= directory.remove_invalid()
        if excess > 0:
            self._prune(excess)
        missing = size + directory.unwritten() - directory.free()
        if missing > 0:
            missing -= directory.remove_invalid()
        if missing > 0:
            # In vain nothing is removed: somebody else may have filled the disk.
            if sum(stat.st_size for stat in directory.files().values()) < missing:
                return False
            self._prune(missing)
        return directory.free() >= size

    def _relieve(self, size: int) -> bool:
        """The disk is full: remove images for ``size`` bytes; False when there was nothing.

        :raises Busy: another process kept the directory for too long.
        """
        directory = self._directory
        with directory.locked():
            removed = directory.remove_leftovers() + directory.remove_invalid()
            if removed < size:
                removed += self._prune(size - removed)[1]
        LOG.warning("The disk of the image cache is full: removed %d bytes", removed)
        return removed > 0

    def _prune(self, excess: int) -> tuple[int, int]:
        """Remove images, the least recently read first, until ``excess`` bytes are gone.

        Returns how many images and bytes were removed.
        """
        files = self._directory.files()
        used = {image_id: stat.st_mtime for image_id, stat in files.items()}
        try:
            used.update(
                (entry.image_id, entry.last_accessed)
                for entry in self._books.entries()
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
                self._forget(image_id)
        return count, removed

    def prune(self) -> tuple[int, int]:
        """Bring the cache back to its size, for example after that was lowered.

        Returns how many images and bytes were removed.

        :raises Busy: another process kept the directory for too long.
        """
        with self._directory.locked():
            self._directory.remove_leftovers()
            excess = self._directory.occupied() - self._max_size
            if excess > 0:
                excess -= self._directory.remove_invalid()
            return self._prune(excess) if excess > 0 else (0, 0)

    def clean(self) -> None:
        """Remove what was given up, and half-written files whose writer is dead or stuck.

        :raises Busy: another process kept the directory for too long.
        """
        with self._directory.locked():
            self._directory.remove_invalid()
            self._directory.remove_leftovers()
            self._directory.remove_stalled(self._stall_time)

    # --- management ----------------------------------------------------------------------------

    def entries(self) -> list[CachedImage]:
        """The images that are here."""
        files = self._directory.files()
        return [entry for entry in self._books.entries() if entry.image_id in files]

    def nodes(self, image_id: str) -> list[str]:
        """The nodes that have an image, by URL.

        :raises errors.Conflict: the driver knows of this node only.
        """
        return self._books.nodes(image_id)

    def is_cached(self, image_id: str) -> bool:
        """Is it here, complete?"""
        return self._directory.has(image_id)

    def drop(self, image_id: str) -> bool:
        """Remove an image, also one that is being filled; False when it was not here."""
        size = self._directory.remove(image_id)
        self._forget(image_id)
        return size is not None

    def drop_all(self) -> int:
        """Remove all images: their number."""
        return sum(self.drop(image_id) for image_id in self._directory.files())

    def _forget(self, image_id: str) -> None:
        try:
            self._books.remove(image_id)
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
        self._when_queued()

    def queued(self) -> list[str]:
        """The images that wait, the oldest first."""
        return self._directory.queued()

    def dequeue(self, image_id: str) -> bool:
        """Do not fetch it after all; False when it did not wait."""
        return self._directory.dequeue(image_id)

    def dequeue_all(self) -> int:
        """Empty the queue: how many waited."""
        return sum(self._directory.dequeue(image_id) for image_id in self._directory.queued())

    def when_queued(self, call: Callable[[], None]) -> None:
        """Have ``call`` called after something was queued in this process."""
        self._when_queued = call

    def fetch(self, image: Image) -> bool:
        """Bring an active image in and wait for it; False when that was not possible."""
        if self.is_cached(image.id):
            return True
        fill = self._join(image)
        try:
            return fill.progress.wait_finished() is State.ADMITTED
        finally:
            fill.progress.leave()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with contextlib.closing(file):
        while chunk := file.read(CHUNK_SIZE):
            yield chunk
