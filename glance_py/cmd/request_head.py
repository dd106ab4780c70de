"""Waits for the head of a request without a thread.

Gunicorn reads the head of a request in a thread of its pool, so that clients that send it byte by
byte occupy all of them.  :class:`RequestHead` leaves an incomplete head in the kernel, and the main
loop of the worker waits for more of it (decision record 0002).
"""

from __future__ import annotations

import contextlib
import enum
import socket
import time
from collections.abc import Iterator
from typing import Any, Protocol

from gunicorn.workers import gthread

from glance_store_py.watchdog import Watchdog

#: Seconds from the first byte of a head to its last.
HEADER_TIMEOUT = 20
#: Bytes of a head that are awaited without a thread; a longer head is read in a thread.
MAX_PEEKED_BYTES = 64 << 10
#: What ``ThreadWorker.handle`` returns to wait for more data in the main loop; private in gunicorn.
DEFER = getattr(gthread, "_DEFER", None)


class GunicornConnection(Protocol):
    """What this package uses of gunicorn's ``TConn``, a connection of a client."""

    sock: socket.socket
    #: None before the first request; its ``unreader.buf`` holds bytes that were read ahead.
    parser: Any
    #: True when the thread need not wait for data.
    data_ready: bool
    #: The head of the next request; set by :class:`glance_py.cmd.server.Worker`.
    head: RequestHead


class Arrival(enum.StrEnum):
    """How much of a head has arrived.

    COMPLETE
        It can be read at once, or the connection has ended.
    PARTIAL
        The main loop must wait for more.
    EXPIRED
        It took longer than HEADER_TIMEOUT.
    NEEDS_THREAD
        It must be read in a thread, inside :meth:`RequestHead.time_limited`.
    """

    COMPLETE = "complete"
    PARTIAL = "partial"
    EXPIRED = "expired"
    NEEDS_THREAD = "needs thread"


class RequestHead:
    """The head of the next request of one connection."""

    def __init__(self, conn: GunicornConnection) -> None:
        self._conn = conn
        self._deadline: float | None = None
        self._peeked = 0
        self._low_water_mark = 1
        self._watch: Watchdog | None = None

    def check_arrival(self) -> Arrival:
        """Look at what has arrived, without reading it."""
        buffered = self._conn.parser.unreader.buf.getvalue() if self._conn.parser else b""
        try:
            peeked = _peek(self._conn.sock)
        except BlockingIOError:
            peeked = None
        except OSError:
            return Arrival.COMPLETE  # the connection is closed, which gunicorn handles
        if peeked == b"" or b"\r\n\r\n" in buffered + (peeked or b""):
            self._set_low_water_mark(1)
            return Arrival.COMPLETE
        if self._deadline is None and (buffered or peeked):
            self._deadline = time.monotonic() + HEADER_TIMEOUT
        if self._deadline is not None and time.monotonic() > self._deadline:
            return Arrival.EXPIRED
        peeked_before, self._peeked = self._peeked, len(peeked or b"")
        # A socket that is readable without new data has ended, or its family has no low water mark.
        if (
            DEFER is None
            or self._peeked >= MAX_PEEKED_BYTES
            or (peeked and self._peeked <= peeked_before)
            or not self._set_low_water_mark(self._peeked + 1)
        ):
            self._set_low_water_mark(1)
            return Arrival.NEEDS_THREAD
        return Arrival.PARTIAL

    def _set_low_water_mark(self, size: int) -> bool:
        """Make the socket readable when it holds ``size`` bytes; False when that is impossible."""
        sock = self._conn.sock
        if size == self._low_water_mark:
            return True
        if sock.family == socket.AF_UNIX:
            return False
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            self._low_water_mark = size
            return True
        return False

    @contextlib.contextmanager
    def time_limited(self) -> Iterator[None]:
        """Shut the connection down when the head is not complete HEADER_TIMEOUT after it began."""
        sock = self._conn.sock
        watch = self._watch = Watchdog(lambda: sock.shutdown(socket.SHUT_RDWR))
        left = HEADER_TIMEOUT if self._deadline is None else self._deadline - time.monotonic()
        try:
            with contextlib.suppress(TimeoutError), watch.within(left):
                yield
        finally:
            watch.stop()

    def mark_read(self) -> None:
        """End the time limit: the head has been read."""
        if self._watch is not None:
            self._watch.stop()


def _peek(sock: socket.socket) -> bytes:
    """Up to MAX_PEEKED_BYTES bytes that have arrived; they stay in the kernel.

    :raises BlockingIOError: nothing has arrived.
    """
    flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
    peeked = sock.recv(8192, flags)
    return sock.recv(MAX_PEEKED_BYTES, flags) if len(peeked) == 8192 else peeked
