"""Reads the body of a request from the socket without gunicorn's copies.

Gunicorn copies each byte about six times; at the size of images this costs as much CPU time as a
checksum (decision record 0002).
"""

from __future__ import annotations

import io
import socket
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from gunicorn.http.body import LengthReader

#: Most bytes of an unread body that are read and discarded, so that the connection can be reused.
MAX_DISCARDED_BYTES = 64 << 10


class SocketBody(io.BufferedReader):
    """A body of known length, read from the socket directly into the caller's buffer."""

    def __init__(self, reader: LengthReader) -> None:
        self._raw_reader = _SocketReader(reader)
        super().__init__(self._raw_reader)

    @property
    def failed(self) -> bool:
        """True after a read raised; gunicorn then closes the connection after the answer."""
        return self._raw_reader.failed

    def discard(self) -> bool:
        """Discard the rest of the body without waiting for data; True when that was all of it."""
        return self._raw_reader.discard()


class _SocketReader(io.RawIOBase):
    """The rest of the body: first the bytes that gunicorn has read ahead, then the socket."""

    def __init__(self, reader: LengthReader) -> None:
        self._reader = reader
        self._socket: socket.socket = reader.unreader.sock
        self.failed = False

    def readable(self) -> bool:
        """Always True, see :class:`io.IOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See :meth:`io.RawIOBase.readinto`."""
        size = min(len(buffer), self._reader.length)
        if not size:
            return 0
        try:
            buffered: bytes = self._reader.unreader.take_buffered()
            if buffered:
                self._reader.unreader.unread(buffered[size:])
                buffered = buffered[:size]
                buffer[: len(buffered)] = buffered
                received = len(buffered)
            else:
                received = self._socket.recv_into(buffer, size)
        except Exception:
            self.failed = True
            raise
        self._reader.length -= received
        return received

    def discard(self) -> bool:
        """See :meth:`SocketBody.discard`; more than MAX_DISCARDED_BYTES are not read."""
        reader = self._reader
        if not reader.length:
            return True
        buffered: bytes = reader.unreader.take_buffered()
        reader.unreader.unread(buffered[reader.length :])
        reader.length -= min(reader.length, len(buffered))
        if reader.length > MAX_DISCARDED_BYTES:
            return False
        while reader.length:
            try:
                received = len(self._socket.recv(reader.length, socket.MSG_DONTWAIT))
            except (OSError, ValueError):  # no data yet; ValueError: TLS sockets take no flags
                return False
            if not received:
                return False
            reader.length -= received
        return True


def with_connection_close(app: WSGIApplication) -> WSGIApplication:
    """Add ``Connection: close`` to answers after which gunicorn closes the connection.

    It does so when too much of the body is unread, but decides it after it has sent the headers,
    with ``keep-alive``: a proxy may already have sent the next request then.
    """

    def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        body = environ["wsgi.input"]
        # A bound method of gunicorn's Response.
        response: Any = getattr(start_response, "__self__", None)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if not _discard_rest(body):
                response.force_close()
            return start_response(status, headers, exc_info)

        return app(environ, start)

    return wsgi


def _discard_rest(body: Any) -> bool:
    """Discard the rest of a body; False when the connection cannot be used again."""
    if body.failed:
        return False
    if isinstance(body, SocketBody):
        return body.discard()
    # A chunked body: gunicorn drops its parser after the last chunk.
    return body.reader.parser is None
