"""The service with workers that begin when they are told to stop, before they have handlers."""

from __future__ import annotations

import signal
import sys

from glance_py.cmd import api, server
from tests.waiting import eventually


class Slow(server.Worker):
    def init_process(self) -> None:
        eventually(lambda: signal.SIGTERM in signal.sigpending())
        super().init_process()


if __name__ == "__main__":
    server.Worker = Slow
    sys.exit(api.main())
