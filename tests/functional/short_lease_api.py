"""The service with leases that run out within seconds, for tests in which workers die.

Nothing else differs.  As a program it is ``glance-api``, as a module it has the
``application`` for other servers.
"""

from __future__ import annotations

import sys

from glance_py import claims
from tests.functional.server import BEATS_OF_A_LEASE

claims.LEASE_TIMES = claims.LeaseTimes(heartbeat=0.4, timeout=BEATS_OF_A_LEASE * 0.4, scan=0.4)

if __name__ == "__main__":
    from glance_py.cmd.api import main

    sys.exit(main())
else:
    from glance_py.wsgi.api import application  # noqa: F401
