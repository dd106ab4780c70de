"""The service with leases that run out within seconds, for tests in which workers die.

Nothing else differs.  As a program it is ``glance-api``, as a module it has the
``application`` for other servers.
"""

from __future__ import annotations

import sys

from glance_py import claims, recovery

claims.HEARTBEAT_SECONDS, claims.LEASE_SECONDS, recovery.SCAN_SECONDS = 0.4, 2.0, 0.4

if __name__ == "__main__":
    from glance_py.cmd.api import main

    sys.exit(main())
else:
    from glance_py.wsgi.api import application  # noqa: F401
