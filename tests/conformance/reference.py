"""The original service beside ours, for tests that compare the two.

The environment variable ``GLANCE_REFERENCE_UP`` names a command that starts it:
it is given ``--work DIRECTORY --port N --db URL --flavor NAME --conf FILE`` and
leaves ``etc/glance-api.conf``, ``etc/paste.ini``, ``data/`` and ``pid`` in the
directory.  ``GLANCE_REFERENCE_VENV`` names a virtual environment that it may use, and
``GLANCE_REFERENCE_PYTHONPATH`` where filters lie that its paste file names.
Without the first such tests are skipped.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import unittest

from tests.waiting import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]


def command() -> list[str]:
    """The words that start the reference.

    :raises unittest.SkipTest: nobody said where it is.
    """
    path = os.environ.get("GLANCE_REFERENCE_UP")
    if not path:
        raise unittest.SkipTest("GLANCE_REFERENCE_UP does not name the command that starts it")
    venv = os.environ.get("GLANCE_REFERENCE_VENV")
    return [path, *(["--venv", venv] if venv else [])]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Installation:
    """One installation that the reference and this service take turns to run.

    :param directory: where configuration, data and logs lie.
    :param database: an SQLAlchemy URL.
    :param flavor: the pipeline of the paste file.
    :param options: configuration that is read last.
    """

    def __init__(self, directory: str, database: str, flavor: str, options: str) -> None:
        self.directory = pathlib.Path(directory)
        self.port = free_port()
        extra = self.directory / "extra.conf"
        extra.write_text(options)
        self._start = [
            *command(),
            "--work",
            directory,
            "--port",
            str(self.port),
            "--processes",
            "1",
            "--threads",
            "4",
            "--db",
            database,
            "--flavor",
            flavor,
            "--conf",
            str(extra),
        ]
        self._service_process: subprocess.Popen | None = None

    @property
    def etc(self) -> pathlib.Path:
        return self.directory / "etc"

    def start_reference(self) -> None:
        # Elsewhere than here, where it would find our packages beside its own.
        done = subprocess.run(
            self._start, cwd=self.directory, capture_output=True, text=True, timeout=600
        )
        if done.returncode:
            raise RuntimeError(
                f"the reference did not start: {done.stderr[-2000:]} {self.log()[-3000:]}"
            )

    def stop_reference(self) -> None:
        path = self.directory / "pid"
        if not path.exists():
            return
        pid = int(path.read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        path.unlink()
        self._wait_for_port(listening=False)

    def manage(self, *words: str) -> subprocess.CompletedProcess:
        """Our glance-manage with the installation's own configuration."""
        return subprocess.run(
            [sys.executable, "-m", "glance_py.cmd.manage", *words],
            env=self._environment(),
            capture_output=True,
            text=True,
        )

    def start_service(self) -> None:
        """With the files as they are; the server is told nothing but where to listen."""
        with open(self.directory / "service.log", "ab") as log:
            self._service_process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gunicorn",
                    "-c",
                    str(ROOT / "etc/gunicorn.conf.py"),
                    "-b",
                    f"127.0.0.1:{self.port}",
                    "-w",
                    "1",
                    "glance_py.wsgi.api:application",
                ],
                env=self._environment(),
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        self._wait_for_port(listening=True)

    def stop_service(self) -> None:
        if self._service_process is not None:
            self._service_process.terminate()
            self._service_process.wait(60)
            self._service_process = None

    def stop(self) -> None:
        self.stop_service()
        self.stop_reference()

    def log(self) -> str:
        return "".join(
            path.read_text(errors="replace")
            for path in (self.directory / "service.log", self.directory / "log" / "api.log")
            if path.exists()
        )

    def _environment(self) -> dict[str, str]:
        # Where the paste file's own filters are found, the reference's start command knows.
        extra = os.environ.get("GLANCE_REFERENCE_PYTHONPATH", "")
        return {
            **os.environ,
            "OS_GLANCE_CONFIG_DIR": str(self.etc),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), extra))),
        }

    def _wait_for_port(self, listening: bool) -> None:
        def is_so() -> bool:
            if (
                listening
                and self._service_process is not None
                and self._service_process.poll() is not None
            ):
                raise RuntimeError(self.log()[-4000:])
            with socket.socket() as sock:
                return (sock.connect_ex(("127.0.0.1", self.port)) == 0) is listening

        eventually(is_so, explain=lambda: self.log()[-4000:])
