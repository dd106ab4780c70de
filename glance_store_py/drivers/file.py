"""Objects as files in one or several directories.

A file is written under a hidden name in its directory and gets its final name only when
all of it is on the disk: readers never see a part.  After a crash only a hidden file
remains, which :meth:`FileDriver.cleanup` recognises because its writer no longer holds
the lock on it.  ``stores.py`` refuses locations outside the configured directories.
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
from glance_store_py.driver import AddResult, BaseDriver, Chunk, ObjectData, ObjectInfo
from glance_store_py.driver_settings import OptionValues
from glance_store_py.drivers import file_settings
from glance_store_py.drivers.file_options import SPEC, FileSettings
from glance_store_py.location import StoreLocation

LOG = logging.getLogger(__name__)

#: The end of the hidden name of a file that is being written.
PART_SUFFIX = ".part"

#: Errors of file systems without hard links, and of those without locks.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class FileDriver(BaseDriver):
    """Files named as they were added; URLs are ``file://<directory>/<name>``."""

    spec = SPEC
    capabilities = frozenset(
        {
            driver.ADD,
            driver.DELETE,
            driver.READ,
            driver.READ_RANDOM,
            driver.SENDFILE,
            driver.EXCLUSIVE,
            driver.ATOMIC,
            driver.PREDICTABLE_LOCATION,
            driver.CLEANUP,
            driver.LIST,
        }
    )

    def __init__(self, options: OptionValues, store_id: str) -> None:
        settings = self._settings = FileSettings.read(options)
        self._directories = file_settings.directories(settings)
        self._thin_provisioning = settings.filesystem_thin_provisioning
        self._read_size = file_settings.read_size(settings)
        self._permissions: int | None = None
        self._mounts: list[file_settings.Mount] = []
        self._call_file_system = file_settings.file_system_caller(settings)
        self.prefixes = tuple(StoreLocation("file", path=d.path) for d in self._directories)
        self.properties = {
            "data_dir": self._directories[0].path,
            "chunk_size": settings.filesystem_store_chunk_size,
            "thin_provisioning": self._thin_provisioning,
        }

    def configure_add(self) -> None:
        file_settings.check_directories(self._settings)
        self._permissions = file_settings.permissions(self._settings)
        self._mounts = file_settings.mounts(self._settings)
        for directory in self._directories:
            file_settings.make_directory(self._settings, directory.path, self._permissions)

    def add(self, name: str, data: Iterable[Chunk], size: int | None) -> AddResult:
        if any(self._exists(location.path) for location in self.predict_locations(name)):
            raise errors.StoreObjectExists(name)
        directory = self._choose_directory(size)
        final = os.path.join(directory, name)
        # Computed before the file has its name: after that nothing may fail.
        url, mount = (
            StoreLocation("file", path=final).url,
            file_settings.find_mount(self._mounts, final),
        )
        fd, part = _open_part(directory, name)
        try:
            written = self._write(fd, data)
            if self._permissions is not None:
                os.fchmod(fd, self._permissions)
            os.fsync(fd)
            _publish(fd, part, final, name)
        finally:
            # Unlocked last: a process that gets the lock takes the file for abandoned.
            # The next cleanup removes what cannot be removed now.
            with contextlib.suppress(OSError):
                _unlink_if_same(part, os.fstat(fd))
            os.close(fd)
        return AddResult(url, written, mount)

    def _write(self, fd: int, data: Iterable[Chunk]) -> int:
        written = 0
        for chunk in data:
            if self._thin_provisioning and not chunk[0] and chunk == bytes(len(chunk)):
                os.lseek(fd, len(chunk), os.SEEK_CUR)
            else:
                _write_all(fd, chunk)
            written += len(chunk)
        if self._thin_provisioning:
            os.ftruncate(fd, written)
        return written

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        self._stat_file(location)
        file = open(location.path, "rb", buffering=0)  # noqa: SIM115 (closed by the reader)
        try:
            status = os.fstat(file.fileno())
            end = status.st_size if stop is None else min(stop, status.st_size)
            length = max(0, end - start)
            file.seek(start)
        except BaseException:
            file.close()
            raise
        return ObjectData(_chunks(file, length, self._read_size), length, file, file.close)

    def size(self, location: StoreLocation) -> int:
        return self._stat_file(location).st_size

    def _stat_file(self, location: StoreLocation) -> os.stat_result:
        """The status of a regular file, through the caller with the time limit.

        :raises errors.StoreObjectNotFound: it is something else.
        """
        status = self._call_file_system(os.stat, location.path)
        if not stat.S_ISREG(status.st_mode):
            raise errors.StoreObjectNotFound(location.redacted)
        return status

    def delete(self, location: StoreLocation) -> None:
        try:
            self._call_file_system(os.unlink, location.path)
        except FileNotFoundError:
            raise
        except OSError as error:
            LOG.warning("%s cannot be removed: %s", location.path, error.strerror)
            raise errors.StoreForbidden() from error

    def predict_locations(self, name: str) -> list[StoreLocation]:
        found = _file_name(name)
        return [StoreLocation("file", path=os.path.join(d.path, found)) for d in self._directories]

    def list_objects(self) -> Iterator[ObjectInfo]:
        for directory in self._directories:
            with os.scandir(directory.path) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        yield ObjectInfo(
                            StoreLocation("file", path=entry.path).url,
                            driver.image_id_of(entry.name),
                            status.st_size,
                            status.st_mtime,
                            entry.name,
                        )

    def cleanup(self) -> list[str]:
        removed = []
        for directory in self._directories:
            for name in os.listdir(directory.path):
                if name.startswith(".") and name.endswith(PART_SUFFIX):
                    path = os.path.join(directory.path, name)
                    size = _remove_if_abandoned(path)
                    if size is not None:
                        removed.append(f"{path}: {size} bytes of an upload that was cut off")
        return removed

    def health_check(self) -> None:
        for directory in self._directories:
            if not self._call_file_system(os.access, directory.path, os.W_OK | os.X_OK):
                raise errors.StorageWriteDenied()

    def _choose_directory(self, size: int | None) -> str:
        """The directory of the highest priority with space for ``size`` bytes.

        Among equals the one with the most free space.

        :raises errors.StorageFull: none has.
        """
        if len(self._directories) == 1 and size is None:
            return self._directories[0].path
        candidates = [
            (directory.priority, self._free_bytes(directory.path), directory.path)
            for directory in self._directories
        ]
        enough = [entry for entry in candidates if entry[1] >= max(size or 0, 1)]
        if not enough:
            raise errors.StorageFull()
        return max(enough, key=lambda entry: entry[:2])[2]

    def _free_bytes(self, path: str) -> float:
        """Free bytes; infinite where the file system does not say."""
        status = self._call_file_system(os.statvfs, path)
        return status.f_bavail * status.f_frsize if status.f_blocks else math.inf

    def _exists(self, path: str) -> bool:
        return self._call_file_system(os.path.lexists, path)


def _file_name(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise errors.StoreInvalidInput(
            "The name of a file in a store has no slash and no leading dot."
        )
    return name


def _open_part(directory: str, name: str) -> tuple[int, str]:
    """A new hidden file for an object, locked by this process: (descriptor, path)."""
    while True:
        path = os.path.join(directory, f".{name}.{secrets.token_hex(4)}{PART_SUFFIX}")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        # A cleanup between the two steps has removed the name.
        if _lock(fd) and os.fstat(fd).st_nlink:
            return fd, path
        os.close(fd)


def _lock(fd: int, if_unsupported: bool = True) -> bool:
    """Lock a file against cleanups; ``if_unsupported`` is returned where there are no locks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return if_unsupported
        raise
    return True


def _write_all(fd: int, chunk: Chunk) -> None:
    done = os.write(fd, chunk)
    while done < len(chunk):
        done += os.write(fd, memoryview(chunk)[done:])


def _publish(fd: int, part: str, final: str, name: str) -> None:
    """Give a complete file its final name, and sync the directory.

    ``fd`` is the open file.  A file is removed only after its inode was compared: one of
    another writer stays.

    :raises errors.StoreObjectExists: there is a file of this name.
    """
    own_status = os.fstat(fd)
    try:
        _link_name(part, final, own_status)
    except FileExistsError:
        raise errors.StoreObjectExists(name) from None
    try:
        _sync_directory(os.path.dirname(final))
    except BaseException:
        _unlink_if_same(final, own_status)
        raise


def _link_name(part: str, final: str, own_status: os.stat_result) -> None:
    if not _is_same_file(part, own_status):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), part)
    try:
        os.link(part, final)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without hard links: reserve the name with an empty file, then replace that.
        reserved = os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        try:
            placeholder = os.fstat(reserved)
        finally:
            os.close(reserved)
        try:
            if not _is_same_file(final, placeholder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), final) from None
            os.rename(part, final)
        except BaseException:
            _unlink_if_same(final, placeholder)
            raise


def _is_same_file(path: str, own_status: os.stat_result) -> bool:
    """True when the file at ``path`` is the one with this status."""
    try:
        return os.path.samestat(os.lstat(path), own_status)
    except FileNotFoundError:
        return False


def _unlink_if_same(path: str, own_status: os.stat_result) -> None:
    """Remove a name, unless it belongs to another file now."""
    if _is_same_file(path, own_status):
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
    """Remove a hidden file that no process has locked; its size, or None if it stays."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if not _lock(fd, if_unsupported=False):
            return None
        found = os.fstat(fd)
        if not _is_same_file(path, found):
            return None
        os.unlink(path)
        return found.st_size
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)
