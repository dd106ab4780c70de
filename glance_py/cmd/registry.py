"""glance-registry: the records of a database for API hosts that have no way into it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from oslo_config import cfg

from glance_py import app, config, pipeline
from glance_py.cmd.server import Server

DEFAULT_FILE = "glance-registry.conf"
DEFAULT_PORT = 9191


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped; signals as for glance-api.

    :param argv: the words after the name of the program.
    :returns: the exit code; 1 with a sentence on stderr for a wrong configuration.
    """
    conf = cfg.CONF
    try:
        load(sys.argv[1:] if argv is None else argv, conf)
        config.setup_logging(conf)
        server = Server(conf, app.build_registry, pipeline.REGISTRY)
    except app.START_ERRORS as error:
        print(f"glance-registry: {error}", file=sys.stderr)
        return 1
    server.run()
    return 0


def load(argv: Sequence[str], conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    """Read the configuration of a registry.

    :raises config.ConfigurationError: there is none, or it is wrong.
    """
    config.register(conf)
    conf.set_default("bind_port", DEFAULT_PORT)
    directory = os.environ.get("OS_GLANCE_CONFIG_DIR", "").strip() or config.CONFIG_DIR
    path = os.path.join(directory, DEFAULT_FILE)
    if not os.path.exists(path) and not any(word.startswith("--config-") for word in argv):
        raise config.ConfigurationError(
            f"there is no {path}: name the configuration with --config-file.")
    return config.load(argv, [path] if os.path.exists(path) else [], conf)


if __name__ == "__main__":
    sys.exit(main())
