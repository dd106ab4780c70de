"""A storage service that fails as a test wants it: an HTTP proxy in front of a real one.

It passes requests on as they are, the name of the host included, so that
signatures stay good.  Faults are attributes that may be changed at any time.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import itertools
import socket
import ssl
import threading
from collections.abc import Iterator

CHUNK_SIZE = 64 * 1024
#: Headers that are between two neighbours (RFC 9110, 7.6.1).
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


class ServerKilled(Exception):
    """The service was killed while it was busy with this request."""


class FaultyProxy:
    """The proxy; ``address`` is ``host:port``.

    ``kill_after_received``: bytes of content, of all requests since it was healed, after
    which the service dies; ``kill_after_sent``: bytes of one answer; ``break_after_sent``:
    only the connection breaks, once.  ``pieces``: a semaphore that every
    piece of 64 KiB takes.  ``asked``: how many requests there were since it was healed.
    ``fail_every`` n: each n-th request is answered with 500.  ``status_for_puts``: a status
    for PUTs.  ``overloaded``: 503 for so many
    requests.  ``hangs_up``: connections are closed when a request has come.
    ``fake_completion``: the content of an answer 200 to requests that complete an S3
    multipart upload, which the service never gets.
    """

    def __init__(self, target: str, context: ssl.SSLContext | None = None) -> None:
        """:param context: the proxy speaks TLS, whatever the service speaks."""
        self.target = target
        self._context = context
        self._listen(0)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def heal(self) -> None:
        """No faults any more; a service that was killed is back."""
        self.kill_after_received = self.kill_after_sent = self.break_after_sent = None
        self.received = 0
        self.fail_every, self.status_for_puts = 0, None
        self.chunks: threading.Semaphore | None = None
        self.asked = 0
        self.hangs_up = False
        self.overloaded = 0
        self.fake_completion: bytes | None = None
        self._count = itertools.count(1)
        if self.killed:
            self._listen(self.server.server_port)

    def _listen(self, port: int) -> None:
        self.killed = False
        self.heal()
        self._open: set[socket.socket] = set()
        self.server = _Server(("127.0.0.1", port), _Handler)
        self.server.daemon_threads = True
        if self._context is not None:
            self.server.socket = self._context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.server.faulty = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def kill(self) -> None:
        """No connection survives, and there will be no other."""
        self.killed = True
        self._close()

    def _close(self) -> None:
        self.server.shutdown()
        self.server.socket.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def fails(self) -> bool:
        """Is it this request's turn to fail?"""
        return bool(self.fail_every) and next(self._count) % self.fail_every == 0


class _Server(http.server.ThreadingHTTPServer):
    """A server that says nothing of clients that do not trust it, or go away."""

    def handle_error(self, *_request: object) -> None:
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.faulty: FaultyProxy = self.server.faulty
        self.faulty._open.add(self.connection)

    def finish(self) -> None:
        self.faulty._open.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def relay(self) -> None:
        with contextlib.suppress(OSError, ServerKilled, http.client.HTTPException):
            self.close_connection = True
            self.faulty.asked += 1
            if self.faulty.hangs_up:
                raise ServerKilled
            completion = self.faulty.fake_completion
            if not (self.command == "POST" and "uploadId=" in self.path):
                completion = None
            refusal = (
                500
                if self.faulty.fails()
                else 503
                if self._is_overloaded()
                else 200
                if completion is not None
                else self.faulty.status_for_puts
                if self.command == "PUT"
                else None
            )
            if refusal:
                for _ in self._content():
                    pass
                self.send_response_only(refusal)
                self.send_header("Content-Length", str(len(completion or b"")))
                self.end_headers()
                self.wfile.write(completion or b"")
            else:
                self._forward()
            self.close_connection = False

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay

    def _is_overloaded(self) -> bool:
        if not self.faulty.overloaded:
            return False
        self.faulty.overloaded -= 1
        return True

    def _take_piece(self) -> None:
        """Wait until the service may be so quick; a service that was healed meanwhile may."""
        if (chunks := self.faulty.chunks) is not None:
            chunks.acquire()

    def _forward(self) -> None:
        there = http.client.HTTPConnection(self.faulty.target, timeout=60)
        with contextlib.closing(there):
            there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                there.putheader(name, value)
            there.endheaders()
            for chunk in self._content():
                there.send(chunk)
            self._answer(there.getresponse())

    def _content(self) -> Iterator[bytes]:
        """The content of the request, framed as it came."""
        faulty = self.faulty
        for chunk in self._framed():
            self._take_piece()
            faulty.received += len(chunk)
            limit = faulty.kill_after_received
            if limit is not None and faulty.received > limit:
                faulty.kill()
                raise ServerKilled
            yield chunk

    def _framed(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length", 0))
        while left:
            chunk = self._read(min(left, CHUNK_SIZE))
            left -= len(chunk)
            yield chunk
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            size = -1
            while size:
                line = self.rfile.readline()
                size = int(line, 16)
                yield line
                yield self._read(size + 2)

    def _read(self, size: int) -> bytes:
        found = self.rfile.read(size)
        if len(found) < size:
            raise ServerKilled
        return found

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        sized = answer.length is not None or self.command == "HEAD"
        if not sized:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        done = 0
        while chunk := answer.read(CHUNK_SIZE):
            self._take_piece()
            self._apply_send_limits(done := done + len(chunk))
            self.wfile.write(chunk if sized else b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if not sized:
            self.wfile.write(b"0\r\n\r\n")

    def _apply_send_limits(self, sent: int) -> None:
        faulty = self.faulty
        if faulty.kill_after_sent is not None and sent > faulty.kill_after_sent:
            faulty.kill()
            raise ServerKilled
        if faulty.break_after_sent is not None and sent > faulty.break_after_sent:
            faulty.break_after_sent = None
            raise ServerKilled

    def log_message(self, *_arguments: object) -> None:
        pass
