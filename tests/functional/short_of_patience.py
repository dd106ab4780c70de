"""The service that waits less long for stores that fail, for tests of what comes after that."""

from __future__ import annotations

import functools
import sys

from glance_py.cmd import api
from glance_store_py import breaker, guard
from glance_store_py.drivers import remote

#: Seconds for which a store that is overloaded is asked again.
remote.PATIENCE = 5.0
#: Seconds until a store that counts as away is tried again.
guard.Breaker = functools.partial(breaker.Breaker, pause=3.0)

if __name__ == "__main__":
    sys.exit(api.main())
