"""The service with workers that take a second before they have handlers for signals."""

from __future__ import annotations

import sys
import time

from glance_py.cmd import api, server


class Slow(server.Worker):
    def init_process(self) -> None:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:  # A signal ends a sleep.
            time.sleep(0.05)
        super().init_process()


if __name__ == "__main__":
    server.Worker = Slow
    sys.exit(api.main())
