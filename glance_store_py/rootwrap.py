"""The command ``glance-rootwrap``: runs a few named commands as root, for a Cinder store.

``sudo`` lets the service's user start this and nothing else; which commands it
may then run is written in files that only root can change.
"""

from __future__ import annotations

import sys


def main() -> int | None:
    """Run the command on the command line, if the filters allow it."""
    try:
        from oslo_rootwrap import cmd
    except ImportError:
        sys.stderr.write("glance-rootwrap needs the Python package oslo.rootwrap.\n")
        return 96
    return cmd.main()
