"""glance-api: the service with a server of its own.

Gunicorn carries it (see decision 0002); what stands here is how the service's
options become its settings, what a worker does when it starts, and the line
that is written for each request.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from gunicorn import glogging
from gunicorn.app import base
from oslo_config import cfg
from oslo_log import log as logging

from glance_py import app, config, pipeline
from glance_py.middleware.context import CONTEXT

LOG = logging.getLogger(__name__)

#: Seconds for which an idle connection is kept, and after which a worker whose main loop does
#: not turn any more is replaced.  The length of a request does not matter for the latter.
KEEPALIVE = 65
STUCK = 300


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped.

    SIGTERM and SIGINT finish begun requests first; SIGHUP reads the
    configuration again and replaces the workers one by one.

    :param argv: the words after the name of the program.
    :returns: the exit code; 1 with a sentence on stderr for a wrong configuration.
    """
    conf = cfg.CONF
    try:
        config.load(sys.argv[1:] if argv is None else argv, conf=conf)
        config.setup_logging(conf)
        app.prepare_stand_alone(conf)
        server = Server(conf)
    except (config.ConfigurationError, pipeline.PipelineError, ValueError) as error:
        print(f"glance-api: {error}", file=sys.stderr)
        return 1
    server.run()
    return 0


class Server(base.BaseApplication):
    """Gunicorn with the service's options.

    The service is built before the workers are forked: a mistake stops the
    start with one sentence, and the workers share its memory.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf
        self.service = app.build_service(conf)
        super().__init__(prog="glance-api")

    def load_config(self) -> None:
        """Called by gunicorn, at the start and for each reload."""
        for name, value in settings(self.conf).items():
            self.cfg.set(name, value)
        self.cfg.set("when_ready", self.prepare_listeners)
        self.cfg.set("post_worker_init", lambda worker: self.service.begin())

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
            self.service = app.build_service(self.conf)
        except Exception as error:
            LOG.error("The new configuration is wrong, the old one stays in use: %s", error)
        self.callable = None
        super().reload()

    def prepare_listeners(self, arbiter: Any) -> None:
        """Set what accepted connections inherit from their listening socket.

        A client that neither sends nor takes a byte for
        ``client_socket_timeout`` seconds loses its connection, and its thread
        is free again; gunicorn has no such limit inside of a request.
        """
        seconds = self.conf.client_socket_timeout
        for listener in arbiter.LISTENERS:
            set_option = listener.sock.setsockopt
            set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            set_option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self.conf.tcp_keepidle)
            interval = struct.pack("ll", seconds, 0)
            set_option(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
            set_option(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
            # sendfile(2) waits elsewhere; this covers it.
            set_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)


def settings(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """Gunicorn's settings for the options of the service."""
    host = f"[{conf.bind_host}]" if ":" in conf.bind_host else conf.bind_host
    return {
        "bind": [f"{host}:{conf.bind_port}"],
        "backlog": conf.backlog,
        "workers": conf.workers or min(os.cpu_count() or 1, 8),
        "worker_class": "gthread",
        "threads": conf.threads,
        "preload_app": True,
        "keepalive": KEEPALIVE,
        "timeout": STUCK,
        "graceful_timeout": conf.graceful_shutdown_timeout,
        "limit_request_line": 8190,
        "limit_request_field_size": conf.max_header_line,
        # Which methods exist is the router's to say: it answers 405, not 400.
        "permit_unconventional_http_method": True,
        "control_socket_disable": True,
        "logger_class": Logger,
        "proc_name": "glance-api",
    }


class Logger(glogging.Logger):
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
        query = environ.get("QUERY_STRING")
        self.access_log.info(
            "%s \"%s %s%s\" status: %s len: %s time: %.4f",
            environ.get("REMOTE_ADDR", "-"), environ["REQUEST_METHOD"],
            environ.get("RAW_URI", "").partition("?")[0], f"?{query}" if query else "",
            resp.status_code, resp.sent, request_time.total_seconds(),
            extra={"context": environ.get(CONTEXT)})


if __name__ == "__main__":
    sys.exit(main())
