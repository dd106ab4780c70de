"""What glance-api and glance-registry have in common: read the configuration, then serve."""

from __future__ import annotations

import sys
from collections.abc import Callable

from oslo_config import cfg

from glance_py import app, config
from glance_py.cmd.server import GunicornServer, ServedApplication


def serve(
    name: str,
    load: Callable[[cfg.ConfigOpts], object],
    build: Callable[[cfg.ConfigOpts], ServedApplication],
    prepare: Callable[[cfg.ConfigOpts], None] = lambda conf: None,
) -> int:
    """Serve until the process is stopped by a signal.

    SIGTERM and SIGINT finish the requests that have begun; SIGHUP reads the configuration again and
    replaces the workers one by one.

    :param name: the name of the command.
    :param load: reads the configuration into ``cfg.CONF``, which libraries in the pipeline use.
    :param build: builds the application, at the start and at each reload.
    :param prepare: called once between the two, after logging was configured.
    :returns: the exit code; 1 after a message on stderr when the configuration is wrong.
    """
    conf = cfg.CONF
    try:
        load(conf)
        config.setup_logging(conf)
        prepare(conf)
        server = GunicornServer(conf, build, name)
    except app.START_ERRORS as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    server.run()
    return 0
