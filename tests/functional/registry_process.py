"""A glance-registry in a process of its own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys

from tests.functional.server import ROOT
from tests.waiting import eventually

CONFIGURATION = """\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = 1
threads = 8
[database]
connection = sqlite:///{directory}/glance.sqlite
[paste_deploy]
flavor = fakeauth
"""


class RegistryProcess:
    """A glance-registry over the database in ``directory``."""

    def __init__(self, directory: str) -> None:
        self._directory = pathlib.Path(directory)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self._directory / "glance-registry.conf").write_text(
            CONFIGURATION.format(port=self.port, directory=directory)
        )

    def start(self) -> None:
        """Start it, at first or again; returns when it takes connections."""
        with open(self._directory / "registry.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "glance_py.cmd.registry"],
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "OS_GLANCE_CONFIG_DIR": str(self._directory),
                    "PYTHONPATH": str(ROOT),
                },
                start_new_session=True,
            )
        eventually(self._listens)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        return False

    def kill(self) -> None:
        """End it and its workers at once, in the middle of whatever they do."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
