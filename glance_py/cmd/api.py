"""The command glance-api: serves the Image API."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from oslo_config import cfg

from glance_py import app, config, pipeline
from glance_py.cmd.serve import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    :param argv: its arguments; None for those of the process.
    :returns: the exit code.
    """
    arguments = sys.argv[1:] if argv is None else argv

    def load(conf: cfg.ConfigOpts) -> None:
        config.load(
            arguments,
            conf=conf,
            description="Serves the Image API. SIGTERM finishes the requests that have begun and "
            "ends; SIGHUP reads the configuration again and replaces the workers.",
            epilog="Exit codes: 0 stopped, 1 the configuration is wrong, 2 wrong arguments. "
            "Address and number of workers are options of the configuration: bind_host, bind_port, "
            "workers, threads.",
        )

    return serve(pipeline.API, load, app.build_service, app.prepare_stand_alone)


if __name__ == "__main__":
    sys.exit(main())
