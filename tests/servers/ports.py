"""Ports of loopback for servers that tests start, and waiting for them."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess

from tests.waiting import eventually

#: Of prctl(2): the signal that a process gets when its parent dies.
PR_SET_PDEATHSIG = 1


def free(number: int) -> list[int]:
    """Ports on which nobody listens at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait(port: int, process: subprocess.Popen, log: pathlib.Path) -> None:
    """Wait until ``process`` takes connections.

    :raises RuntimeError: it ended.
    :raises AssertionError: it takes too long.
    """

    def is_up() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} did not start:\n{last_words()}")
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True

    def last_words() -> str:
        return log.read_text(errors="replace")[-2000:]

    eventually(is_up, ignore=(OSError,), explain=last_words)


def start(command: list[str], log: pathlib.Path, **environment: str) -> subprocess.Popen:
    """Start a server that ends when this process ends, however that ends."""
    with open(log, "ab") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            env={**os.environ, **environment},
            preexec_fn=_terminate_with_parent,
        )
    atexit.register(end, process)
    return process


def _terminate_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process: subprocess.Popen) -> None:
    """End a server."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
