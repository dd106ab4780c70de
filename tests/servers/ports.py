"""Ports of loopback for servers that tests start, and waiting for them."""

from __future__ import annotations

import atexit
import contextlib
import pathlib
import socket
import subprocess
import time

#: Seconds that a server may take to start.
PATIENCE = 60


def free(number: int) -> list[int]:
    """Ports on which nobody listens at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait(port: int, process: subprocess.Popen, log: pathlib.Path) -> None:
    """Wait until ``process`` takes connections.

    :raises RuntimeError: it ended, or it takes too long.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} did not start:\n{log.read_text(errors='replace')[-2000:]}")


def end_with_us(process: subprocess.Popen) -> None:
    """End a server when this process ends."""
    atexit.register(end, process)


def end(process: subprocess.Popen) -> None:
    """End a server."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
