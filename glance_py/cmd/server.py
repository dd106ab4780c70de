"""The server inside of glance-api and glance-registry: gunicorn, and what image traffic asks of it.

Gunicorn parses HTTP, forks and watches workers (see decision 0002).  Here the
service's options become its settings, and clients that stall are kept from
occupying what others need.  Nothing here knows about images.
"""

from __future__ import annotations

import contextlib
import gc
import io
import ipaddress
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from gunicorn import glogging
from gunicorn.app import base
from gunicorn.arbiter import Arbiter
from gunicorn.http.body import LengthReader
from gunicorn.workers import gthread
from gunicorn.workers.gthread import ThreadWorker
from oslo_config import cfg
from oslo_log import log as logging

from glance_py import config
from glance_py.context import request_log_fields, set_current
from glance_py.http.request import CONTEXT_KEY, REQUEST_ID
from glance_py.middleware.factory_deps import LOOPBACK_ONLY
from glance_store_py.watchdog import Watchdog

LOG = logging.getLogger(__name__)

#: Seconds for which an idle connection is kept.
KEEPALIVE_SECONDS = 65
#: Seconds after which a worker is replaced whose main loop does not turn any more.  How long a
#: request takes does not matter.
WORKER_TIMEOUT = 300
#: Seconds that a client may take for the head of a request, however it sends it.
HEADER_TIMEOUT = 20
#: Bytes of a head that are awaited without a thread; a longer one occupies one until it is whole.
MAX_PEEKED_BYTES = 64 << 10
#: What tells gunicorn's main loop to wait for more of a request.
_DEFER = getattr(gthread, "_DEFER", None)
#: Seconds and bytes that a closing connection is listened to.
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 << 20
#: Bytes of an unread body that are worth reading, so that the connection can be used again.
MAX_DISCARDED_BYTES = 64 << 10


#: Signals that a worker must not miss while it starts.
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGQUIT, signal.SIGINT})


class ServiceArbiter(Arbiter):
    """Gunicorn's master, whose workers hear it from their first moment on.

    A worker that has just been forked would give a signal to the handlers of the
    master, which it still has: it would go on, and the end of the service would
    take all of ``graceful_shutdown_timeout``.
    """

    def spawn_worker(self) -> int:
        """Fork a worker; the signals that end it wait until it can hear them."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Worker(ThreadWorker):
    """Gunicorn's threaded worker, safe from clients that stall.

    A client that neither sends nor takes a byte for ``client_timeout`` seconds
    inside of a request loses its connection; 0 waits for ever.
    """

    client_timeout = 900
    tcp_keepidle = 600
    wsgi: Callable

    def init_process(self) -> None:
        """Set what accepted connections inherit from their listening socket."""
        for listener in self.sockets:
            if listener.family in (socket.AF_INET, socket.AF_INET6):
                # Connections that say nothing stay in the kernel and occupy no thread.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, HEADER_TIMEOUT)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self.tcp_keepidle)
        super().init_process()

    def init_signals(self) -> None:
        """From here on this worker has handlers of its own."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def load_wsgi(self) -> None:
        """Load the application, whose answers say when the connection ends with them."""
        super().load_wsgi()
        self.wsgi = _with_connection_close(self.wsgi)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept connections, or no more; a worker that stops closes its listening sockets.

        As long as any process has one open, the kernel completes handshakes for it: clients and
        health checks would wait for an answer until this worker has ended.
        """
        super().set_accept_enabled(enabled)
        if enabled or (self.alive and self.ppid == os.getppid()):
            return
        for listener in self.sockets:
            if listener.sock is not None:
                self._accept_pending(listener)
                listener.close()

    def _accept_pending(self, listener: Any) -> None:
        """Accept the connections that are complete: closing would reset them."""
        before = -1
        while before < self.nr_conns < self.worker_connections:
            before = self.nr_conns
            self.accept(listener)

    def handle(self, conn: Any) -> Any:
        """One turn of a connection, in a thread of the pool."""
        head = _get_head(conn)
        state = head.check_arrival()
        if state is _RequestHead.PARTIAL:
            return _DEFER
        if state is _RequestHead.EXPIRED:
            _lingering_close(conn.sock, 0.0)
            return False
        _set_socket_timeouts(conn.sock, HEADER_TIMEOUT)
        conn.data_ready = True
        try:
            with (
                contextlib.nullcontext() if state is _RequestHead.COMPLETE else head.time_limited()
            ):
                keep = super().handle(conn)
        finally:
            # What this thread logs before its next request belongs to no caller.
            set_current(None)
        if not keep:
            # Gunicorn would wait for the client's goodbye in the main loop, where it stops all
            # others of this worker.
            _lingering_close(conn.sock)
        return keep

    def handle_request(self, req: Any, conn: Any) -> bool:
        """The headers are complete: the body may take longer."""
        _get_head(conn).mark_read()
        _set_socket_timeouts(conn.sock, self.client_timeout)
        if isinstance(req.body.reader, LengthReader):
            req.body = SocketBody(req.body.reader)
        return super().handle_request(req, conn)


class _RequestHead:
    """The head of the next request of a connection, from its first byte to its last.

    A head that has not arrived whole is looked at and left in the kernel: the main loop waits
    for more of it, so that clients that send it byte by byte occupy no thread.
    """

    COMPLETE, PARTIAL, EXPIRED, NEEDS_THREAD = "whole", "partial", "late", "watched"

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self._deadline: float | None = None
        self._peeked = 0
        self._low_water_mark = 1
        self._watch: Watchdog | None = None

    def check_arrival(self) -> str:
        """Can the head be read?

        COMPLETE: at once.  PARTIAL: not yet, the main loop shall wait.  EXPIRED: it took too long.
        NEEDS_THREAD: it must be waited for in a thread, inside of :meth:`time_limited`.
        """
        buffered = self._conn.parser.unreader.buf.getvalue() if self._conn.parser else b""
        try:
            peeked = _peek(self._conn.sock)
        except BlockingIOError:
            peeked = None
        except OSError:
            return self.COMPLETE  # gunicorn will find it closed
        if peeked == b"" or b"\r\n\r\n" in buffered + (peeked or b""):
            self._set_low_water_mark(1)
            return self.COMPLETE
        if self._deadline is None and (buffered or peeked):
            self._deadline = time.monotonic() + HEADER_TIMEOUT
        if self._deadline is not None and time.monotonic() > self._deadline:
            return self.EXPIRED
        peeked_before, self._peeked = self._peeked, len(peeked or b"")
        # What is readable and brought nothing new has ended, or cannot be waited for.
        if (
            _DEFER is None
            or self._peeked >= MAX_PEEKED_BYTES
            or (peeked and self._peeked <= peeked_before)
            or not self._set_low_water_mark(self._peeked + 1)
        ):
            self._set_low_water_mark(1)
            return self.NEEDS_THREAD
        return self.PARTIAL

    def _set_low_water_mark(self, size: int) -> bool:
        """Let the main loop hear of the connection when it has ``size`` bytes; can that be?"""
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
        """Inside of this the connection is cut off when its head takes too long."""
        sock = self._conn.sock
        watch = self._watch = Watchdog(lambda: sock.shutdown(socket.SHUT_RDWR))
        left = HEADER_TIMEOUT if self._deadline is None else self._deadline - time.monotonic()
        try:
            with contextlib.suppress(TimeoutError), watch.within(left):
                yield
        finally:
            watch.stop()

    def mark_read(self) -> None:
        """The head has been read."""
        if self._watch is not None:
            self._watch.stop()
        self._conn.head = _RequestHead(self._conn)


def _get_head(conn: Any) -> _RequestHead:
    if not hasattr(conn, "head"):
        conn.head = _RequestHead(conn)
    return conn.head


def _peek(sock: socket.socket) -> bytes:
    """What has arrived, up to MAX_PEEKED_BYTES bytes, without taking it.

    :raises BlockingIOError: nothing.
    """
    flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
    peeked = sock.recv(8192, flags)
    return sock.recv(MAX_PEEKED_BYTES, flags) if len(peeked) == 8192 else peeked


def _with_connection_close(app: Callable) -> Callable:
    """``app``, with ``Connection: close`` in answers after which gunicorn closes.

    It cannot use a connection again on which much of a body is still to come, but finds out only
    after the answer said ``keep-alive``: then a proxy may have sent the next request already.
    """

    def wsgi(environ: dict, start_response: Any) -> Any:
        body = environ["wsgi.input"]

        def start(status: str, headers: list, exc_info: Any = None) -> Any:
            if not _discard_rest(body):
                start_response.__self__.force_close()
            return start_response(status, headers, exc_info)

        return app(environ, start)

    return wsgi


def _discard_rest(body: Any) -> bool:
    """Discard what is left of a request's body; False when the connection cannot be used again."""
    if body.failed:
        return False
    if isinstance(body, SocketBody):
        return body.discard()
    # Chunks: the parser is dropped when it has seen the last one.
    return body.reader.parser is None


class SocketBody(io.BufferedReader):
    """A body of known length, straight from the socket into the piece that is read.

    Gunicorn's own copies each byte half a dozen times; at image sizes that is
    as much work as a checksum.
    """

    def __init__(self, reader: LengthReader) -> None:
        self._raw_reader = _SocketReader(reader)
        super().__init__(self._raw_reader)

    @property
    def failed(self) -> bool:
        """Did reading raise?  Then gunicorn does not use the connection again."""
        return self._raw_reader.failed

    def discard(self) -> bool:
        """Read the rest of the body without waiting for it; was all of it there?"""
        return self._raw_reader.discard()


class _SocketReader(io.RawIOBase):
    """What is left of the body: first what gunicorn has read ahead, then the socket."""

    def __init__(self, reader: LengthReader) -> None:
        self._reader = reader
        self._socket = reader.unreader.sock
        self.failed = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._reader.length)
        if not size:
            return 0
        try:
            buffered = self._reader.unreader.take_buffered()
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
        """Read the rest of the body without waiting for it; was all of it there?

        Large rests are not read.
        """
        reader = self._reader
        if not reader.length:
            return True
        buffered = reader.unreader.take_buffered()
        reader.unreader.unread(buffered[reader.length :])
        reader.length -= min(reader.length, len(buffered))
        if reader.length > MAX_DISCARDED_BYTES:
            return False
        while reader.length:
            try:
                received = len(self._socket.recv(reader.length, socket.MSG_DONTWAIT))
            except (OSError, ValueError):  # nothing there yet; TLS knows no such flag
                return False
            if not received:
                return False
            reader.length -= received
        return True


def _set_socket_timeouts(sock: socket.socket, seconds: int) -> None:
    """Limit how long a read or write waits for the other side; 0 is for ever."""
    interval = struct.pack("ll", seconds, 0)
    with contextlib.suppress(OSError):  # gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
        if sock.family != socket.AF_UNIX:
            # sendfile(2) waits by other means; this ends the connection under it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)


def _lingering_close(sock: socket.socket, seconds: float = LINGER_SECONDS) -> None:
    """Let the client read the last answer before the connection closes (RFC 9112, 9.6)."""
    deadline, left = time.monotonic() + seconds, LINGER_BYTES
    with contextlib.suppress(OSError):  # also: it said nothing in time
        sock.shutdown(socket.SHUT_WR)
        while left > 0 and (remaining := deadline - time.monotonic()) > 0:
            sock.settimeout(remaining)
            received = len(sock.recv(1 << 16))
            if not received:
                return
            left -= received
    with contextlib.suppress(OSError):
        # A client that is still sending must learn that nobody listens any more.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RD)


class GunicornServer(base.BaseApplication):
    """Gunicorn with the service's options.

    The service is built before the workers are forked: a mistake stops the
    start with one sentence, and the workers share its memory.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, build: Callable[[cfg.ConfigOpts], Any], name: str
    ) -> None:
        """``build`` makes what is served: it has ``app``, ``begin`` and ``server_requirements``.

        :raises config.ConfigurationError: what is served must not be served here.
        """
        self.conf = conf
        self._build = build
        self._name = name
        self.service = self._build_checked()
        super().__init__(prog=name)

    def _build_checked(self) -> Any:
        service = self._build(self.conf)
        if LOOPBACK_ONLY in service.server_requirements and not _is_loopback(self.conf.bind_host):
            raise config.ConfigurationError(
                f"[DEFAULT] bind_host: with the flavor fakeauth, which believes every token, the "
                f"service listens on this machine's own address only (127.0.0.1), not on "
                f"{self.conf.bind_host}."
            )
        return service

    def load_config(self) -> None:
        """Called by gunicorn, at the start and for each reload."""
        for name, value in gunicorn_settings(self.conf).items():
            self.cfg.set(name, value)
        self.cfg.set("proc_name", self._name)
        self.cfg.set("post_worker_init", lambda worker: self.service.begin())

    def run(self) -> None:
        """Serve until a signal ends it."""
        try:
            ServiceArbiter(self).run()
        except RuntimeError as error:
            sys.exit(f"{self._name}: {error}")

    def load(self) -> Any:
        """The WSGI application, for gunicorn."""
        # What was made until now lives as long as the process: the collector
        # would only unshare its pages.
        gc.freeze()
        return self.service.app

    def reload(self) -> None:
        """Read the configuration again; a wrong one is reported and the old one stays."""
        try:
            if not self.conf.reload_config_files():
                raise config.ConfigurationError("the files cannot be read")
            config.check(self.conf)
            self.service = self._build_checked()
        except Exception as error:
            LOG.error("The new configuration is wrong, the old one stays in use: %s", error)
            return
        self.callable = None
        super().reload()


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def gunicorn_settings(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """Gunicorn's settings for the options of the service."""
    host = f"[{conf.bind_host}]" if ":" in conf.bind_host else conf.bind_host
    return {
        "bind": [f"{host}:{conf.bind_port}"],
        "backlog": conf.backlog,
        "workers": conf.workers or min(os.cpu_count() or 1, 8),
        "worker_class": type(
            "Worker",
            (Worker,),
            {"client_timeout": conf.client_socket_timeout, "tcp_keepidle": conf.tcp_keepidle},
        ),
        "threads": conf.threads,
        "preload_app": True,
        "keepalive": KEEPALIVE_SECONDS,
        "timeout": WORKER_TIMEOUT,
        "graceful_timeout": conf.graceful_shutdown_timeout,
        "limit_request_line": 8190,
        "limit_request_field_size": conf.max_header_line,
        # Which methods exist is the router's to say: it answers 405, not 400.
        "permit_unconventional_http_method": True,
        "control_socket_disable": True,
        "logger_class": OsloLogger,
    }


class OsloLogger(glogging.Logger):
    """Gunicorn's messages and one line per request, through oslo.log."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn instead of opening files of its own."""
        self.error_log = logging.getLogger("glance_py.server").logger
        self.access_log = logging.getLogger("glance_py.request").logger

    def reopen_files(self) -> None:
        """oslo.log's handlers notice a rotated file themselves (``watch_log_file``)."""

    def close_on_exec(self) -> None:
        """oslo.log opens its files so."""

    def access(self, resp: Any, req: Any, environ: dict, request_time: timedelta) -> None:
        """Who asked for what, the status, the bytes sent and the seconds it took."""
        if not self.access_log.isEnabledFor(logging.INFO):
            return
        self.access_log.info(
            '%s "%s %s" status: %s len: %s time: %.4f',
            environ.get("REMOTE_ADDR", "-"),
            environ["REQUEST_METHOD"],
            environ.get("RAW_URI"),
            resp.status_code,
            # What the kernel sends by itself is not counted.
            resp.sent or resp.response_length or 0,
            request_time.total_seconds(),
            extra={
                "context": environ.get(CONTEXT_KEY) or request_log_fields(environ.get(REQUEST_ID))
            },
        )
