"""A value that is read from files, and read again when they change."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

#: Seconds between two looks at the files, and between two attempts to read files that cannot be
#: read.
CHECK_INTERVAL = 1.0

#: What identifies the content of a file: path, inode, times of change in nanoseconds, bytes.
FileVersion = tuple[str, int, int, int, int]


class WatchedFile(Generic[T]):
    """The value of one or more files.  Safe in threads.

    When changed files cannot be read, the value stays, and ``log`` gets one line for each error.

    :param name: the files in log lines.
    :param read: makes the value from the files; what it raises, the constructor and :meth:`reload`
        raise.
    :param paths: the files, and directories whose files count; they need not exist.
    :param clock: seconds, as ``time.monotonic``.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], T],
        paths: Iterable[str],
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._read = read
        self._paths = tuple(paths)
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._next_check = clock() + CHECK_INTERVAL
        self._failed_version: list[FileVersion] | None = None
        self._retry_at = 0.0
        self._logged_error = ""
        self._loaded_version = self.version()
        #: The value as it was last read.
        self.value: T = read()

    def version(self) -> list[FileVersion]:
        """The versions of the files that exist; differs whenever their content does."""
        found: list[FileVersion] = []
        for path in self._paths:
            try:
                status = os.stat(path)
                found.append(_version(path, status))
                if stat.S_ISDIR(status.st_mode):
                    found.extend(_version(entry.path, entry.stat()) for entry in os.scandir(path))
            except OSError:
                # It does not exist, or was removed in the meantime.
                continue
        return found

    def get(self) -> T:
        """The value; looks at the files when that was not done for CHECK_INTERVAL.

        One thread looks; others get the old value meanwhile.
        """
        now = self._clock()
        if now >= self._next_check:
            self._next_check = now + CHECK_INTERVAL
            self.refresh()
        return self.value

    def refresh(self) -> None:
        """Look at the files, and read them if they have changed.

        Threads that call this while another one reads wait for the new value.
        """
        if self.version() == self._loaded_version:
            return
        with self._lock:
            version = self.version()
            if version == self._loaded_version or (
                version == self._failed_version and self._clock() < self._retry_at
            ):
                return
            try:
                self._load(version)
            except Exception as error:
                self._failed_version = version
                self._retry_at = self._clock() + CHECK_INTERVAL
                self._log_error(error)
            else:
                self._log.info("%s changed: the new content is in use.", self._name)

    def reload(self) -> None:
        """Read the files, whether they have changed or not.

        :raises Exception: they cannot be read; the value stays.
        """
        with self._lock:
            self._load(self.version())

    def _load(self, version: list[FileVersion]) -> None:
        """Read the files; ``version`` is from before, so that a later change is noticed."""
        self.value = self._read()
        self._loaded_version = version
        self._failed_version = None
        self._logged_error = ""

    def _log_error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self._logged_error:
            self._logged_error = text
            self._log.error(
                "%s changed and cannot be used; the old content stays in use: %s", self._name, text
            )


def _version(path: str, status: os.stat_result) -> FileVersion:
    return path, status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size
