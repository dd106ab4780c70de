"""The command glance-registry: serves a database to API hosts that cannot reach it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from glance_py import app, config, pipeline
from glance_py.cmd.serve import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; signals as for glance-api.

    :param argv: its arguments; None for those of the process.
    :returns: the exit code.
    """
    arguments = sys.argv[1:] if argv is None else argv
    return serve(
        pipeline.REGISTRY,
        lambda conf: config.load_registry(arguments, conf),
        app.build_registry,
    )


if __name__ == "__main__":
    sys.exit(main())
