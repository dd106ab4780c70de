"""Real servers in processes of their own, for tests of what shows only there.

The service's own command, and gunicorn and uWSGI with the settings in ``etc/``.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = {"X-Auth-Token": "u:p:member"}
OCTETS = "application/octet-stream"
MIB = 1 << 20

CONFIGURATION = """\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = {workers}
threads = 4
client_socket_timeout = {client_timeout}
enabled_backends = local:file
{options}
[glance_store]
default_backend = local
[local]
filesystem_store_datadir = {directory}/images
[os_glance_staging_store]
filesystem_store_datadir = {directory}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {directory}/tasks
[database]
connection = sqlite:///{directory}/glance.sqlite
[paste_deploy]
flavor = fakeauth
"""

#: Commands for a Python interpreter.
GLANCE_API = ["-m", "glance_py.cmd.api"]
GUNICORN = [
    "-m",
    "gunicorn",
    "-c",
    "{root}/etc/gunicorn.conf.py",
    "-b",
    "127.0.0.1:{port}",
    "-w",
    "{workers}",
    "glance_py.wsgi.api:application",
]
UWSGI = ["-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])", "--ini", "{uwsgi_ini}"]


class ServerProcess:
    """One server, on a port of its own.

    :param directory: where its configuration, database, data and log lie.
    :param command: one of the commands above.
    :param workers: how many processes serve.
    :param client_timeout: for how many seconds a client may be silent (glance-api).
    :param options: see :meth:`write_config`.
    :param short_leases: leases run out within seconds (see ``short_leases.py``).
    """

    def __init__(
        self,
        directory: str,
        command: list[str],
        workers: int = 1,
        client_timeout: int = 2,
        options: str = "",
        short_leases: bool = False,
    ) -> None:
        self.directory = pathlib.Path(directory)
        self.port = _free_port()
        self._workers, self._client_timeout = workers, client_timeout
        uwsgi_ini = self.directory / "uwsgi.ini"
        uwsgi_ini.write_text(_uwsgi_ini(self.port, workers))
        self._command = [
            sys.executable,
            *(
                part.format(port=self.port, root=ROOT, uwsgi_ini=uwsgi_ini, workers=workers)
                for part in command
            ),
        ]
        if short_leases:
            uwsgi_ini.write_text(_with_short_leases(uwsgi_ini.read_text()))
            self._command = [_with_short_leases(part) for part in self._command]
        self._environment = {
            **os.environ,
            "OS_GLANCE_CONFIG_DIR": directory,
            "PYTHONPATH": str(ROOT),
        }
        self.write_config(options)
        subprocess.run(
            [sys.executable, "-m", "glance_py.cmd.manage", "db", "sync"],
            env=self._environment,
            check=True,
            capture_output=True,
        )
        self.start()

    def start(self) -> None:
        """Start it, at first or again; returns when it takes connections."""
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, cwd=self.directory
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.connect().close()
                return
            time.sleep(0.05)
        raise RuntimeError(self.log())

    def write_config(self, options: str = "") -> None:
        """Write the configuration file, with ``options`` in DEFAULT or sections of their own."""
        for name in ("images", "staging", "tasks"):
            (self.directory / name).mkdir(exist_ok=True)
        (self.directory / "glance-api.conf").write_text(
            CONFIGURATION.format(
                port=self.port,
                directory=self.directory,
                options=options,
                workers=self._workers,
                client_timeout=self._client_timeout,
            )
        )

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def files(self) -> list[str]:
        """What lies in the store, hidden files too."""
        return sorted(path.name for path in (self.directory / "images").iterdir())

    def workers(self) -> list[int]:
        """The processes that serve, by their ids."""
        own = self.process.pid
        children = pathlib.Path(f"/proc/{own}/task/{own}/children").read_text()
        return [int(child) for child in children.split()]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, method: str, path: str, body=None, **headers: str) -> tuple[int, bytes]:
        """One request; status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(
                method,
                path,
                body,
                {**TOKEN, **{n.replace("_", "-"): v for n, v in headers.items()}},
                encode_chunked=headers.get("Transfer_Encoding") == "chunked",
            )
            answer = connection.getresponse()
            return answer.status, answer.read()

    def create(self) -> str:
        status, body = self.ask(
            "POST",
            "/v2/images",
            json.dumps({"disk_format": "raw", "container_format": "bare"}),
            Content_Type="application/json",
        )
        if status != 201:
            raise RuntimeError(f"{status} {body!r} {self.log()}")
        return json.loads(body)["id"]

    def show(self, image_id: str) -> dict:
        return json.loads(self.ask("GET", f"/v2/images/{image_id}")[1])

    def upload(self, image_id: str, body: Iterator[bytes], size: int | None = None) -> int:
        """Send data, in the chunks that ``body`` yields unless ``size`` is told; the status."""
        framing = (
            {"Transfer_Encoding": "chunked"} if size is None else {"Content_Length": str(size)}
        )
        return self.ask("PUT", f"/v2/images/{image_id}/file", body, Content_Type=OCTETS, **framing)[
            0
        ]

    def download(self, image_id: str) -> bytes:
        return self.ask("GET", f"/v2/images/{image_id}/file")[1]

    def start_upload(self, image_id: str, framing: str, data: bytes) -> socket.socket:
        """A connection on which an upload has begun."""
        sock = self.connect()
        sock.sendall(
            f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\n"
            f"X-Auth-Token: {TOKEN['X-Auth-Token']}\r\n"
            f"Content-Type: {OCTETS}\r\n{framing}\r\n\r\n".encode()
            + data
        )
        return sock

    def wait(self, image_id: str, *statuses: str) -> str:
        """The image's status, as soon as it is one of ``statuses`` or ten seconds have passed."""
        return wait_until(lambda: self.show(image_id)["status"], lambda status: status in statuses)

    def wait_for_log(self, words: str) -> str:
        """The log, as soon as ``words`` stand in it or ten seconds have passed."""
        return wait_until(self.log, lambda log: words in log)

    def end(self) -> int:
        """Stop it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        """What a power cut does: all processes end at once."""
        processes = [self.process.pid, *self.workers()]
        for process in processes:
            os.kill(process, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(OSError):
            while True:  # the last of them takes connections until it is quite dead
                self.connect().close()
                time.sleep(0.01)


class ServerCase(unittest.TestCase):
    """Starts ``command`` with ``settings`` for each test."""

    command: list[str]
    settings: dict = {}

    def setUp(self) -> None:
        if self.command is UWSGI and importlib.util.find_spec("pyuwsgi") is None:
            if os.environ.get("GLANCE_TEST_REQUIRE_SERVICES") == "1":
                self.fail("pyuwsgi is not installed")
            self.skipTest("pyuwsgi is not installed")
        directory = tempfile.TemporaryDirectory(prefix="glance-")
        self.addCleanup(directory.cleanup)
        self.server = ServerProcess(directory.name, self.command, **self.settings)
        self.addCleanup(self.server.end)


def wait_until(get: Callable, is_good: Callable, seconds: float = 10):
    """What ``look()`` returns, as soon as that is ``good`` or the time is over."""
    deadline = time.monotonic() + seconds
    while not is_good(found := get()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def chunks(number: int, size: int) -> Iterator[bytes]:
    for n in range(number):
        yield bytes([n % 256]) * size


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _uwsgi_ini(port: int, workers: int) -> str:
    ini = (ROOT / "etc/uwsgi.ini").read_text()
    ini = re.sub("^http-socket = .*$", f"http-socket = 127.0.0.1:{port}", ini, flags=re.M)
    return re.sub("^processes = .*$", f"processes = {workers}", ini, flags=re.M)


def _with_short_leases(text: str) -> str:
    return re.sub(r"glance_py\.(wsgi|cmd)\.api", "tests.functional.short_lease_api", text)
