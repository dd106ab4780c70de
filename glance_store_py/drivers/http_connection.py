"""Connections of urllib3 to servers that somebody else chose.

Its time limits hold for one wait; here the handshake of TLS and the headers of
an answer have to be through in time as a whole.  Imported with the first request,
as urllib3 is.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

#: Seconds for a connection to be ready, and for all headers of an answer to come.
SECONDS = 60.0

if TYPE_CHECKING:
    _Base = HTTPConnection
else:
    _Base = object


class _Punctual(_Base):
    _line: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._hang_up()
        # Of the same connection: TLS takes the first descriptor away from under us.
        self._line = sock.dup()
        return sock

    def connect(self) -> None:
        with self._in_time():
            super().connect()

    def getresponse(self) -> Any:
        with self._in_time():
            return super().getresponse()

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        late = threading.Event()

        def cut() -> None:
            late.set()
            line = self._line
            if line is not None:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(SECONDS, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if late.is_set():
            # Headers that end with the connection would pass for whole ones.
            raise TimeoutError


class PunctualHTTP(_Punctual, HTTPConnection):
    """A connection without TLS."""


class PunctualHTTPS(_Punctual, HTTPSConnection):
    """A connection with TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = PunctualHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = PunctualHTTPS


#: For ``PoolManager.pool_classes_by_scheme``.
POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _HTTPPool, "https": _HTTPSPool}
