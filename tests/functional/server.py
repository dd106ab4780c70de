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
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator

from tests import config
from tests.waiting import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = {"X-Auth-Token": "u:p:member"}
OCTETS = "application/octet-stream"
MIB = 1 << 20

#: Name of the file store -> its directory.
STORES = {"local": "images"}
LISTENING = """\
bind_host = 127.0.0.1
bind_port = {port}
workers = {workers}
threads = 4
client_socket_timeout = {client_timeout}
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


#: How often a worker of ``short_leases.py`` renews its claim in the time of a lease.
BEATS_OF_A_LEASE = 5


class ServerProcess:
    """One server, on a port of its own.

    :param directory: where its configuration, database, data and log lie.
    :param command: one of the commands above.
    :param workers: how many processes serve.
    :param client_timeout: for how many seconds a client may be silent (glance-api).
    :param options: see :meth:`write_config`.
    :param short_leases: leases run out within seconds (see ``short_leases.py``).
    :param start: start it at once; else the test does.
    """

    process: subprocess.Popen | None = None

    def __init__(
        self,
        directory: str,
        command: list[str],
        workers: int = 1,
        client_timeout: int = 2,
        options: str = "",
        short_leases: bool = False,
        start: bool = True,
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
        self.make_database()
        if start:
            self.start()

    def start(self) -> None:
        """Start it, at first or again; returns when it takes connections."""
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, cwd=self.directory
            )
        eventually(self._is_up, ignore=(OSError,), explain=self.log)

    def _is_up(self) -> bool:
        """Does it take connections?

        :raises RuntimeError: it has ended.
        """
        if self.process.poll() is not None:
            raise RuntimeError(self.log())
        self.connect().close()
        return True

    def write_config(self, options: str = "") -> None:
        """Write the configuration file, with ``options`` in DEFAULT or sections of their own."""
        config.make_directories(self.directory, STORES)
        listening = LISTENING.format(
            port=self.port, workers=self._workers, client_timeout=self._client_timeout
        )
        (self.directory / "glance-api.conf").write_text(
            config.text(self.directory, STORES, listening + options)
        )

    def make_database(self) -> None:
        config.make_database(self.directory)

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
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def is_refused(self) -> bool:
        """Is a connection refused?"""
        try:
            self.connect().close()
        except OSError:
            return True
        return False

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
        """The image's status, as soon as it is one of ``statuses``."""
        return eventually(
            lambda: self.show(image_id)["status"],
            lambda status: status in statuses,
            explain=self.log,
        )

    def wait_for_log(self, words: str) -> str:
        """The log, as soon as ``words`` stand in it."""
        return eventually(self.log, lambda log: words in log)

    def outlive_lease(self, image_id: str) -> None:
        """Wait until the lease on an image, of an short_leases server, would have run out twice."""
        beats = self._beats(image_id)
        eventually(lambda: self._beats(image_id) >= beats + 2 * BEATS_OF_A_LEASE)

    def _beats(self, image_id: str) -> int:
        """How often the holder of the claim on an image has renewed it."""
        with contextlib.closing(sqlite3.connect(self.directory / "glance.sqlite")) as database:
            [(beats,)] = database.execute(
                "SELECT beats FROM image_claims WHERE image_id = ?", (image_id,)
            )
        return beats

    def end(self) -> int | None:
        """Stop it and return its exit code; None: it was never started."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        """What a power cut does: all processes end at once."""
        processes = [self.process.pid, *self.workers()]
        for process in processes:
            os.kill(process, signal.SIGKILL)
        self.process.wait()
        # The last of them takes connections until it is quite dead.
        eventually(self.is_refused)


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
