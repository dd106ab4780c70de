"""Checks the options of a file store and converts them to what the driver uses.

Reads settings and looks at directories at start; moves no data.  Errors name the option
that is wrong.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from glance_store_py.drivers.file_options import FileSettings
from glance_store_py.drivers.timeout_executor import TimeoutExecutor

LOG = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: Bytes to read at a time when the operator does not say.
DEFAULT_READ_SIZE = 1024 * 1024

#: An entry of the metadata file: an object of JSON.
Mount = dict[str, object]


class DataDirectory(NamedTuple):
    """A directory for image files; the one with the highest priority is used first."""

    path: str
    priority: int = 0


def directories(settings: FileSettings) -> list[DataDirectory]:
    """The directories of a store, by descending priority.

    :raises errors.BadStoreConfiguration: a priority is not a number, a directory
        has two priorities, or there is none.
    """
    option = "filesystem_store_datadirs"
    found: dict[str, DataDirectory] = {}
    for text in settings.filesystem_store_datadirs or ():
        path, colon, priority = text.rpartition(":")
        try:
            directory = DataDirectory(
                _absolute(path if colon else text), int(priority or 0) if colon else 0
            )
        except ValueError:
            raise settings.error(option, f"the priority of '{text}' is not a number.") from None
        known = found.setdefault(directory.path, directory)
        if known.priority != directory.priority:
            raise settings.error(option, f"{directory.path} has two priorities.")
        if known is not directory:
            LOG.warning(
                "[%s] %s: %s is named twice.", settings.options.section, option, directory.path
            )
    if found:
        return sorted(found.values(), key=lambda directory: -directory.priority)
    if not settings.filesystem_store_datadir:
        raise settings.error("filesystem_store_datadir", "a file store needs a directory.")
    return [DataDirectory(_absolute(settings.filesystem_store_datadir))]


def _absolute(path: str) -> str:
    return os.path.abspath(path.strip())


def check_directories(settings: FileSettings) -> None:
    """Refuse a store with both options for directories.

    :raises errors.BadStoreConfiguration: both options are set.
    """
    both = settings.filesystem_store_datadirs and settings.filesystem_store_datadir
    if both and settings.options.is_set("filesystem_store_datadir"):
        raise settings.error(
            "filesystem_store_datadirs", "filesystem_store_datadir is set too; set one of them."
        )


def permissions(settings: FileSettings) -> int | None:
    """The mode of new files, None to leave it to the umask.

    :raises errors.BadStoreConfiguration: the digits are not octal, or the owner
        could not read.
    """
    option, digits = "filesystem_store_file_perm", settings.filesystem_store_file_perm
    if digits <= 0:
        return None
    try:
        mode = int(str(digits), 8)
    except ValueError:
        raise settings.error(option, f"{digits} is not octal.") from None
    if mode > 0o777 or not mode & stat.S_IRUSR:
        raise settings.error(
            option, f"{digits} does not let the owner read, or is more than permissions."
        )
    return mode


def make_directory(settings: FileSettings, path: str, mode: int | None) -> None:
    """Create a directory if needed, and let those users enter it who may read the files.

    :raises errors.BadStoreConfiguration: it cannot be made or written to.
    """
    option = (
        "filesystem_store_datadirs"
        if settings.filesystem_store_datadirs
        else "filesystem_store_datadir"
    )
    try:
        os.makedirs(path, exist_ok=True)
        if mode is not None:
            entry = (stat.S_IXGRP if mode & stat.S_IRWXG else 0) | (
                stat.S_IXOTH if mode & stat.S_IRWXO else 0
            )
            present = stat.S_IMODE(os.stat(path).st_mode)
            if present | entry != present:
                os.chmod(path, present | entry)
    except OSError as error:
        raise settings.error(option, f"{path}: {error.strerror}.") from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise settings.error(option, f"{path} is not readable and writable for this service.")


def mounts(settings: FileSettings) -> list[Mount]:
    """The objects of the metadata file.

    :raises errors.BadStoreConfiguration: the file cannot be read, or does not consist
        of objects with the strings id and mountpoint.
    """
    option, path = "filesystem_store_metadata_file", settings.filesystem_store_metadata_file
    if not path:
        return []
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise settings.error(option, f"{path} cannot be read: {error}.") from error
    entries = [content] if isinstance(content, dict) else content
    if not isinstance(entries, list) or not all(map(_is_mount, entries)):
        raise settings.error(
            option, "expected an object, or a list of objects, with the strings id and mountpoint."
        )
    for entry in entries:
        if not os.path.isabs(entry["mountpoint"]):
            LOG.warning(
                "[%s] %s: the mountpoint %s is not an absolute path and holds no file.",
                settings.options.section,
                option,
                entry["mountpoint"],
            )
    return entries


def _is_mount(entry: object) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(name), str) and entry[name] for name in ("id", "mountpoint")
    )


def find_mount(mounts: Sequence[Mount], path: str) -> Mount:
    """A copy of the entry of the metadata file whose mountpoint holds a file; empty: none does."""
    for entry in mounts:
        mountpoint = os.path.normpath(str(entry["mountpoint"]))
        if os.path.isabs(mountpoint) and os.path.commonpath([mountpoint, path]) == mountpoint:
            return dict(entry)
    if mounts:
        LOG.error("No mountpoint of the metadata file holds %s.", path)
    return {}


def read_size(settings: FileSettings) -> int:
    """Bytes to read at a time: the option when it was set, else at least DEFAULT_READ_SIZE."""
    size = settings.filesystem_store_chunk_size
    if settings.options.is_set("filesystem_store_chunk_size"):
        return size
    return max(size, DEFAULT_READ_SIZE)


class FileSystemCaller(Protocol):
    """How the driver calls the file system: ``call(function, *arguments)``."""

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``function`` returns or raises.

        :raises errors.StoreTimeout: it did neither within ``filesystem_store_timeout``.
        """


def file_system_caller(settings: FileSettings) -> FileSystemCaller:
    """Direct calls, or with ``filesystem_store_timeout`` calls in threads."""
    seconds = settings.filesystem_store_timeout
    if not seconds:
        return _call_directly
    threads = settings.filesystem_store_thread_pool_size
    share = settings.filesystem_store_threadpool_threshold
    return TimeoutExecutor(seconds, threads, threads * share / 100)


def _call_directly(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return function(*args, **kwargs)
