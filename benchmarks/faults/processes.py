"""API hosts and registries as processes that can be killed, stopped and set to another time."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from tests.servers import ports

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Seconds that a service may take to start on a busy machine.
START_SECONDS = 90


class Service:
    """A service of one host: a process group with a port of loopback.

    :param module: what Python runs.
    :param directory: with its configuration and its log.
    :param has_clock: has it a clock of its own, which can be set?
    """

    def __init__(self, module: str, directory: pathlib.Path, has_clock: bool = False) -> None:
        self.name = directory.name
        self.directory = directory
        [self.port] = ports.free(1)
        self._command = [sys.executable, "-m", module]
        self._clock = directory / "clock"
        self._environment = {
            **os.environ,
            "OS_GLANCE_CONFIG_DIR": str(directory),
            "PYTHONPATH": str(ROOT),
            "PYTHONFAULTHANDLER": "1",
        }
        self.has_clock = has_clock
        if has_clock:
            self.set_clock(0)
            self._command[2:2] = ["benchmarks.faults.wrong_clock", str(self._clock)]
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        #: Shall it run?  When it ends by itself meanwhile, ``restart_if_ended`` starts it again.
        self.should_run = False
        self.stopped = False
        self.restarts = 0

    def write(self, configuration: str, name: str) -> None:
        """Write its configuration file."""
        (self.directory / name).write_text(configuration)

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Start it, at first or again; returns when it takes connections.

        :raises RuntimeError: it ended, or takes too long.
        """
        with self._lock:
            self.should_run = True
            self._spawn()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.is_running():
            if self.accepts_connections():
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} did not start:\n{self.log()[-3000:]}")

    def restart_if_ended(self) -> None:
        """What a supervisor does: start it again when it ended by itself."""
        with self._lock:
            if self.should_run and not self.is_running():
                self.restarts += 1
                self._spawn()

    def kill(self) -> None:
        """All its processes end at once, as in a power cut."""
        with self._lock:
            self.should_run = False
            self.stopped = False
            self._signal(signal.SIGKILL)
            if self._process is not None:
                self._process.wait()

    def end(self) -> None:
        """End it in order, or else at once."""
        with self._lock:
            self.should_run = False
            self._signal(signal.SIGCONT)
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(10)
        self.kill()

    def stop(self, on: bool) -> None:
        """All its processes stand still (SIGSTOP), or go on."""
        with self._lock:
            self.stopped = on and self.is_running()
            self._signal(signal.SIGSTOP if on else signal.SIGCONT)

    def dump_stacks(self) -> None:
        """Let its workers write the stacks of all their threads into the log, and die."""
        for worker in self.workers():
            with contextlib.suppress(ProcessLookupError):
                # Gunicorn has a handler for SIGABRT.
                os.kill(worker, signal.SIGSEGV)

    def set_clock(self, offset: float) -> None:
        """Set its clock, in seconds from the true time."""
        partial = self._clock.with_suffix(".new")
        partial.write_text(f"{offset:+.0f}\n")
        partial.rename(self._clock)

    # ------------------------------------------------------------ looks

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def accepts_connections(self) -> bool:
        """Does it take connections?"""
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
            return True
        return False

    def processes(self) -> list[int]:
        """The ids of its master and its workers."""
        return [] if self._process is None else [self._process.pid, *self.workers()]

    def workers(self) -> list[int]:
        """The ids of the processes that serve."""
        with contextlib.suppress(OSError):
            master = self._process.pid if self._process is not None else 0
            children = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text()
            return [int(child) for child in children.split()]
        return []

    def log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / "log").read_text(errors="replace")
        return ""

    def lines_about(self, text: str) -> Iterator[str]:
        """Lines of its log with a text in them."""
        with contextlib.suppress(OSError), open(self.directory / "log", errors="replace") as log:
            for line in log:
                if text in line:
                    yield line.rstrip("\n")

    # ------------------------------------------------------------ steps

    def _spawn(self) -> None:
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.directory,
                start_new_session=True,
            )

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def run_manage(
    directory: pathlib.Path,
    *words: str,
    seconds: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Run glance-manage with the configuration of a directory."""
    return subprocess.run(
        [sys.executable, "-m", "glance_py.cmd.manage", *words],
        text=True,
        capture_output=True,
        env={**os.environ, "OS_GLANCE_CONFIG_DIR": str(directory), "PYTHONPATH": str(ROOT)},
        timeout=seconds,
    )
