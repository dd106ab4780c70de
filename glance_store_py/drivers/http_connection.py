"""Connections of urllib3 to servers that clients name, with time limits for whole steps.

The time limits of urllib3 are for one read from the socket.  Here connecting with the
handshake of TLS, and receiving the headers of an answer, are limited as a whole.
Imported with the first request, as urllib3 is.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

#: Seconds for connecting, and for receiving all headers of an answer.
DEADLINE = 60.0

if TYPE_CHECKING:
    _Base = HTTPConnection
else:
    _Base = object


class _DeadlineMixin(_Base):
    _socket_copy: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._close_socket_copy()
        # A second descriptor of the same connection: TLS detaches the first one.
        self._socket_copy = sock.dup()
        return sock

    def connect(self) -> None:
        with self._with_deadline():
            super().connect()

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        with self._with_deadline():
            return super().getresponse()

    def close(self) -> None:
        self._close_socket_copy()
        super().close()

    def _close_socket_copy(self) -> None:
        socket_copy, self._socket_copy = self._socket_copy, None
        if socket_copy is not None:
            socket_copy.close()

    @contextlib.contextmanager
    def _with_deadline(self) -> Iterator[None]:
        expired = threading.Event()

        def shut_down() -> None:
            expired.set()
            socket_copy = self._socket_copy
            if socket_copy is not None:
                with contextlib.suppress(OSError):
                    socket_copy.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(DEADLINE, shut_down)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if expired.is_set():
            # http.client takes headers that end with the connection for complete ones.
            raise TimeoutError


class DeadlineHTTPConnection(_DeadlineMixin, HTTPConnection):
    """A connection without TLS."""


class DeadlineHTTPSConnection(_DeadlineMixin, HTTPSConnection):
    """A connection with TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = DeadlineHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = DeadlineHTTPSConnection


#: For ``PoolManager.pool_classes_by_scheme``.
POOL_CLASSES: dict[str, type[HTTPConnectionPool]] = {"http": _HTTPPool, "https": _HTTPSPool}
