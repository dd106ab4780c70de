"""glance-api: the service with a server of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from oslo_config import cfg

from glance_py import app, config, pipeline
from glance_py.cmd.server import GunicornServer


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped.

    SIGTERM and SIGINT finish begun requests first; SIGHUP reads the
    configuration again and replaces the workers one by one.

    :param argv: the words after the name of the program.
    :returns: the exit code; 1 with a sentence on stderr for a wrong configuration.
    """
    conf = cfg.CONF
    try:
        config.load(
            sys.argv[1:] if argv is None else argv,
            conf=conf,
            description="Serves the Image API. SIGTERM finishes begun requests and ends; SIGHUP "
            "reads the configuration again and replaces the workers.",
            epilog="Exit codes: 0 stopped, 1 the configuration is wrong, 2 wrong arguments. "
            "Where to listen and with how many workers are options of the configuration: "
            "bind_host, bind_port, workers, threads.",
        )
        config.setup_logging(conf)
        app.prepare_stand_alone(conf)
        server = GunicornServer(conf, app.build_service, pipeline.API)
    except app.START_ERRORS as error:
        print(f"glance-api: {error}", file=sys.stderr)
        return 1
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
