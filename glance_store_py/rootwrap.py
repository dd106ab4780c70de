"""The command ``glance-rootwrap``: runs a few commands as root, for Cinder stores.

``sudo`` allows the user of the service to run this command only.  The commands that it
may run are listed in filter files, which only root can change.
"""

from __future__ import annotations

import sys


def main() -> int | None:
    """Run the command on the command line, if the filters allow it.

    :returns: the exit status: 96 without oslo.rootwrap, else what that returns.
    """
    try:
        from oslo_rootwrap import cmd
    except ImportError:
        sys.stderr.write("glance-rootwrap needs the Python package oslo.rootwrap.\n")
        return 96
    status: int | None = cmd.main()
    return status
