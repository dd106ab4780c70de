"""How far a fill has come, for those who read the file while it grows.

One thread reports, any number of readers wait for what they need.  Nobody
waits for a reader, and a fill without readers ends.
"""

from __future__ import annotations

import enum
import os
import threading
import time

#: Seconds without a new byte after which a reader goes to the store itself.
STALL_TIMEOUT = 30.0

#: Seconds that the end of a download waits for the image to be in the cache.
_COMMIT_TIMEOUT = 1.0


class FillStatus(enum.Enum):
    """How a fill stands.

    VERIFIED: all bytes are there and right.  COMMITTED: and the image is in the
    cache.  REFUSED: there is no fill, it could not begin.  ABORTED: what was
    written is right, but there will be no more.  CORRUPT: what the store
    delivered is not the image.
    """

    STARTING = enum.auto()
    WRITING = enum.auto()
    VERIFIED = enum.auto()
    COMMITTED = enum.auto()
    REFUSED = enum.auto()
    ABORTED = enum.auto()
    CORRUPT = enum.auto()


_FAILED = frozenset({FillStatus.REFUSED, FillStatus.ABORTED, FillStatus.CORRUPT})


class FillInterrupted(Exception):
    """The file will not grow any more, or not soon."""


class FillCorrupt(Exception):
    """The data is not that of the image."""


class FillProgress:
    """The board on which one fill reports; ``size`` is that of the whole image in bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.fd = -1
        self._written = 0
        self._status = FillStatus.STARTING
        self._changed = threading.Condition()
        self._readers = 0
        self._is_writer_running = True

    # --- the side of the writer ----------------------------------------------------------------

    def set_file(self, fd: int) -> None:
        """There is a file; from now on it belongs to this board, which closes it."""
        with self._changed:
            self.fd = fd
            self._status = FillStatus.WRITING
            self._changed.notify_all()

    def advance(self, count: int) -> None:
        """So many more bytes are in the file."""
        with self._changed:
            self._written += count
            self._changed.notify_all()

    def set_status(self, status: FillStatus) -> None:
        """What has become of it."""
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def should_continue(self) -> bool:
        """Does anybody read?  After a False nobody can join any more."""
        with self._changed:
            if self._readers:
                return True
            if self._status not in _FAILED:
                self._status = FillStatus.ABORTED
            return False

    def finish(self) -> None:
        """The writer has done with the file."""
        with self._changed:
            self._is_writer_running = False
            if self._status in (FillStatus.STARTING, FillStatus.WRITING):
                self._status = FillStatus.ABORTED
            self._changed.notify_all()
            self._close_unused()

    # --- the side of the readers ---------------------------------------------------------------

    def add_reader(self) -> bool:
        """Begin to read; False when it is too late for that."""
        with self._changed:
            if self._status in _FAILED or not self._is_writer_running:
                return False
            self._readers += 1
            return True

    def remove_reader(self) -> None:
        """End reading; once for each join."""
        with self._changed:
            self._readers -= 1
            self._close_unused()

    def wait_for_file(self) -> bool:
        """Wait until it is known whether there is a file to read."""
        with self._changed:
            self._changed.wait_for(lambda: self._status is not FillStatus.STARTING, STALL_TIMEOUT)
            return self.fd >= 0

    def wait_for_byte(self, position: int) -> int:
        """Wait until there is a byte at ``position``: how many bytes there are.

        :raises FillInterrupted: it will not come, or not soon.
        :raises FillCorrupt: the data is wrong.
        """
        with self._changed:
            while self._written <= position:
                self._raise_failure()
                before = self._written
                self._changed.wait(STALL_TIMEOUT)
                if self._written == before and self._status is FillStatus.WRITING:
                    raise FillInterrupted()
            return self._written

    def wait_verified(self) -> None:
        """Wait until the data is known to be right, and a moment for its admission.

        :raises FillInterrupted, FillCorrupt: as for :meth:`wait_for_byte`.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_write_done, STALL_TIMEOUT):
                raise FillInterrupted()
            self._raise_failure()
            self._changed.wait_for(lambda: self._status is not FillStatus.VERIFIED, _COMMIT_TIMEOUT)

    def wait_finished(self) -> FillStatus:
        """Wait until the writer has finished or stands still."""
        with self._changed:
            seen, since = -1, time.monotonic()
            while self._is_writer_running:
                if self._written != seen:
                    seen, since = self._written, time.monotonic()
                elif time.monotonic() - since > STALL_TIMEOUT:
                    break
                self._changed.wait(1.0)
            return self._status

    def _is_write_done(self) -> bool:
        return self._status not in (FillStatus.STARTING, FillStatus.WRITING)

    def _raise_failure(self) -> None:
        if self._status is FillStatus.CORRUPT:
            raise FillCorrupt()
        if self._status in _FAILED:
            raise FillInterrupted()

    def _close_unused(self) -> None:
        if not self._is_writer_running and not self._readers and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
