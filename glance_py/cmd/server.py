"""The server of glance-api and glance-registry: gunicorn, protected from stalled clients.

Gunicorn parses HTTP, and forks and supervises workers (decision record 0002).  This module maps
the options of the service to gunicorn's settings and overrides the methods of its threaded worker
that would let one client occupy threads or the main loop.  setup.cfg bounds the version of
gunicorn, because some of these are private.
"""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol
from wsgiref.types import WSGIApplication

from gunicorn import glogging
from gunicorn.app import base
from gunicorn.arbiter import Arbiter
from gunicorn.http.body import LengthReader
from gunicorn.workers.gthread import ThreadWorker
from oslo_config import cfg
from oslo_log import log as logging

from glance_py import config
from glance_py.cmd.request_body import SocketBody, with_connection_close
from glance_py.cmd.request_head import (
    DEFER,
    HEADER_TIMEOUT,
    Arrival,
    GunicornConnection,
    RequestHead,
)
from glance_py.cmd.sockets import lingering_close, set_socket_timeouts
from glance_py.context import request_log_fields, set_current
from glance_py.http.request import CONTEXT_KEY, REQUEST_ID
from glance_py.middleware.factory_deps import LOOPBACK_ONLY
from glance_py.settings import ServerSettings

LOG = logging.getLogger(__name__)

#: Seconds for which an idle connection is kept.
KEEPALIVE_SECONDS = 65
#: Seconds without a turn of its main loop after which a worker is killed and replaced.  Requests
#: run in threads, so that their duration does not matter.
WORKER_TIMEOUT = 300
#: Signals that must not reach a worker before it has its own handlers.
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGQUIT, signal.SIGINT})


class ServedApplication(Protocol):
    """What :class:`GunicornServer` serves: ``app.ApiService`` or ``app.RegistryService``."""

    @property
    def app(self) -> WSGIApplication:
        """The application."""

    @property
    def server_requirements(self) -> frozenset[str]:
        """Constants of ``middleware.factory_deps``, for example LOOPBACK_ONLY."""

    def begin(self) -> None:
        """Start background work, in a worker process."""


class ServiceArbiter(Arbiter):
    """Gunicorn's master process, which blocks stop signals while it forks a worker.

    A new worker still has the signal handlers of the master, which would swallow the signal: the
    worker would go on, and a stop would last until ``graceful_shutdown_timeout``.
    """

    def spawn_worker(self) -> int:
        """Fork a worker with STOP_SIGNALS blocked; :meth:`Worker.init_signals` unblocks them."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            pid: int = super().spawn_worker()
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Worker(ThreadWorker):
    """Gunicorn's threaded worker with limits for stalled clients.

    A connection on which no byte moves for ``client_timeout`` seconds inside a request is closed;
    0 is no limit.  ``tcp_keepidle`` is in seconds, too.
    """

    client_timeout = ServerSettings().client_socket_timeout
    tcp_keepidle = ServerSettings().tcp_keepidle
    wsgi: WSGIApplication

    def init_process(self) -> None:
        """Set the options that accepted connections inherit from their listening socket."""
        for listener in self.sockets:
            if listener.family in (socket.AF_INET, socket.AF_INET6):
                # A connection without data is not accepted, and occupies no thread.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, HEADER_TIMEOUT)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self.tcp_keepidle)
        super().init_process()

    def init_signals(self) -> None:
        """Install the worker's handlers, then unblock STOP_SIGNALS."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def load_wsgi(self) -> None:
        """Load the application and wrap it with :func:`with_connection_close`."""
        super().load_wsgi()
        self.wsgi = with_connection_close(self.wsgi)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Start or stop accepting connections; a stopping worker closes its listening sockets.

        While a process has one open, the kernel completes handshakes for it, and clients and health
        checks would wait for an answer until this worker has ended.
        """
        super().set_accept_enabled(enabled)
        if enabled or (self.alive and self.ppid == os.getppid()):
            return
        for listener in self.sockets:
            if listener.sock is not None:
                self._accept_pending(listener)
                listener.close()

    def _accept_pending(self, listener: Any) -> None:
        """Accept the connections that the kernel has completed: closing would reset them."""
        before = -1
        while before < self.nr_conns < self.worker_connections:
            before = self.nr_conns
            self.accept(listener)

    def handle(self, conn: GunicornConnection) -> object:
        """Handle one request of a connection, in a thread of the pool.

        :returns: True to keep the connection, False to close it, DEFER to wait for more data.
        """
        head = _get_head(conn)
        arrival = head.check_arrival()
        if arrival is Arrival.PARTIAL:
            return DEFER
        if arrival is Arrival.EXPIRED:
            lingering_close(conn.sock, 0.0)
            return False
        set_socket_timeouts(conn.sock, HEADER_TIMEOUT)
        conn.data_ready = True
        needs_limit = arrival is Arrival.NEEDS_THREAD
        try:
            with head.time_limited() if needs_limit else contextlib.nullcontext():
                keep: object = super().handle(conn)
        finally:
            # Log lines of this thread before its next request belong to no caller.
            set_current(None)
        if not keep:
            # Gunicorn would wait for the client in the main loop, and block all other connections.
            lingering_close(conn.sock)
        return keep

    def handle_request(self, req: Any, conn: GunicornConnection) -> bool:
        """Pass the request to the application, once its head is complete."""
        _get_head(conn).mark_read()
        conn.head = RequestHead(conn)  # of the next request
        set_socket_timeouts(conn.sock, self.client_timeout)
        if isinstance(req.body.reader, LengthReader):
            req.body = SocketBody(req.body.reader)
        return bool(super().handle_request(req, conn))


def _get_head(conn: GunicornConnection) -> RequestHead:
    if not hasattr(conn, "head"):
        conn.head = RequestHead(conn)
    return conn.head


class GunicornServer(base.BaseApplication):
    """Gunicorn with the service's options.

    The application is built before the workers are forked, so that a mistake stops the start and
    the workers share its memory.

    :param build: builds the application, at the start and at each reload.
    :param name: the name of the command, for messages and the process list.
    :raises config.ConfigurationError: the application must not be served on ``bind_host``.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, build: Callable[[cfg.ConfigOpts], ServedApplication], name: str
    ) -> None:
        self.conf = conf
        self._build = build
        self._name = name
        self.service = self._build_checked()
        super().__init__(prog=name)

    def _build_checked(self) -> ServedApplication:
        service = self._build(self.conf)
        host = ServerSettings.from_conf(self.conf).bind_host
        if LOOPBACK_ONLY in service.server_requirements and not _is_loopback(host):
            raise config.ConfigurationError(
                "[DEFAULT] bind_host: the flavor fakeauth accepts every token, so that the service "
                f"listens on a loopback address only (127.0.0.1), not on {host}."
            )
        return service

    def load_config(self) -> None:
        """Set gunicorn's settings; called by gunicorn, at the start and at each reload."""
        for name, value in gunicorn_settings(ServerSettings.from_conf(self.conf)).items():
            self.cfg.set(name, value)
        self.cfg.set("proc_name", self._name)
        self.cfg.set("post_worker_init", lambda worker: self.service.begin())

    def run(self) -> None:
        """Serve until a signal ends the process."""
        try:
            ServiceArbiter(self).run()
        except RuntimeError as error:
            sys.exit(f"{self._name}: {error}")

    def load(self) -> WSGIApplication:
        """The application; called by gunicorn."""
        # The collector would write to the pages of objects that never die, and unshare them.
        gc.freeze()
        return self.service.app

    def reload(self) -> None:
        """Read the configuration again; if it is wrong, log that and keep the old one."""
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


def gunicorn_settings(settings: ServerSettings) -> dict[str, object]:
    """Gunicorn's settings, by name, for the options of the service."""
    host = f"[{settings.bind_host}]" if ":" in settings.bind_host else settings.bind_host
    worker_options = {
        "client_timeout": settings.client_socket_timeout,
        "tcp_keepidle": settings.tcp_keepidle,
    }
    return {
        "bind": [f"{host}:{settings.bind_port}"],
        "backlog": settings.backlog,
        "workers": settings.workers or min(os.cpu_count() or 1, 8),
        "worker_class": type("Worker", (Worker,), worker_options),
        "threads": settings.threads,
        "preload_app": True,
        "keepalive": KEEPALIVE_SECONDS,
        "timeout": WORKER_TIMEOUT,
        "graceful_timeout": settings.graceful_shutdown_timeout,
        "limit_request_line": 8190,
        "limit_request_field_size": settings.max_header_line,
        # The router answers unknown methods with 405; gunicorn would answer 400.
        "permit_unconventional_http_method": True,
        "control_socket_disable": True,
        "logger_class": OsloLogger,
    }


class OsloLogger(glogging.Logger):
    """Logs gunicorn's messages, and one line for each request, by oslo.log."""

    def setup(self, cfg: Any) -> None:
        """Set the loggers; called by gunicorn instead of opening log files."""
        self.error_log = logging.getLogger("glance_py.server").logger
        self.access_log = logging.getLogger("glance_py.request").logger

    def reopen_files(self) -> None:
        """Do nothing: oslo.log notices a rotated file itself (``watch_log_file``)."""

    def close_on_exec(self) -> None:
        """Do nothing: oslo.log opens its files with this flag."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log one request: client, method, path, status, bytes sent and seconds."""
        if not self.access_log.isEnabledFor(logging.INFO):
            return
        self.access_log.info(
            '%s "%s %s" status: %s len: %s time: %.4f',
            environ.get("REMOTE_ADDR", "-"),
            environ["REQUEST_METHOD"],
            environ.get("RAW_URI"),
            resp.status_code,
            # Gunicorn does not count the bytes that sendfile(2) sends.
            resp.sent or resp.response_length or 0,
            request_time.total_seconds(),
            extra={
                "context": environ.get(CONTEXT_KEY) or request_log_fields(environ.get(REQUEST_ID))
            },
        )
