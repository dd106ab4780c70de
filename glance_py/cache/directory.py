"""The files of the cache: where they lie, who holds them, how much they occupy.

    <id>             a complete image
    incomplete/<id>  one that is being written, locked by its writer
    invalid/<id>     what was given up half-way or turned out to be wrong
    queue/<id>       an empty marker: this image is to be fetched

Several processes share the directory.  What must not happen twice happens
while one of them holds :meth:`CacheDirectory.locked`.  This room knows sizes and
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
from glance_py.domain.uuids import is_uuid

#: Seconds to wait for another process to finish its few steps in the directory.
LOCK_TIMEOUT = 5.0

#: Names of images: everything else in the directory is somebody else's.

#: Names of markers may be any text that is one name of a file and not a hidden one.
_QUEUE_NAME = re.compile(r"[^./\0][^/\0]{0,200}")


class CacheBusy(errors.StoreUnavailable):
    """Another process held the directory for too long."""

    text = "The image cache is busy at the moment; try again later."


class CacheDirectory:
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

        :raises CacheBusy: somebody else is, for too long.
        """
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            deadline = time.monotonic() + LOCK_TIMEOUT
            while not _try_lock(fd):
                if time.monotonic() > deadline:
                    raise CacheBusy()
                time.sleep(0.005)
            yield
        finally:
            os.close(fd)

    # --- complete images ---------------------------------------------------------------------

    def image_path(self, image_id: str) -> str:
        """Where a complete image lies."""
        return os.path.join(self.path, image_id)

    def has(self, image_id: str) -> bool:
        """Is an image here, complete?"""
        return is_image_id(image_id) and os.path.exists(self.image_path(image_id))

    def image_files(self) -> dict[str, os.stat_result]:
        """The complete images and what the file system knows of them."""
        return {name: stat for name, stat in _scan_files(self.path) if is_image_id(name)}

    def is_committed(self, image_id: str, fd: int) -> bool:
        """Is the file behind ``fd`` now the complete image?"""
        try:
            return os.path.samestat(os.stat(self.image_path(image_id)), os.fstat(fd))
        except FileNotFoundError:
            return False

    # --- images being written ----------------------------------------------------------------

    def create_partial(self, image_id: str, size: int) -> int:
        """A new, locked file for an image of ``size`` bytes: its descriptor.

        Only while the directory is locked.

        :raises FileExistsError: somebody is writing it.
        """
        path = self._path_in(self._incomplete, image_id)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # So that other processes know how much it is going to occupy.
            with open(_size_file(path), "w") as file:
                file.write(str(size))
        except BaseException:
            _unlink(path)
            os.close(fd)
            raise
        return fd

    def open_partial(self, image_id: str) -> int:
        """A file that somebody else writes, to be read: its descriptor."""
        return os.open(self._path_in(self._incomplete, image_id), os.O_RDONLY | os.O_CLOEXEC)

    def commit(self, image_id: str, fd: int) -> bool:
        """Make a written file the complete image; False when it was deleted meanwhile.

        Only while the directory is locked.
        """
        path = self._path_in(self._incomplete, image_id)
        if not self._is_same_file(path, fd):
            return False
        os.rename(path, self.image_path(image_id))
        _unlink(_size_file(path))
        return True

    def invalidate_partial(self, image_id: str, fd: int) -> None:
        """Put a file that will never be complete aside."""
        path = self._path_in(self._incomplete, image_id)
        if self._is_same_file(path, fd):
            os.rename(path, self._path_in(self._invalid, image_id))
            _unlink(_size_file(path))

    def remove_partial(self, image_id: str, fd: int) -> None:
        """Remove a file that will never be complete, at once: the disk is full."""
        path = self._path_in(self._incomplete, image_id)
        if self._is_same_file(path, fd):
            _unlink(path)
            _unlink(_size_file(path))

    def is_being_written(self, image_id: str) -> bool:
        """Is there a file for it whose writer lives?"""
        try:
            fd = self.open_partial(image_id)
        except FileNotFoundError:
            return False
        try:
            return not is_write_lock_released(fd)
        finally:
            os.close(fd)

    def remove_orphaned_partials(self) -> int:
        """Remove half-written files whose writer is dead: their bytes.

        Only while the directory is locked.
        """
        removed = 0
        for name, stat in list(_scan_files(self._incomplete)):
            path = os.path.join(self._incomplete, name)
            image_name = name.removesuffix(_SIZE_SUFFIX)
            if image_name != name:
                if not os.path.exists(os.path.join(self._incomplete, image_name)):
                    _unlink(path)
            elif not self.is_being_written(name):
                _unlink(path)
                _unlink(_size_file(path))
                removed += stat.st_size
        return removed

    def remove_stalled_partials(self, seconds: float) -> None:
        """Remove half-written files that nobody touched for so long, whoever holds them."""
        before = time.time() - seconds
        for name, stat in list(_scan_files(self._incomplete)):
            if stat.st_mtime < before and not name.endswith(_SIZE_SUFFIX):
                path = os.path.join(self._incomplete, name)
                _unlink(path)
                _unlink(_size_file(path))

    # --- space -------------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """Bytes of everything here; a file that is being written counts in full."""
        return (
            sum(stat.st_size for stat in self.image_files().values())
            + self.reserved_bytes()
            + sum(stat.st_size for _, stat in _scan_files(self._invalid))
        )

    def reserved_bytes(self) -> int:
        """Bytes that the images being written are going to occupy."""
        total = 0
        for name, stat in _scan_files(self._incomplete):
            if not name.endswith(_SIZE_SUFFIX):
                expected_size = _read_number(_size_file(os.path.join(self._incomplete, name)))
                total += max(stat.st_size, expected_size)
        return total

    def unwritten_bytes(self) -> int:
        """Bytes of them that do not occupy the disk yet."""
        return self.reserved_bytes() - sum(
            stat.st_size
            for name, stat in _scan_files(self._incomplete)
            if not name.endswith(_SIZE_SUFFIX)
        )

    def free_bytes(self) -> int:
        """Bytes that the file system has left."""
        return shutil.disk_usage(self.path).free

    def remove(self, image_id: str) -> int | None:
        """Forget an image, whatever state it is in: its bytes, None when it was not complete.

        Who reads it or writes it at the moment is not disturbed.
        """
        if not is_image_id(image_id):
            return None
        # In this order: a writer that finishes in between must not win.
        _unlink(self._path_in(self._incomplete, image_id))
        _unlink(_size_file(self._path_in(self._incomplete, image_id)))
        path = self.image_path(image_id)
        try:
            size = os.stat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return None
        return size

    def invalidate(self, image_id: str) -> None:
        """Put a complete image aside that turned out to be wrong."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.image_path(image_id), self._path_in(self._invalid, image_id))

    def remove_invalid(self) -> int:
        """Remove what was put aside: its bytes."""
        removed = 0
        for name, stat in list(_scan_files(self._invalid)):
            _unlink(os.path.join(self._invalid, name))
            removed += stat.st_size
        return removed

    # --- the queue ---------------------------------------------------------------------------

    def enqueue(self, name: str) -> None:
        """Leave a marker.

        :raises errors.Invalid: ``name`` cannot be the name of an image.
        """
        path = self._queue_file(name)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))

    def dequeue(self, name: str) -> bool:
        """Take a marker away; False when there was none."""
        return _unlink(self._queue_file(name))

    def queued(self) -> list[str]:
        """The markers, the oldest first."""
        found = sorted(_scan_files(self._queue), key=lambda each: each[1].st_mtime_ns)
        return [name for name, _ in found]

    def _queue_file(self, name: str) -> str:
        try:
            name.encode()
        except UnicodeError:
            name = ""
        if not _QUEUE_NAME.fullmatch(name):
            raise errors.Invalid("This cannot be the id of an image.")
        return self._path_in(self._queue, name)

    @staticmethod
    def _path_in(directory: str, name: str) -> str:
        return os.path.join(directory, name)

    @staticmethod
    def _is_same_file(path: str, fd: int) -> bool:
        try:
            return os.path.samestat(os.stat(path), os.fstat(fd))
        except FileNotFoundError:
            return False


def is_image_id(name: str) -> bool:
    """Can a file of this name be an image?  All others are not for the cache to touch."""
    return is_uuid(name)


def is_write_lock_released(fd: int) -> bool:
    """Has the writer of a file finished, one way or the other, or died?"""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def release_write_lock(fd: int) -> None:
    """Tell everybody that this writer has finished with its file."""
    fcntl.flock(fd, fcntl.LOCK_UN)


_SIZE_SUFFIX = ".size"


def _size_file(path: str) -> str:
    return path + _SIZE_SUFFIX


def _read_number(path: str) -> int:
    try:
        with open(path) as file:
            return int(file.read() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _scan_files(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files in a directory; one that goes away meanwhile is left out."""
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                if entry.is_file(follow_symlinks=False):
                    yield entry.name, entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
