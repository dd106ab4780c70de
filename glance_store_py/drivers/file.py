"""Objects as files in one or several directories.

A file is written under a hidden name beside its place and takes its final name
only when all of it is on the disk: readers never see a part, and a crash leaves
nothing but a hidden file that :meth:`Driver.sweep` recognises, because its writer
no longer holds the lock.  Nothing outside the configured directories is touched;
``stores.py`` sees to that before an address gets here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import math
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from glance_store_py import driver, errors
from glance_store_py.config import Settings
from glance_store_py.driver import Object, Stored, StoredData
from glance_store_py.drivers import file_settings
from glance_store_py.location import Location

LOG = logging.getLogger(__name__)

PART = ".part"

#: What file systems answer that know no hard links, or no locks.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class Driver:
    """Files named as they were added; addresses are ``file://<directory>/<name>``."""

    schemes = ("file", "filesystem")
    abilities = frozenset(
        {
            driver.ADD,
            driver.DELETE,
            driver.RANDOM_READ,
            driver.SENDFILE,
            driver.EXCLUSIVE,
            driver.ATOMIC,
            driver.PREDICTABLE_LOCATION,
            driver.SWEEP,
            driver.LIST,
        }
    )

    def __init__(self, settings: Settings, store_id: str) -> None:
        self._settings = settings
        self._directories = file_settings.directories(settings)
        self._thin = settings["filesystem_thin_provisioning"]
        self._read_size = file_settings.read_size(settings)
        self._permissions: int | None = None
        self._mounts: list[dict] = []
        self._in_time = file_settings.in_time(settings)
        self.prefixes = tuple(Location("file", path=d.path) for d in self._directories)
        self.properties = {
            "data_dir": self._directories[0].path,
            "chunk_size": settings["filesystem_store_chunk_size"],
            "thin_provisioning": self._thin,
        }

    def prepare(self) -> None:
        file_settings.check_directories(self._settings)
        self._permissions = file_settings.permissions(self._settings)
        self._mounts = file_settings.mounts(self._settings)
        for directory in self._directories:
            file_settings.make_directory(self._settings, directory.path, self._permissions)

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> Stored:
        if any(self._exists(location.path) for location in self.locations_of(name)):
            raise errors.Duplicate(name)
        directory = self._choose(size)
        final = os.path.join(directory, name)
        # Before the file has its name: after that nothing may fail any more.
        url, mount = Location("file", path=final).url, file_settings.mount_of(self._mounts, final)
        fd, part = _open_part(directory, name)
        try:
            written = self._write(fd, data)
            if self._permissions is not None:
                os.fchmod(fd, self._permissions)
            os.fsync(fd)
            _publish(fd, part, final, name)
        finally:
            # Unlocked last: whoever gets the lock may take the file for abandoned.
            # What cannot be removed now is for the next sweep.
            with contextlib.suppress(OSError):
                _unlink_own(part, os.fstat(fd))
            os.close(fd)
        return Stored(url, written, mount)

    def _write(self, fd: int, data: Iterable[bytes]) -> int:
        written = 0
        for chunk in data:
            if self._thin and not chunk[0] and chunk == bytes(len(chunk)):
                os.lseek(fd, len(chunk), os.SEEK_CUR)
            else:
                _write_all(fd, chunk)
            written += len(chunk)
        if self._thin:
            os.ftruncate(fd, written)
        return written

    def get(self, location: Location, start: int = 0, stop: int | None = None) -> StoredData:
        self._status(location)
        file = open(location.path, "rb", buffering=0)  # noqa: SIM115 (closed by the reader)
        try:
            status = os.fstat(file.fileno())
            end = status.st_size if stop is None else min(stop, status.st_size)
            length = max(0, end - start)
            file.seek(start)
        except BaseException:
            file.close()
            raise
        return StoredData(_chunks(file, length, self._read_size), length, file, file.close)

    def size(self, location: Location) -> int:
        return self._status(location).st_size

    def _status(self, location: Location) -> os.stat_result:
        """What stat says: the call that a hanging file system does not answer."""
        status = self._in_time(os.stat, location.path)
        if not stat.S_ISREG(status.st_mode):
            raise errors.NotFound(location.shown)
        return status

    def delete(self, location: Location) -> None:
        try:
            self._in_time(os.unlink, location.path)
        except FileNotFoundError:
            raise
        except OSError as error:
            LOG.warning("%s cannot be removed: %s", location.path, error.strerror)
            raise errors.Forbidden() from error

    def locations_of(self, name: str) -> list[Location]:
        found = _file_name(name)
        return [Location("file", path=os.path.join(d.path, found)) for d in self._directories]

    def objects(self) -> Iterator[Object]:
        for directory in self._directories:
            with os.scandir(directory.path) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        yield Object(
                            Location("file", path=entry.path).url,
                            driver.image_id_of(entry.name),
                            status.st_size,
                            status.st_mtime,
                            entry.name,
                        )

    def sweep(self) -> list[str]:
        removed = []
        for directory in self._directories:
            for name in os.listdir(directory.path):
                if name.startswith(".") and name.endswith(PART):
                    path = os.path.join(directory.path, name)
                    size = _remove_if_abandoned(path)
                    if size is not None:
                        removed.append(f"{path}: {size} bytes of an upload that was cut off")
        return removed

    def check(self) -> None:
        for directory in self._directories:
            if not self._in_time(os.access, directory.path, os.W_OK | os.X_OK):
                raise errors.StorageWriteDenied()

    def _choose(self, size: int | None) -> str:
        """The directory of the highest priority that has room; the emptiest of equals."""
        if len(self._directories) == 1 and size is None:
            return self._directories[0].path
        room = [
            (directory.priority, self._free(directory.path), directory.path)
            for directory in self._directories
        ]
        enough = [entry for entry in room if entry[1] >= max(size or 0, 1)]
        if not enough:
            raise errors.StorageFull()
        return max(enough, key=lambda entry: entry[:2])[2]

    def _free(self, path: str) -> float:
        """Free bytes; endless where the file system does not say."""
        status = self._in_time(os.statvfs, path)
        return status.f_bavail * status.f_frsize if status.f_blocks else math.inf

    def _exists(self, path: str) -> bool:
        return self._in_time(os.path.lexists, path)


def _file_name(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise errors.Invalid("The name of a file in a store has no slash and no leading dot.")
    return name


def _open_part(directory: str, name: str) -> tuple[int, str]:
    """A new hidden file for an image, locked by us: (descriptor, path)."""
    while True:
        path = os.path.join(directory, f".{name}.{secrets.token_hex(4)}{PART}")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        # A sweep may have come between the two steps; then the name is gone.
        if _lock(fd) and os.fstat(fd).st_nlink:
            return fd, path
        os.close(fd)


def _lock(fd: int, without: bool = True) -> bool:
    """Lock a file against sweeps; ``without`` is the answer where locks are not known."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return without
        raise
    return True


def _write_all(fd: int, chunk: bytes) -> None:
    done = os.write(fd, chunk)
    while done < len(chunk):
        done += os.write(fd, memoryview(chunk)[done:])


def _publish(fd: int, part: str, final: str, name: str) -> None:
    """Give a complete file its name, never one that is taken, and make that last.

    ``fd`` is the file.  What this writer did not make is never removed: the
    inode decides, not the name.

    :raises errors.Duplicate: the name is taken.
    """
    own = os.fstat(fd)
    try:
        _take_name(part, final, own)
    except FileExistsError:
        raise errors.Duplicate(name) from None
    try:
        _sync_directory(os.path.dirname(final))
    except BaseException:
        _unlink_own(final, own)
        raise


def _take_name(part: str, final: str, own: os.stat_result) -> None:
    if not _is_at(part, own):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), part)
    try:
        os.link(part, final)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here: take the name with an empty file, then replace that.
        reserved = os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        try:
            placeholder = os.fstat(reserved)
        finally:
            os.close(reserved)
        try:
            if not _is_at(final, placeholder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), final) from None
            os.rename(part, final)
        except BaseException:
            _unlink_own(final, placeholder)
            raise


def _is_at(path: str, own: os.stat_result) -> bool:
    """Is this very file, and no other, at ``path``?"""
    try:
        return os.path.samestat(os.lstat(path), own)
    except FileNotFoundError:
        return False


def _unlink_own(path: str, own: os.stat_result) -> None:
    """Remove a name, unless another file has taken it."""
    if _is_at(path, own):
        os.unlink(path)


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _chunks(file: BinaryIO, length: int, size: int) -> Iterator[bytes]:
    while length > 0 and (chunk := file.read(min(size, length))):
        length -= len(chunk)
        yield chunk


def _remove_if_abandoned(path: str) -> int | None:
    """Remove a hidden file whose writer is dead; its size, or None if it stays."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if not _lock(fd, without=False):
            return None
        found = os.fstat(fd)
        if not _is_at(path, found):
            return None
        os.unlink(path)
        return found.st_size
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)
