"""The files of the cache: their places, locks and sizes.

    <id>             a complete image
    incomplete/<id>  a partial image, which its writer holds a lock (flock) on
    invalid/<id>     a partial image that was aborted, or an image with wrong data
    queue/<id>       an empty marker file: the image is to be fetched

Several processes share the directory.  Methods that two of them must not execute at the same time
are called within :meth:`CacheDirectory.locked`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.uuids import is_uuid

if TYPE_CHECKING:
    from glance_py.heartbeat import Clock

#: Seconds to wait for the lock of the directory.
LOCK_TIMEOUT = 5.0


#: Names of marker files: any file name that does not begin with a dot.
_QUEUE_NAME = re.compile(r"[^./\0][^/\0]{0,200}")


class CacheBusy(errors.StoreUnavailable):
    """Another process or thread held the lock of the directory for LOCK_TIMEOUT."""

    text = "The image cache is busy at the moment; try again later."


class CacheDirectory:
    """The directory ``image_cache_dir``; it and its subdirectories are created when missing.

    :param clock: ``time``, or what a test has in its place.
    """

    def __init__(self, path: str, clock: Clock = time) -> None:
        self.path = path
        self._clock = clock
        self._incomplete = os.path.join(path, "incomplete")
        self._invalid = os.path.join(path, "invalid")
        self._queue = os.path.join(path, "queue")
        for each in (self._incomplete, self._invalid, self._queue):
            os.makedirs(each, exist_ok=True)
        # Tools of Glance that list this directory skip names with this end.
        self._lock = os.path.join(path, "image_cache_lock.db")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the directory, against other threads and processes.

        :raises CacheBusy: another one held it for LOCK_TIMEOUT.
        """
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            deadline = self._clock.monotonic() + LOCK_TIMEOUT
            while not _try_lock(fd):
                if self._clock.monotonic() > deadline:
                    raise CacheBusy()
                self._clock.sleep(0.005)
            yield
        finally:
            os.close(fd)

    # --- complete images ---------------------------------------------------------------------

    def image_path(self, image_id: str) -> str:
        """The path of an image when it is complete."""
        return os.path.join(self.path, image_id)

    def has(self, image_id: str) -> bool:
        """Is the image in the cache, complete?"""
        return is_image_id(image_id) and os.path.exists(self.image_path(image_id))

    def image_files(self) -> dict[str, os.stat_result]:
        """Id of each complete image -> the status of its file."""
        return {name: stat for name, stat in _scan_files(self.path) if is_image_id(name)}

    def is_committed(self, image_id: str, fd: int) -> bool:
        """Is the file behind ``fd`` now the complete image?"""
        try:
            return os.path.samestat(os.stat(self.image_path(image_id)), os.fstat(fd))
        except FileNotFoundError:
            return False

    # --- partial images ----------------------------------------------------------------------

    def create_partial(self, image_id: str, size: int) -> int:
        """Create a partial file and hold its lock; call this within :meth:`locked`.

        :param size: bytes of the whole image.
        :returns: the descriptor of the file.
        :raises FileExistsError: there is one.
        """
        path = self._path_in(self._incomplete, image_id)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Other processes reserve this size (reserved_bytes).
            with open(_size_file(path), "w") as file:
                file.write(str(size))
        except BaseException:
            _unlink(path)
            os.close(fd)
            raise
        return fd

    def open_partial(self, image_id: str) -> int:
        """Open a partial file for reading.

        :returns: its descriptor.
        :raises FileNotFoundError: there is none.
        """
        return os.open(self._path_in(self._incomplete, image_id), os.O_RDONLY | os.O_CLOEXEC)

    def commit(self, image_id: str, fd: int) -> bool:
        """Move a written file to the place of the complete image; call this within :meth:`locked`.

        :returns: False when the partial file was removed meanwhile.
        """
        path = self._path_in(self._incomplete, image_id)
        if not self._is_same_file(path, fd):
            return False
        os.rename(path, self.image_path(image_id))
        _unlink(_size_file(path))
        return True

    def invalidate_partial(self, image_id: str, fd: int) -> None:
        """Move a partial file that is aborted to the invalid files."""
        path = self._path_in(self._incomplete, image_id)
        if self._is_same_file(path, fd):
            os.rename(path, self._path_in(self._invalid, image_id))
            _unlink(_size_file(path))

    def remove_partial(self, image_id: str, fd: int) -> None:
        """Remove a partial file that is aborted because the disk is full."""
        path = self._path_in(self._incomplete, image_id)
        if self._is_same_file(path, fd):
            _unlink(path)
            _unlink(_size_file(path))

    def is_being_written(self, image_id: str) -> bool:
        """Is there a partial file whose writer holds its lock?"""
        try:
            fd = self.open_partial(image_id)
        except FileNotFoundError:
            return False
        try:
            return not is_write_lock_released(fd)
        finally:
            os.close(fd)

    def remove_orphaned_partials(self) -> int:
        """Remove partial files whose lock is free: their writers have crashed.

        Call this within :meth:`locked`.

        :returns: how many bytes were removed.
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
        """Remove partial files, locked or not, that were not written for this time."""
        before = time.time() - seconds
        for name, stat in list(_scan_files(self._incomplete)):
            if stat.st_mtime < before and not name.endswith(_SIZE_SUFFIX):
                path = os.path.join(self._incomplete, name)
                _unlink(path)
                _unlink(_size_file(path))

    # --- space -------------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """Bytes of all files; a partial file counts with the size of the whole image."""
        return (
            sum(stat.st_size for stat in self.image_files().values())
            + self.reserved_bytes()
            + sum(stat.st_size for _, stat in _scan_files(self._invalid))
        )

    def reserved_bytes(self) -> int:
        """Bytes of the images that the partial files will become."""
        total = 0
        for name, stat in _scan_files(self._incomplete):
            if not name.endswith(_SIZE_SUFFIX):
                expected_size = _read_number(_size_file(os.path.join(self._incomplete, name)))
                total += max(stat.st_size, expected_size)
        return total

    def unwritten_bytes(self) -> int:
        """Bytes of :meth:`reserved_bytes` that are not written yet."""
        return self.reserved_bytes() - sum(
            stat.st_size
            for name, stat in _scan_files(self._incomplete)
            if not name.endswith(_SIZE_SUFFIX)
        )

    def free_bytes(self) -> int:
        """Free bytes of the file system."""
        return shutil.disk_usage(self.path).free

    def remove(self, image_id: str) -> int | None:
        """Remove an image, complete or partial.

        Open descriptors stay usable.

        :returns: bytes of the complete image, None when there was none.
        """
        if not is_image_id(image_id):
            return None
        # In this order: after the partial file is gone, its writer cannot commit it.
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
        """Move a complete image with wrong data to the invalid files."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.image_path(image_id), self._path_in(self._invalid, image_id))

    def remove_invalid(self) -> int:
        """Remove the invalid files; returns their bytes."""
        removed = 0
        for name, stat in list(_scan_files(self._invalid)):
            _unlink(os.path.join(self._invalid, name))
            removed += stat.st_size
        return removed

    # --- the queue ---------------------------------------------------------------------------

    def enqueue(self, name: str) -> None:
        """Create a marker file, if there is none.

        :raises errors.Invalid: ``name`` cannot be the name of a file.
        """
        path = self._queue_file(name)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))

    def dequeue(self, name: str) -> bool:
        """Remove a marker file; False when there was none."""
        return _unlink(self._queue_file(name))

    def queued(self) -> list[str]:
        """The names of the marker files, the oldest first."""
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
    """Is this a UUID, and so the name of the file of an image?  Other files are not touched."""
    return is_uuid(name)


def is_write_lock_released(fd: int) -> bool:
    """Is the lock of a partial file free: has its writer ended the fill, or crashed?"""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def release_write_lock(fd: int) -> None:
    """Release the lock of a partial file: the writer has ended the fill."""
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
    """Name and status of each file in a directory; not of one that is removed meanwhile."""
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                if entry.is_file(follow_symlinks=False):
                    yield entry.name, entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
