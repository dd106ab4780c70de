"""The state of one fill, shared by the thread that writes the file and those that read it.

Readers wait for bytes and for the result.  The writer never waits for a reader; a fill without
readers ends.
"""

from __future__ import annotations

import enum
import os
import threading
import time
from collections.abc import Callable

#: Seconds without a new byte after which a reader reads from the store instead.
STALL_TIMEOUT = 30.0

#: Seconds that the end of a download waits for the image to be committed to the cache.
_COMMIT_TIMEOUT = 1.0


class FillStatus(enum.Enum):
    """The status of a fill.

    STARTING: there is no file yet.  WRITING: bytes are written.  VERIFIED: all bytes are written
    and have the checksum of the image.  COMMITTED: the image is in the cache.  REFUSED: the fill
    could not begin.  ABORTED: the bytes so far are those of the image, and no more are written.
    CORRUPT: the store delivered other data than that of the image.
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
    """No more bytes are written to the file, or none were for STALL_TIMEOUT."""


class FillCorrupt(Exception):
    """The data is not that of the image."""


class FillProgress:
    """Bytes written, status and readers of one fill.  Safe in threads.

    :param size: of the whole image, in bytes.
    :param clock: seconds, as ``time.monotonic``.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.size = size
        self._clock = clock
        #: Descriptor of the file, -1 when there is none.
        self.fd = -1
        self._written = 0
        self._status = FillStatus.STARTING
        self._changed = threading.Condition()
        self._readers = 0
        self._is_writer_running = True

    # --- for the writer --------------------------------------------------------------------------

    def set_file(self, fd: int) -> None:
        """Set the descriptor of the file; it is closed after the last use."""
        with self._changed:
            self.fd = fd
            self._status = FillStatus.WRITING
            self._changed.notify_all()

    def advance(self, count: int) -> None:
        """Report ``count`` more bytes in the file."""
        with self._changed:
            self._written += count
            self._changed.notify_all()

    def set_status(self, status: FillStatus) -> None:
        """Report another status."""
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def should_continue(self) -> bool:
        """Is there a reader?  After False, :meth:`add_reader` returns False."""
        with self._changed:
            if self._readers:
                return True
            if self._status not in _FAILED:
                self._status = FillStatus.ABORTED
            return False

    def finish(self) -> None:
        """Report that the writer does not use the file any more."""
        with self._changed:
            self._is_writer_running = False
            if self._status in (FillStatus.STARTING, FillStatus.WRITING):
                self._status = FillStatus.ABORTED
            self._changed.notify_all()
            self._close_unused()

    # --- for readers -----------------------------------------------------------------------------

    def add_reader(self) -> bool:
        """Join as a reader; False when the fill has failed or its file may be closed."""
        with self._changed:
            if self._status in _FAILED or not self._is_writer_running:
                return False
            self._readers += 1
            return True

    def remove_reader(self) -> None:
        """Leave; once for each :meth:`add_reader` that returned True."""
        with self._changed:
            self._readers -= 1
            self._close_unused()

    def wait_for_file(self) -> bool:
        """Wait until the fill has a file (True) or has failed (False)."""
        with self._changed:
            self._changed.wait_for(lambda: self._status is not FillStatus.STARTING, STALL_TIMEOUT)
            return self.fd >= 0

    def wait_for_byte(self, position: int) -> int:
        """Wait until the byte with the number ``position`` is written.

        :returns: how many bytes are written.
        :raises FillInterrupted: it is not written, or not within STALL_TIMEOUT.
        :raises FillCorrupt: the data is not that of the image.
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
        """Wait until the checksum was compared, and up to _COMMIT_TIMEOUT for the commit.

        :raises FillInterrupted, FillCorrupt: as for :meth:`wait_for_byte`.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_write_done, STALL_TIMEOUT):
                raise FillInterrupted()
            self._raise_failure()
            self._changed.wait_for(lambda: self._status is not FillStatus.VERIFIED, _COMMIT_TIMEOUT)

    def wait_finished(self) -> FillStatus:
        """Wait until the writer has finished, or has written nothing for STALL_TIMEOUT.

        :returns: the status then.
        """
        with self._changed:
            seen, since = -1, self._clock()
            while self._is_writer_running:
                if self._written != seen:
                    seen, since = self._written, self._clock()
                elif self._clock() - since > STALL_TIMEOUT:
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
