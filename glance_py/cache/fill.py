"""Brings one image into the cache, for all who read it meanwhile.

A thread of its own writes at the speed of the store, whatever the speed of the
readers.  When another process fills the same image already, the thread watches
that file grow instead: one image, one read of the store.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable

from glance_py.cache import directory as files
from glance_py.cache.books import Books
from glance_py.cache.directory import Busy, Directory
from glance_py.cache.progress import PATIENCE, Progress, State
from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.ports import Data

LOG = logging.getLogger(__name__)

#: Seconds between two looks at a file that another process writes.
_LOOK_EVERY = 0.02

#: How often one fill may remove other images because the disk is full: who else writes to
#: that disk shall not empty the cache.
RELIEFS = 3

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Abandoned(Exception):
    """Nobody reads any more."""


class Wrong(Exception):
    """The data is not that of the image; the text says how."""


class Fill:
    """The fill of ``image``.

    :param make_room: given a size in bytes, says whether the cache has room for
        it, and makes some; called while the directory is locked.
    :param relieve: called when the disk is full, with the bytes that do not fit;
        says whether it made some room.
    :param open_data: the data of an image from its store; None when there is none.
    :param ended: called last, with this fill.
    """

    def __init__(
        self,
        image: Image,
        directory: Directory,
        books: Books,
        make_room: Callable[[int], bool],
        relieve: Callable[[int], bool],
        open_data: Callable[[Image], Data | None],
        ended: Callable[[Fill], None],
    ) -> None:
        self.image = image
        self.size = image.size or 0
        self.progress = Progress(self.size)
        self._directory = directory
        self._books = books
        self._make_room = make_room
        self._relieve = relieve
        self._relieved = 0
        self._open_data = open_data
        self._ended = ended

    def start(self) -> None:
        """Begin, in a thread of its own."""
        threading.Thread(target=self._run, name="cache fill", daemon=True).start()

    def _run(self) -> None:
        try:
            self._fill_or_watch()
        except Exception:
            LOG.exception("Image %s could not be brought into the cache", self.image.id)
        finally:
            self._ended(self)
            self.progress.finish()

    def _fill_or_watch(self) -> None:
        try:
            own, fd = self._begin()
        except (Busy, OSError) as error:
            LOG.warning("Image %s is not cached: %s", self.image.id, error or "the cache is busy")
            own, fd = False, None
        if fd is None:
            self.progress.settle(State.REFUSED)
        elif own:
            self._fill(fd)
        else:
            self.progress.opened(fd)
            self._watch(fd)

    def _begin(self) -> tuple[bool, int | None]:
        """A file of our own, or (False) somebody else's; None when there is no room."""
        image_id = self.image.id
        with self._directory.locked():
            if self._directory.has(image_id):
                # Another process was quicker by a moment.
                return False, os.open(
                    self._directory.complete(image_id), os.O_RDONLY | os.O_CLOEXEC
                )
            if self._directory.is_being_written(image_id):
                return False, self._directory.follow(image_id)
            if not self._make_room(self.size):
                return False, None
            return True, self._directory.begin(image_id, self.size)

    # --- filling -------------------------------------------------------------------------------

    def _fill(self, fd: int) -> None:
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
                self.progress.settle(State.REFUSED)
            return
        self.progress.opened(fd)
        outcome, is_full = State.BROKEN, False
        try:
            with contextlib.closing(data):
                self._copy(data, fd)
            self.progress.settle(State.VERIFIED)
            if self._admit(fd):
                outcome = State.ADMITTED
        except Abandoned:
            LOG.info("Nobody reads image %s any more; it is not cached", self.image.id)
        except Wrong as error:
            LOG.error("Image %s is not cached: %s", self.image.id, error)
            outcome = State.DAMAGED
        except Exception as error:
            # A full disk, a store that fails: the readers go on without the cache.
            is_full = _says_full(error)
            LOG.warning(
                "Image %s is not cached: %s: %s", self.image.id, type(error).__name__, error
            )
        finally:
            if is_full:
                self._directory.throw_away(self.image.id, fd)
            elif outcome is not State.ADMITTED:
                self._directory.give_up(self.image.id, fd)
            files.release(fd)
            self.progress.settle(outcome)

    def _copy(self, data: Data, fd: int) -> None:
        digest, expected = _digest(self.image)
        written = 0
        for chunk in data.chunks:
            if not self.progress.is_wanted():
                raise Abandoned()
            written += len(chunk)
            if written > self.size:
                raise Wrong("the store delivers more bytes than the image has")
            digest.update(chunk)
            self._store(fd, chunk)
            self.progress.advance(len(chunk))
        if written < self.size:
            raise errors.CorruptImageData(f"The data ended {self.size - written} bytes too early.")
        if expected is None:
            LOG.warning(
                "Image %s has no checksum; it is cached as the store delivered it", self.image.id
            )
        elif digest.hexdigest() != expected:
            raise Wrong("its data does not have the checksum of the image")

    def _store(self, fd: int, chunk: bytes | memoryview) -> None:
        """Write a chunk, at the expense of other images when the disk is full."""
        at = os.lseek(fd, 0, os.SEEK_CUR)
        while True:
            try:
                return _write(fd, chunk)
            except OSError as error:
                if (
                    not _says_full(error)
                    or self._relieved == RELIEFS
                    or not self._relieve(self.size - at)
                ):
                    raise
                self._relieved += 1
                os.lseek(fd, at, os.SEEK_SET)

    def _admit(self, fd: int) -> bool:
        """Into the cache, whole or not at all, also when the power fails."""
        os.fdatasync(fd)
        with self._directory.locked():
            admitted = self._directory.commit(self.image.id, fd)
        if admitted:
            try:
                self._books.add(self.image.id, self.size)
            except Exception as error:
                LOG.warning("The books of the cache miss image %s: %s", self.image.id, error)
        return admitted

    # --- watching ------------------------------------------------------------------------------

    def _watch(self, fd: int) -> None:
        """Report what another process writes, until it has finished or stands still."""
        seen, since = 0, time.monotonic()
        while self.progress.is_wanted():
            # In this order: what was written before the writer let go counts.
            released = files.is_released(fd)
            size = os.fstat(fd).st_size
            if size > seen:
                self.progress.advance(size - seen)
                seen, since = size, time.monotonic()
            if released:
                whole = seen == self.size and self._directory.is_complete(self.image.id, fd)
                self.progress.settle(State.ADMITTED if whole else State.BROKEN)
                return
            if time.monotonic() - since > PATIENCE:
                self.progress.settle(State.BROKEN)
                return
            time.sleep(_LOOK_EVERY)


def _digest(image: Image):
    """What to compute over the data, and what it must be (None: nobody knows)."""
    if image.checksum:
        return hashlib.md5(usedforsecurity=False), image.checksum
    algorithm = image.os_hash_algo or ""
    if image.os_hash_value and algorithm in hashlib.algorithms_available:
        return hashlib.new(algorithm), image.os_hash_value
    return hashlib.md5(usedforsecurity=False), None


def _says_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def _write(fd: int, chunk: bytes | memoryview) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]
