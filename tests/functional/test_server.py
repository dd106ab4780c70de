"""What every server must do with the service, and its own command besides.

Each server must take chunks of several MiB and bodies of unknown length, must
not take a body that broke off for a whole one, must send a part of a file, and
must let an upload finish when it is stopped.  Of the service's own command
also: stalled clients, reloading, many writers at once.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import Iterator

from tests import config
from tests.functional.client import PATCH
from tests.functional.server import (
    GLANCE_API,
    GUNICORN,
    MIB,
    ROOT,
    STORES,
    TOKEN,
    UWSGI,
    ServerCase,
    ServerProcess,
    chunks,
)
from tests.waiting import eventually

__all__ = ["GLANCE_API", "ServerProcess"]

#: How many clients transfer data at the same time, and how much.
CLIENTS = 8
SIZE = 9 * MIB + 17


class ServerCases:
    """What every server must do."""

    def test_bodies(self) -> None:
        """Large chunks, a known length, and a part of the data back."""
        whole = b"".join(chunks(4, 4 * MIB))
        for size in (None, len(whole)):
            image_id = self.server.create()
            self.assertEqual(
                204, self.server.upload(image_id, chunks(4, 4 * MIB), size), self.server.log()
            )
            self.assertEqual(len(whole), self.server.show(image_id)["size"])
            self.assertEqual(whole, self.server.download(image_id))
            self.assertEqual(
                (206, whole[4 * MIB - 2 : 4 * MIB + 2]),
                self.server.ask(
                    "GET", f"/v2/images/{image_id}/file", Range=f"bytes={4 * MIB - 2}-{4 * MIB + 1}"
                ),
            )

    def test_broken_off(self) -> None:
        """A body without its end never becomes an image, and leaves no file."""
        for framing, data in (
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
            ("Transfer-Encoding: chunked", b"ff\r\nhello"),
            ("Content-Length: 100", b"hello"),
            ("Content-Length: 100", b""),
        ):
            image_id = self.server.create()
            with self.server.start_upload(image_id, framing, data):
                self.assertEqual("saving", self.server.wait(image_id, "saving"))
            self.assertEqual("queued", self.server.wait(image_id, "queued"))
            self.assertEqual([], self.server.files())

    def test_many_at_once(self) -> None:
        """Eight uploads, then eight uploads beside eight downloads: every byte arrives."""
        with concurrent.futures.ThreadPoolExecutor(2 * CLIENTS) as pool:
            first = dict(pool.map(self.put, range(CLIENTS)))
            second = pool.map(self.put, range(CLIENTS, 2 * CLIENTS))
            self.assertEqual(first, dict(pool.map(self.fetch, first)))
            second = dict(second)
            self.assertEqual(second, dict(pool.map(self.fetch, second)))
        self.assertEqual(sorted({**first, **second}), self.server.files())

    def put(self, number: int) -> tuple[str, str]:
        """Upload with a length (even numbers) or in chunks of 4 MiB; the image and its SHA-512."""
        data = random.Random(number).randbytes(SIZE)
        image_id = self.server.create()
        status = self.server.upload(
            image_id, _chunks(data, 4 * MIB), size=None if number % 2 else SIZE
        )
        self.assertEqual(204, status, self.server.log())
        return image_id, hashlib.sha512(data).hexdigest()

    def fetch(self, image_id: str) -> tuple[str, str]:
        """Download; the image and the SHA-512 of its data, which is also what is recorded."""
        digest = hashlib.sha512(self.server.download(image_id)).hexdigest()
        self.assertEqual(digest, self.server.show(image_id)["os_hash_value"])
        return image_id, digest

    def test_stop(self) -> None:
        """SIGTERM lets an upload finish; then the server is gone, without an error."""
        image_id = self.server.create()
        with self.server.start_upload(image_id, "Content-Length: 10", b"hello") as sock:
            self.assertEqual("saving", self.server.wait(image_id, "saving"))
            self.server.process.send_signal(signal.SIGTERM)
            self.wait_for_the_signal()
            sock.sendall(b"world")
            self.assertIn(b" 204 No Content", sock.recv(100))
        self.assertEqual(0, self.server.process.wait(60))
        self.server.start()
        self.assertEqual(b"helloworld", self.server.download(image_id))

    def wait_for_the_signal(self) -> None:
        """Wait until the server has begun to stop."""
        eventually(self.server.is_refused)


class SlowBootTest(ServerCase):
    command = ["-m", "tests.functional.slow_to_boot"]
    settings = {"options": "graceful_shutdown_timeout = 600"}

    def test_a_stop_while_workers_start(self) -> None:
        """Nobody waits for a worker that has not heard of it."""
        self.server.process.send_signal(signal.SIGTERM)
        # Without it this takes the time-out.
        self.assertEqual(0, self.server.process.wait(120))


class GlanceApiTest(ServerCases, ServerCase):
    command = GLANCE_API

    def test_stalled_clients(self) -> None:
        """As many stalled uploads as threads: they lose their connections, others are served."""
        ids = [self.server.create() for _ in range(4)]
        stalled = [
            self.server.start_upload(image_id, "Content-Length: 100", b"hello") for image_id in ids
        ]
        self.addCleanup(lambda: [sock.close() for sock in stalled])
        self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])
        for image_id in ids:
            self.assertEqual("queued", self.server.wait(image_id, "queued"))
        for sock in stalled:
            self.assertIn(b"400 Bad Request", sock.recv(100))

    def test_stalled_download(self) -> None:
        """A client that takes nothing loses its connection; its thread serves others."""
        image_id = self.server.create()
        self.assertEqual(204, self.server.upload(image_id, chunks(16, 4 * MIB)))
        for _ in range(4):
            sock = self.server.connect()
            self.addCleanup(sock.close)
            sock.sendall(
                f"GET /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\n"
                f"X-Auth-Token: {TOKEN['X-Auth-Token']}\r\n\r\n".encode()
            )
            self.assertTrue(sock.recv(1))  # A thread has begun to send.
        self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])

    def test_silent_connections(self) -> None:
        """Connections that say nothing, or that do not close, keep nobody waiting."""
        for words in (b"", b"GET /healthcheck HTTP/1.0\r\n\r\n"):
            for _ in range(8):
                sock = self.server.connect()
                self.addCleanup(sock.close)
                sock.sendall(words)
            # With all threads kept waiting the answer would not come in the client's 60 seconds.
            self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])

    def test_heads_that_come_byte_by_byte(self) -> None:
        """Unfinished heads occupy no thread, however many there are and however they come."""
        head = (
            b"GET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: "
            + b"x" * 9000
            + b"\r\n\r\n"
        )
        slow = [self.server.connect() for _ in range(40)]
        self.addCleanup(lambda: [sock.close() for sock in slow])
        sent = [0] * len(slow)
        stop = threading.Event()

        def send(number: int, end: int) -> None:
            slow[number].sendall(head[sent[number] : end])
            sent[number] = end

        def drip() -> None:
            for number in range(0, len(slow), 2):
                send(number, 8500)  # longer than what gunicorn reads at once
            while not stop.wait(0.05):
                for number, place in enumerate(sent):
                    send(number, place + 1)

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            for _ in range(20):
                self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])
        finally:
            stop.set()
            dripping.join()
        # Nobody was served because a slow head was given up: all of them are still there.
        for number, sock in enumerate(slow):
            send(number, len(head))
            self.assertIn(b"200 OK", sock.recv(1000))
            sock.close()

    def test_heads_that_are_broken_off(self) -> None:
        for words in (b"GET / HT", b"GET /healthcheck HTTP/1.1\r\nX: " + b"x" * 100_000):
            with self.server.connect() as sock:
                sock.sendall(words)
                sock.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    self.assertNotIn(b"200 OK", sock.recv(1000))

    def test_reload(self) -> None:
        """SIGHUP takes a new configuration; a wrong one leaves the old one in use."""

        def versions() -> int:
            return len(json.loads(self.server.ask("GET", "/versions")[1])["versions"])

        before = versions()
        self.server.write_config("image_size_cap = none")
        self.server.process.send_signal(signal.SIGHUP)
        self.assertIn("image_size_cap", self.server.wait_for_log("the old one stays"))
        self.assertEqual(before, versions())
        self.server.write_config(f"image_cache_dir = {self.server.directory}/cache")
        self.server.process.send_signal(signal.SIGHUP)
        eventually(versions, lambda found: found != before, explain=self.server.log)

    def test_request_line(self) -> None:
        """Each request leaves a line with its id."""
        self.server.ask("GET", "/v2/images", X_Openstack_Request_Id="req-known")
        line = '"GET /v2/images" status: 200'
        log = self.server.wait_for_log(line)
        self.assertIn(line, log)
        self.assertIn("req-known", log)


class GunicornTest(ServerCases, ServerCase):
    command = GUNICORN


class UwsgiTest(ServerCases, ServerCase):
    command = UWSGI

    def wait_for_the_signal(self) -> None:
        """The master listens until its workers have ended, but says what it does."""
        self.server.wait_for_log("racefully killing worker")


class WritersTest(ServerCase):
    """SQLite takes one writer at a time; nobody is to notice."""

    command = GLANCE_API
    settings = {"workers": 2, "client_timeout": 60}

    def test_many_writers(self) -> None:
        """Sixteen clients create, change and delete, in two processes: nothing is refused."""
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = [answer for each in pool.map(self.work, range(16)) for answer in each]
        self.assertEqual([201, 200, 204] * 5 * 16, answers)

    def work(self, client: int) -> list[int]:
        answers = []
        for turn in range(5):
            tags = [f"{client}-{turn}-{n}" for n in range(5)]
            status, body = self.server.ask(
                "POST",
                "/v2/images",
                json.dumps({"name": "n", "tags": tags, **{f"p{n}": "v" for n in range(20)}}),
                Content_Type="application/json",
            )
            answers.append(status)
            path = f"/v2/images/{json.loads(body)['id']}"
            operations = [
                {"op": "replace", "path": "/p1", "value": str(turn)},
                {"op": "add", "path": "/new", "value": "v"},
            ]
            answers.append(
                self.server.ask("PATCH", path, json.dumps(operations), Content_Type=PATCH)[0]
            )
            answers.append(self.server.ask("DELETE", path)[0])
        return answers


def _chunks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class WithoutConfiguration(unittest.TestCase):
    """A misspelt directory must not make everybody an administrator."""

    def run_with(self, directory: str, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *command],
            cwd=directory,
            text=True,
            capture_output=True,
            timeout=120,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OS_GLANCE_CONFIG_DIR": f"{directory}/misspelt",
            },
        )

    def test_nothing_starts(self) -> None:
        with tempfile.TemporaryDirectory(prefix="glance-") as directory:
            for command in (
                GLANCE_API,
                ["-m", "glance_py.cmd.manage", "db", "sync"],
                ["-m", "glance_py.cmd.scrubber"],
            ):
                with self.subTest(command):
                    done = self.run_with(directory, *command)
                    self.assertEqual(1, done.returncode, done.stderr)
                    self.assertIn(
                        f"There is no glance-api.conf in {directory}/misspelt", done.stderr
                    )
            self.assertEqual([], os.listdir(directory))

    def test_no_wsgi_server_gets_an_application(self) -> None:
        with tempfile.TemporaryDirectory(prefix="glance-") as directory:
            done = self.run_with(directory, "-c", "import glance_py.wsgi.api")
            self.assertEqual(1, done.returncode)
            self.assertIn("ConfigurationNotFound", done.stderr)
            self.assertEqual([], os.listdir(directory))


class FakeAuthTest(unittest.TestCase):
    """Tokens that are believed unseen are for this machine."""

    def test_it_listens_on_loopback_only(self) -> None:
        with tempfile.TemporaryDirectory(prefix="glance-") as directory:
            path = os.path.join(directory, "glance-api.conf")
            for program, host in (
                ("api", "0.0.0.0"),
                ("api", "::"),  # noqa: S104
                ("api", "glance.example.org"),
                ("registry", "192.0.2.1"),
            ):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(config.text(directory, STORES, f"bind_host = {host}"))
                with self.subTest(program, host=host):
                    done = subprocess.run(
                        [sys.executable, "-m", f"glance_py.cmd.{program}", "--config-file", path],
                        cwd=directory,
                        text=True,
                        capture_output=True,
                        timeout=60,
                        env={**os.environ, "PYTHONPATH": str(ROOT)},
                    )
                    self.assertEqual(1, done.returncode, done.stderr)
                    self.assertIn("bind_host", done.stderr)
                    self.assertIn("fakeauth", done.stderr)
