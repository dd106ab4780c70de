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
PATIENCE = 30.0

#: Seconds that the end of a download waits for the image to be in the cache.
_ADMISSION = 1.0


class State(enum.Enum):
    """How a fill stands.

    VERIFIED: all bytes are there and right.  ADMITTED: and the image is in the
    cache.  REFUSED: there is no fill, it could not begin.  BROKEN: what was
    written is right, but there will be no more.  DAMAGED: what the store
    delivered is not the image.
    """

    OPENING = enum.auto()
    GROWING = enum.auto()
    VERIFIED = enum.auto()
    ADMITTED = enum.auto()
    REFUSED = enum.auto()
    BROKEN = enum.auto()
    DAMAGED = enum.auto()


_FAILED = frozenset({State.REFUSED, State.BROKEN, State.DAMAGED})


class Interrupted(Exception):
    """The file will not grow any more, or not soon."""


class Damaged(Exception):
    """The data is not that of the image."""


class Progress:
    """The board on which one fill reports; ``size`` is that of the whole image in bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.fd = -1
        self._written = 0
        self._state = State.OPENING
        self._changed = threading.Condition()
        self._readers = 0
        self._running = True

    # --- the side of the writer ----------------------------------------------------------------

    def opened(self, fd: int) -> None:
        """There is a file; from now on it belongs to this board, which closes it."""
        with self._changed:
            self.fd = fd
            self._state = State.GROWING
            self._changed.notify_all()

    def advance(self, count: int) -> None:
        """So many more bytes are in the file."""
        with self._changed:
            self._written += count
            self._changed.notify_all()

    def settle(self, state: State) -> None:
        """What has become of it."""
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def is_wanted(self) -> bool:
        """Does anybody read?  After a False nobody can join any more."""
        with self._changed:
            if self._readers:
                return True
            if self._state not in _FAILED:
                self._state = State.BROKEN
            return False

    def finish(self) -> None:
        """The writer has done with the file."""
        with self._changed:
            self._running = False
            if self._state in (State.OPENING, State.GROWING):
                self._state = State.BROKEN
            self._changed.notify_all()
            self._close_unused()

    # --- the side of the readers ---------------------------------------------------------------

    def join(self) -> bool:
        """Begin to read; False when it is too late for that."""
        with self._changed:
            if self._state in _FAILED or not self._running:
                return False
            self._readers += 1
            return True

    def leave(self) -> None:
        """End reading; once for each join."""
        with self._changed:
            self._readers -= 1
            self._close_unused()

    def wait_opened(self) -> bool:
        """Wait until it is known whether there is a file to read."""
        with self._changed:
            self._changed.wait_for(lambda: self._state is not State.OPENING, PATIENCE)
            return self.fd >= 0

    def wait_beyond(self, position: int) -> int:
        """Wait until there is a byte at ``position``: how many bytes there are.

        :raises Interrupted: it will not come, or not soon.
        :raises Damaged: the data is wrong.
        """
        with self._changed:
            while self._written <= position:
                self._raise_failure()
                before = self._written
                self._changed.wait(PATIENCE)
                if self._written == before and self._state is State.GROWING:
                    raise Interrupted()
            return self._written

    def wait_verdict(self) -> None:
        """Wait until the data is known to be right, and a moment for its admission.

        :raises Interrupted, Damaged: as for :meth:`wait_beyond`.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_judged, PATIENCE):
                raise Interrupted()
            self._raise_failure()
            self._changed.wait_for(lambda: self._state is not State.VERIFIED, _ADMISSION)

    def wait_finished(self) -> State:
        """Wait until the writer has finished or stands still."""
        with self._changed:
            seen, since = -1, time.monotonic()
            while self._running:
                if self._written != seen:
                    seen, since = self._written, time.monotonic()
                elif time.monotonic() - since > PATIENCE:
                    break
                self._changed.wait(1.0)
            return self._state

    def _is_judged(self) -> bool:
        return self._state not in (State.OPENING, State.GROWING)

    def _raise_failure(self) -> None:
        if self._state is State.DAMAGED:
            raise Damaged()
        if self._state in _FAILED:
            raise Interrupted()

    def _close_unused(self) -> None:
        if not self._running and not self._readers and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
