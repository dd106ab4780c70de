"""Socket options of connections with clients."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

#: Seconds and bytes for which :func:`lingering_close` reads.
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 << 20


def set_socket_timeouts(sock: socket.socket, seconds: int) -> None:
    """Limit how long a read or a write waits for the peer; 0 is no limit."""
    interval = struct.pack("ll", seconds, 0)
    with contextlib.suppress(OSError):  # the connection is closed
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
        if sock.family != socket.AF_UNIX:
            # sendfile(2) ignores SO_SNDTIMEO.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)


def lingering_close(sock: socket.socket, seconds: float = LINGER_SECONDS) -> None:
    """Stop sending, and discard what the client still sends until it closes (RFC 9112, 9.6).

    A close with unread data would reset the connection, and the client might lose the answer.

    :param seconds: how long to wait for the client; afterwards the connection is reset.
    """
    deadline, left = time.monotonic() + seconds, LINGER_BYTES
    with contextlib.suppress(OSError):  # closed, or no data within the timeout
        sock.shutdown(socket.SHUT_WR)
        while left > 0 and (remaining := deadline - time.monotonic()) > 0:
            sock.settimeout(remaining)
            received = len(sock.recv(1 << 16))
            if not received:
                return
            left -= received
    with contextlib.suppress(OSError):
        # A client that is still sending gets a reset when the socket is closed.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RD)
