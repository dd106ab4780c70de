"""The files of the cache: where they lie, who holds them, how much they occupy.

    <id>             a complete image
    incomplete/<id>  one that is being written, locked by its writer
    invalid/<id>     what was given up half-way or turned out to be wrong
    queue/<id>       an empty marker: this image is to be fetched

Several processes share the directory.  What must not happen twice happens
while one of them holds :meth:`Directory.locked`.  This room knows sizes and
names, not images.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator

from glance_py.domain import errors

#: Seconds to wait for another process to finish its few steps in the directory.
PATIENCE = 5.0

#: Names of images: everything else in the directory is somebody else's.
_IMAGE_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

#: Names of markers may be any text that is one name of a file and not a hidden one.
_MARKER = re.compile(r"[^./\0][^/\0]{0,200}")


class Busy(errors.StoreUnavailable):
    """Another process held the directory for too long."""

    text = "The image cache is busy at the moment; try again later."


class Directory:
    """``image_cache_dir``; made, with its parts, when it is not there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._incomplete = os.path.join(path, "incomplete")
        self._invalid = os.path.join(path, "invalid")
        self._queue = os.path.join(path, "queue")
        for each in (self._incomplete, self._invalid, self._queue):
            os.makedirs(each, exist_ok=True)
        # Other programs that list this directory skip names that end so.
        self._lock = os.path.join(path, "image_cache_lock.db")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one, thread or process, in a block with this.

        :raises Busy: somebody else is, for too long.
        """
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            deadline = time.monotonic() + PATIENCE
            while not _take(fd):
                if time.monotonic() > deadline:
                    raise Busy()
                time.sleep(0.005)
            yield
        finally:
            os.close(fd)

    # --- complete images ---------------------------------------------------------------------

    def complete(self, image_id: str) -> str:
        """Where a complete image lies."""
        return os.path.join(self.path, image_id)

    def has(self, image_id: str) -> bool:
        """Is an image here, complete?"""
        return is_image_id(image_id) and os.path.exists(self.complete(image_id))

    def files(self) -> dict[str, os.stat_result]:
        """The complete images and what the file system knows of them."""
        return {name: stat for name, stat in _listed(self.path) if is_image_id(name)}

    def is_complete(self, image_id: str, fd: int) -> bool:
        """Is the file behind ``fd`` now the complete image?"""
        try:
            return os.path.samestat(os.stat(self.complete(image_id)), os.fstat(fd))
        except FileNotFoundError:
            return False

    # --- images being written ----------------------------------------------------------------

    def begin(self, image_id: str, size: int) -> int:
        """A new, locked file for an image of ``size`` bytes: its descriptor.

        Only while the directory is locked.

        :raises FileExistsError: somebody is writing it.
        """
        path = self._at(self._incomplete, image_id)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # So that other processes know how much it is going to occupy.
            with open(_announcement(path), "w") as file:
                file.write(str(size))
        except BaseException:
            _remove(path)
            os.close(fd)
            raise
        return fd

    def follow(self, image_id: str) -> int:
        """A file that somebody else writes, to be read: its descriptor."""
        return os.open(self._at(self._incomplete, image_id), os.O_RDONLY | os.O_CLOEXEC)

    def commit(self, image_id: str, fd: int) -> bool:
        """Make a written file the complete image; False when it was deleted meanwhile.

        Only while the directory is locked.
        """
        path = self._at(self._incomplete, image_id)
        if not self._is_at(path, fd):
            return False
        os.rename(path, self.complete(image_id))
        _remove(_announcement(path))
        return True

    def give_up(self, image_id: str, fd: int) -> None:
        """Put a file that will never be complete aside."""
        path = self._at(self._incomplete, image_id)
        if self._is_at(path, fd):
            os.rename(path, self._at(self._invalid, image_id))
            _remove(_announcement(path))

    def throw_away(self, image_id: str, fd: int) -> None:
        """Remove a file that will never be complete, at once: the disk is full."""
        path = self._at(self._incomplete, image_id)
        if self._is_at(path, fd):
            _remove(path)
            _remove(_announcement(path))

    def is_being_written(self, image_id: str) -> bool:
        """Is there a file for it whose writer lives?"""
        try:
            fd = self.follow(image_id)
        except FileNotFoundError:
            return False
        try:
            return not is_released(fd)
        finally:
            os.close(fd)

    def remove_leftovers(self) -> int:
        """Remove half-written files whose writer is dead: their bytes.

        Only while the directory is locked.
        """
        removed = 0
        for name, stat in list(_listed(self._incomplete)):
            path = os.path.join(self._incomplete, name)
            owner = name.removesuffix(_ANNOUNCED)
            if owner != name:
                if not os.path.exists(os.path.join(self._incomplete, owner)):
                    _remove(path)
            elif not self.is_being_written(name):
                _remove(path)
                _remove(_announcement(path))
                removed += stat.st_size
        return removed

    def remove_stalled(self, seconds: float) -> None:
        """Remove half-written files that nobody touched for so long, whoever holds them."""
        before = time.time() - seconds
        for name, stat in list(_listed(self._incomplete)):
            if stat.st_mtime < before and not name.endswith(_ANNOUNCED):
                path = os.path.join(self._incomplete, name)
                _remove(path)
                _remove(_announcement(path))

    # --- space -------------------------------------------------------------------------------

    def occupied(self) -> int:
        """Bytes of everything here; a file that is being written counts in full."""
        return (
            sum(stat.st_size for stat in self.files().values())
            + self.reserved()
            + sum(stat.st_size for _, stat in _listed(self._invalid))
        )

    def reserved(self) -> int:
        """Bytes that the images being written are going to occupy."""
        total = 0
        for name, stat in _listed(self._incomplete):
            if not name.endswith(_ANNOUNCED):
                announced = _read_number(_announcement(os.path.join(self._incomplete, name)))
                total += max(stat.st_size, announced)
        return total

    def unwritten(self) -> int:
        """Bytes of them that do not occupy the disk yet."""
        return self.reserved() - sum(
            stat.st_size
            for name, stat in _listed(self._incomplete)
            if not name.endswith(_ANNOUNCED)
        )

    def free(self) -> int:
        """Bytes that the file system has left."""
        return shutil.disk_usage(self.path).free

    def remove(self, image_id: str) -> int | None:
        """Forget an image, whatever state it is in: its bytes, None when it was not complete.

        Who reads it or writes it at the moment is not disturbed.
        """
        if not is_image_id(image_id):
            return None
        # In this order: a writer that finishes in between must not win.
        _remove(self._at(self._incomplete, image_id))
        _remove(_announcement(self._at(self._incomplete, image_id)))
        path = self.complete(image_id)
        try:
            size = os.stat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return None
        return size

    def invalidate(self, image_id: str) -> None:
        """Put a complete image aside that turned out to be wrong."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.complete(image_id), self._at(self._invalid, image_id))

    def remove_invalid(self) -> int:
        """Remove what was put aside: its bytes."""
        removed = 0
        for name, stat in list(_listed(self._invalid)):
            _remove(os.path.join(self._invalid, name))
            removed += stat.st_size
        return removed

    # --- the queue ---------------------------------------------------------------------------

    def enqueue(self, name: str) -> None:
        """Leave a marker.

        :raises errors.Invalid: ``name`` cannot be the name of an image.
        """
        path = self._marker(name)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))

    def dequeue(self, name: str) -> bool:
        """Take a marker away; False when there was none."""
        return _remove(self._marker(name))

    def queued(self) -> list[str]:
        """The markers, the oldest first."""
        found = sorted(_listed(self._queue), key=lambda each: each[1].st_mtime_ns)
        return [name for name, _ in found]

    def _marker(self, name: str) -> str:
        try:
            name.encode()
        except UnicodeError:
            name = ""
        if not _MARKER.fullmatch(name):
            raise errors.Invalid("This cannot be the id of an image.")
        return self._at(self._queue, name)

    @staticmethod
    def _at(directory: str, name: str) -> str:
        return os.path.join(directory, name)

    @staticmethod
    def _is_at(path: str, fd: int) -> bool:
        try:
            return os.path.samestat(os.stat(path), os.fstat(fd))
        except FileNotFoundError:
            return False


def is_image_id(name: str) -> bool:
    """Can a file of this name be an image?  All others are not for the cache to touch."""
    return _IMAGE_ID.fullmatch(name) is not None


def is_released(fd: int) -> bool:
    """Has the writer of a file finished, one way or the other, or died?"""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def release(fd: int) -> None:
    """Tell everybody that this writer has finished with its file."""
    fcntl.flock(fd, fcntl.LOCK_UN)


_ANNOUNCED = ".size"


def _announcement(path: str) -> str:
    return path + _ANNOUNCED


def _read_number(path: str) -> int:
    try:
        with open(path) as file:
            return int(file.read() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _listed(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files in a directory; one that goes away meanwhile is left out."""
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                if entry.is_file(follow_symlinks=False):
                    yield entry.name, entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
