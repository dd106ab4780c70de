"""The service with shorter pauses for stores that fail, for tests of what comes after them."""

from __future__ import annotations

import sys

from glance_py.cmd import api
from glance_store_py import guard
from glance_store_py.drivers import remote

#: Seconds for which a store that is overloaded is asked again.
remote.RETRY_LATER_SECONDS = 5.0
#: Seconds for which a store that does not answer is not called.
guard.BREAKER_SECONDS = 3.0

if __name__ == "__main__":
    sys.exit(api.main())
