"""The service with leases that run out within seconds, for tests in which workers die.

Nothing else differs.  As a program it is ``glance-api``, as a module it has the
``application`` for other servers.
"""

from __future__ import annotations

import sys

from glance_py import claims, recovery
from tests.functional.server import BEATS_OF_A_LEASE

claims.HEARTBEAT_SECONDS = recovery.SCAN_SECONDS = 0.4
claims.LEASE_SECONDS = BEATS_OF_A_LEASE * claims.HEARTBEAT_SECONDS

if __name__ == "__main__":
    from glance_py.cmd.api import main

    sys.exit(main())
else:
    from glance_py.wsgi.api import application  # noqa: F401
