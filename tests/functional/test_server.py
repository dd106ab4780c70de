"""The service under real servers: what only shows between sockets and processes.

Each server must take chunks of several MiB and bodies of unknown length, must
not take a body that broke off for a whole one, and must send a part of a file.
Of the service's own command also: stalled clients, stopping, reloading.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = {"X-Auth-Token": "u:p:member"}
MIB = 1 << 20

CONFIGURATION = """\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = 1
threads = 4
client_socket_timeout = 2
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


class Process:
    """One server in a process of its own, on a port of its own."""

    def __init__(self, directory: str, command: list[str]) -> None:
        self.directory = pathlib.Path(directory)
        self.port = _free_port()
        self.write()
        environment = {**os.environ, "OS_GLANCE_CONFIG_DIR": directory, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-m", "glance_py.cmd.manage", "db", "sync"],
                       env=environment, check=True, capture_output=True)
        uwsgi_ini = self.directory / "uwsgi.ini"
        uwsgi_ini.write_text((ROOT / "etc/uwsgi.ini").read_text().replace(
            "0.0.0.0:9292", f"127.0.0.1:{self.port}").replace("processes = 4", "processes = 1"))
        command = [part.format(port=self.port, root=ROOT, uwsgi_ini=uwsgi_ini) for part in command]
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen([sys.executable, *command], env=environment,
                                            stdout=log, stderr=log, cwd=directory)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.connect().close()
                return
            time.sleep(0.05)
        raise RuntimeError(self.log())

    def write(self, options: str = "") -> None:
        """Write the configuration file, with ``options`` in DEFAULT."""
        for name in ("images", "staging", "tasks"):
            (self.directory / name).mkdir(exist_ok=True)
        (self.directory / "glance-api.conf").write_text(CONFIGURATION.format(
            port=self.port, directory=self.directory, options=options))

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, method: str, path: str, body=None, **headers: str) -> tuple[int, bytes]:
        """One request; status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body,
                               {**TOKEN, **{n.replace("_", "-"): v for n, v in headers.items()}},
                               encode_chunked=headers.get("Transfer_Encoding") == "chunked")
            answer = connection.getresponse()
            return answer.status, answer.read()

    def create(self) -> str:
        status, body = self.ask("POST", "/v2/images", json.dumps(
            {"disk_format": "raw", "container_format": "bare"}), Content_Type="application/json")
        if status != 201:
            raise RuntimeError(f"{status} {body!r} {self.log()}")
        return json.loads(body)["id"]

    def show(self, image_id: str) -> dict:
        return json.loads(self.ask("GET", f"/v2/images/{image_id}")[1])

    def begin_upload(self, image_id: str, framing: str, data: bytes) -> socket.socket:
        """A connection on which an upload has begun."""
        sock = self.connect()
        sock.sendall(f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\n"
                     f"X-Auth-Token: {TOKEN['X-Auth-Token']}\r\n"
                     f"Content-Type: application/octet-stream\r\n{framing}\r\n\r\n".encode() + data)
        return sock

    def wait(self, image_id: str, *statuses: str) -> str:
        """The image's status, as soon as it is one of ``statuses`` or ten seconds have passed."""
        deadline = time.monotonic() + 10
        while (now := self.show(image_id)["status"]) not in statuses:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return now

    def wait_for_log(self, words: str) -> str:
        """The log, as soon as ``words`` stand in it or eight seconds have passed."""
        deadline = time.monotonic() + 8
        while words not in (log := self.log()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return log

    def end(self) -> int:
        """Stop it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


GLANCE_API = ["-m", "glance_py.cmd.api"]
GUNICORN = ["-m", "gunicorn", "-c", "{root}/etc/gunicorn.conf.py", "-b", "127.0.0.1:{port}",
            "-w", "1"]
UWSGI = ["-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])", "--ini", "{uwsgi_ini}"]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def pieces(number: int, size: int) -> Iterator[bytes]:
    for n in range(number):
        yield bytes([n % 256]) * size


class ServerCase(unittest.TestCase):
    """Starts ``command`` once for the class."""

    command: list[str]

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="glance-")
        self.addCleanup(directory.cleanup)
        self.server = Process(directory.name, self.command)
        self.addCleanup(self.server.end)


class Bodies:
    """What every server must do."""

    def test_bodies(self) -> None:
        """Large chunks, a known length, and a part of the data back."""
        whole = b"".join(pieces(4, 4 * MIB))
        for framing in ({"Transfer_Encoding": "chunked"}, {"Content_Length": str(len(whole))}):
            image_id = self.server.create()
            status, body = self.server.ask(
                "PUT", f"/v2/images/{image_id}/file", pieces(4, 4 * MIB),
                Content_Type="application/octet-stream", **framing)
            self.assertEqual((204, b""), (status, body), self.server.log())
            self.assertEqual(len(whole), self.server.show(image_id)["size"])
            path = f"/v2/images/{image_id}/file"
            self.assertEqual((200, whole), self.server.ask("GET", path))
            self.assertEqual((206, whole[4 * MIB - 2:4 * MIB + 2]), self.server.ask(
                "GET", path, Range=f"bytes={4 * MIB - 2}-{4 * MIB + 1}"))

    def test_broken_off(self) -> None:
        """A body without its end never becomes an image."""
        for framing, data in (("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
                              ("Transfer-Encoding: chunked", b"ff\r\nhello"),
                              ("Content-Length: 100", b"hello")):
            image_id = self.server.create()
            self.server.begin_upload(image_id, framing, data).close()
            time.sleep(0.3)
            self.assertEqual("queued", self.server.wait(image_id, "queued"))
        self.assertEqual([], list((self.server.directory / "images").iterdir()))


class GlanceApiTest(Bodies, ServerCase):
    command = GLANCE_API

    def test_stalled_clients(self) -> None:
        """As many stalled uploads as threads: they lose their connections, others are served."""
        ids = [self.server.create() for _ in range(4)]
        stalled = [self.server.begin_upload(image_id, "Content-Length: 100", b"hello")
                   for image_id in ids]
        self.addCleanup(lambda: [sock.close() for sock in stalled])
        start = time.monotonic()
        self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])
        for image_id in ids:
            self.assertEqual("queued", self.server.wait(image_id, "queued"))
        for sock in stalled:
            self.assertIn(b"400 Bad Request", sock.recv(100))
        self.assertLess(time.monotonic() - start, 8)

    def test_stalled_download(self) -> None:
        """A client that takes nothing loses its connection; its thread serves others."""
        image_id = self.server.create()
        self.assertEqual(204, self.server.ask(
            "PUT", f"/v2/images/{image_id}/file", pieces(16, 4 * MIB),
            Content_Type="application/octet-stream", Transfer_Encoding="chunked")[0])
        for _ in range(4):
            sock = self.server.connect()
            self.addCleanup(sock.close)
            sock.sendall(f"GET /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\n"
                         f"X-Auth-Token: {TOKEN['X-Auth-Token']}\r\n\r\n".encode())
        time.sleep(0.5)
        self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])

    def test_silent_connections(self) -> None:
        """Connections that say nothing, or that do not close, keep nobody waiting."""
        for words in (b"", b"GET /healthcheck HTTP/1.0\r\n\r\n"):
            for _ in range(8):
                sock = self.server.connect()
                self.addCleanup(sock.close)
                sock.sendall(words)
            start = time.monotonic()
            self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])
            self.assertLess(time.monotonic() - start, 5)

    def test_stop(self) -> None:
        """SIGTERM lets an upload finish."""
        image_id = self.server.create()
        sock = self.server.begin_upload(image_id, "Content-Length: 10", b"hello")
        self.server.wait(image_id, "saving")
        self.server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        sock.sendall(b"world")
        self.assertIn(b"204 No Content", sock.recv(100))
        sock.close()
        self.assertEqual(0, self.server.end())

    def test_reload(self) -> None:
        """SIGHUP takes a new configuration; a wrong one leaves the old one in use."""
        def versions() -> int:
            return len(json.loads(self.server.ask("GET", "/versions")[1])["versions"])

        def changes(before: int) -> bool:
            deadline = time.monotonic() + 8
            while versions() == before and time.monotonic() < deadline:
                time.sleep(0.1)
            return versions() != before

        before = versions()
        self.server.write("image_size_cap = none")
        self.server.process.send_signal(signal.SIGHUP)
        self.assertIn("image_size_cap", self.server.wait_for_log("the old one stays"))
        self.assertEqual(before, versions())
        self.server.write(f"image_cache_dir = {self.server.directory}/cache")
        self.server.process.send_signal(signal.SIGHUP)
        self.assertTrue(changes(before), self.server.log())

    def test_request_line(self) -> None:
        """Each request leaves a line with its id."""
        self.server.ask("GET", "/v2/images", X_Openstack_Request_Id="req-known")
        line = '"GET /v2/images" status: 200'
        log = self.server.wait_for_log(line)
        self.assertIn(line, log)
        self.assertIn("req-known", log)


class GunicornTest(Bodies, ServerCase):
    command = GUNICORN


class UwsgiTest(Bodies, ServerCase):
    command = UWSGI

    def setUp(self) -> None:
        try:
            import pyuwsgi  # noqa: F401
        except ImportError:
            self.skipTest("pyuwsgi is not installed")
        super().setUp()
