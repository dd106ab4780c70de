"""Fetches one image into the cache, and lets any number of readers read it meanwhile.

A thread writes the file at the speed of the store, independent of the readers.  When another
process is fetching the same image, the thread follows the growth of that file instead: the image
is read from its store once per host.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable
from typing import Protocol

from glance_py.cache import directory as cache_directory
from glance_py.cache.directory import CacheBusy, CacheDirectory
from glance_py.cache.driver import CacheDriver
from glance_py.cache.fill_progress import STALL_TIMEOUT, FillProgress, FillStatus
from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.ports import Data
from glance_store_py.process import start_thread

LOG = logging.getLogger(__name__)

#: Seconds between two reads of the size of a file that another process writes.
_POLL_INTERVAL = 0.02

#: How often one fill may remove other images because the disk is full.  Without a limit, another
#: program that fills the disk would empty the cache.
MAX_EVICTIONS = 3

_DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


class _Hash(Protocol):
    """A hash object of hashlib, which has no public type."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class NoReaders(Exception):
    """The last reader has left."""


class DataMismatch(Exception):
    """The data is not that of the image; the text says in which way."""


class Fill:
    """The fill of ``image``.

    :param ensure_space: frees space for a number of bytes; returns whether they fit.  It is called
        while the directory is locked.
    :param evict: called when the disk is full, with the number of bytes that do not fit; returns
        whether it freed space.
    :param open_data: reads the image from its store; None when it has no data.
    :param on_end: called last, with this fill.
    :param clock: seconds, as ``time.monotonic``.
    """

    def __init__(
        self,
        image: Image,
        directory: CacheDirectory,
        driver: CacheDriver,
        ensure_space: Callable[[int], bool],
        evict: Callable[[int], bool],
        open_data: Callable[[Image], Data | None],
        on_end: Callable[[Fill], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.image = image
        self.size = image.size or 0
        self.progress = FillProgress(self.size, clock)
        self._clock = clock
        self._directory = directory
        self._driver = driver
        self._ensure_space = ensure_space
        self._evict = evict
        self._evictions = 0
        self._open_data = open_data
        self._on_end = on_end

    def start(self) -> None:
        """Start the thread."""
        start_thread("cache fill", self._run)

    def _run(self) -> None:
        try:
            self._write_or_follow()
        except Exception:
            LOG.exception("Image %s could not be brought into the cache", self.image.id)
        finally:
            self._on_end(self)
            self.progress.finish()

    def _write_or_follow(self) -> None:
        try:
            is_writer, fd = self._open_file()
        except (CacheBusy, OSError) as error:
            LOG.warning("Image %s is not cached: %s", self.image.id, error or "the cache is busy")
            is_writer, fd = False, None
        if fd is None:
            self.progress.set_status(FillStatus.REFUSED)
        elif is_writer:
            self._write_image(fd)
        else:
            self.progress.set_file(fd)
            self._follow_writer(fd)

    def _open_file(self) -> tuple[bool, int | None]:
        """Open the file of the image.

        :returns: (True, descriptor) of a new file to write; (False, descriptor) of one that
            another process writes or has written; (False, None) when there is no space.
        :raises CacheBusy: another process held the lock of the directory for too long.
        """
        image_id = self.image.id
        with self._directory.locked():
            if self._directory.has(image_id):
                # Another process committed it after this one had looked.
                return False, os.open(
                    self._directory.image_path(image_id), os.O_RDONLY | os.O_CLOEXEC
                )
            if self._directory.is_being_written(image_id):
                return False, self._directory.open_partial(image_id)
            if not self._ensure_space(self.size):
                return False, None
            return True, self._directory.create_partial(image_id, self.size)

    # --- filling -------------------------------------------------------------------------------

    def _write_image(self, fd: int) -> None:
        data = None
        try:
            data = self._open_data(self.image)
            if data is None:
                raise errors.NotFound("The image has no data.")
        except Exception as error:
            LOG.warning("Image %s is not cached: %s", self.image.id, error)
            try:
                self._directory.remove(self.image.id)
            finally:
                os.close(fd)
                self.progress.set_status(FillStatus.REFUSED)
            return
        self.progress.set_file(fd)
        outcome, is_full = FillStatus.ABORTED, False
        try:
            with contextlib.closing(data):
                self._copy(data, fd)
            self.progress.set_status(FillStatus.VERIFIED)
            if self._commit(fd):
                outcome = FillStatus.COMMITTED
        except NoReaders:
            LOG.info("Image %s is not cached: its last reader has left", self.image.id)
        except DataMismatch as error:
            LOG.error("Image %s is not cached: %s", self.image.id, error)
            outcome = FillStatus.CORRUPT
        except Exception as error:
            # A full disk or a store that fails: readers read the rest from the store.
            is_full = _is_disk_full(error)
            LOG.warning(
                "Image %s is not cached: %s: %s", self.image.id, type(error).__name__, error
            )
        finally:
            if is_full:
                self._directory.remove_partial(self.image.id, fd)
            elif outcome is not FillStatus.COMMITTED:
                self._directory.invalidate_partial(self.image.id, fd)
            cache_directory.release_write_lock(fd)
            self.progress.set_status(outcome)

    def _copy(self, data: Data, fd: int) -> None:
        digest, expected = _digest(self.image)
        written = 0
        for chunk in data.chunks:
            if not self.progress.should_continue():
                raise NoReaders()
            written += len(chunk)
            if written > self.size:
                raise DataMismatch("the store delivers more bytes than the image has")
            digest.update(chunk)
            self._write_chunk(fd, chunk)
            self.progress.advance(len(chunk))
        if written < self.size:
            raise errors.CorruptImageData(f"The data ended {self.size - written} bytes too early.")
        if expected is None:
            LOG.warning(
                "Image %s has no checksum; it is cached as the store delivered it", self.image.id
            )
        elif digest.hexdigest() != expected:
            raise DataMismatch("its data does not have the checksum of the image")

    def _write_chunk(self, fd: int, chunk: bytes | memoryview) -> None:
        """Write a chunk; removes other images when the disk is full, at most MAX_EVICTIONS times.

        :raises OSError: it cannot be written.
        """
        at = os.lseek(fd, 0, os.SEEK_CUR)
        while True:
            try:
                return _write_all(fd, chunk)
            except OSError as error:
                if (
                    not _is_disk_full(error)
                    or self._evictions == MAX_EVICTIONS
                    or not self._evict(self.size - at)
                ):
                    raise
                self._evictions += 1
                os.lseek(fd, at, os.SEEK_SET)

    def _commit(self, fd: int) -> bool:
        """Move the file into the cache, atomically and after a sync.

        :returns: False when the image was removed meanwhile.
        """
        os.fdatasync(fd)
        with self._directory.locked():
            committed = self._directory.commit(self.image.id, fd)
        if committed:
            try:
                self._driver.add(self.image.id, self.size)
            except Exception as error:
                LOG.warning("The cache driver has no entry for image %s: %s", self.image.id, error)
        return committed

    # --- following another process -------------------------------------------------------------

    def _follow_writer(self, fd: int) -> None:
        """Report what another process writes, until it has finished or STALL_TIMEOUT has passed."""
        seen, since = 0, self._clock()
        while self.progress.should_continue():
            # In this order: the size must be read after the writer has finished.
            released = cache_directory.is_write_lock_released(fd)
            size = os.fstat(fd).st_size
            if size > seen:
                self.progress.advance(size - seen)
                seen, since = size, self._clock()
            if released:
                whole = seen == self.size and self._directory.is_committed(self.image.id, fd)
                self.progress.set_status(FillStatus.COMMITTED if whole else FillStatus.ABORTED)
                return
            if self._clock() - since > STALL_TIMEOUT:
                self.progress.set_status(FillStatus.ABORTED)
                return
            time.sleep(_POLL_INTERVAL)


def _digest(image: Image) -> tuple[_Hash, str | None]:
    """A hash object, and the hexadecimal digest that it must have in the end; None if unknown."""
    if image.checksum:
        return hashlib.md5(usedforsecurity=False), image.checksum
    algorithm = image.os_hash_algo or ""
    if image.os_hash_value and algorithm in hashlib.algorithms_available:
        return hashlib.new(algorithm), image.os_hash_value
    return hashlib.md5(usedforsecurity=False), None


def _is_disk_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _DISK_FULL_ERRNOS


def _write_all(fd: int, chunk: bytes | memoryview) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]
