"""glance-registry: the records of a database for API hosts that have no way into it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from oslo_config import cfg

from glance_py import app, config, pipeline
from glance_py.cmd.server import GunicornServer


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped; signals as for glance-api.

    :param argv: the words after the name of the program.
    :returns: the exit code; 1 with a sentence on stderr for a wrong configuration.
    """
    conf = cfg.CONF
    try:
        config.load_registry(sys.argv[1:] if argv is None else argv, conf)
        config.setup_logging(conf)
        server = GunicornServer(conf, app.build_registry, pipeline.REGISTRY)
    except app.START_ERRORS as error:
        print(f"glance-registry: {error}", file=sys.stderr)
        return 1
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
