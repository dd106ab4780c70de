"""What happens to connections: after a refused body, while a worker stops, in its log lines."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket

from tests.functional.server import GLANCE_API, ROOT, TOKEN, ServerCase
from tests.waiting import eventually


class RefusedBodyTest(ServerCase):
    """Nobody is told to keep a connection that the server is about to close."""

    command = GLANCE_API
    settings = {"client_timeout": 60}

    def refused(self, framing: str, body: bytes, token: str = "") -> http.client.HTTPResponse:
        """The answer to a body that nobody reads, and the connection it came on."""
        sock = self.server.connect()
        self.addCleanup(sock.close)
        with contextlib.suppress(ConnectionError):  # the server need not read all of it
            sock.sendall(
                f"PUT /v2/images/i/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n"
                f"Content-Type: application/octet-stream\r\n{framing}\r\n\r\n".encode()
                + body
            )
        return self.answer(sock), sock

    @staticmethod
    def answer(sock: socket.socket) -> http.client.HTTPResponse:
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        answer.read()
        return answer

    def test_a_connection_that_ends_is_announced(self) -> None:
        for framing, body in (
            (f"Content-Length: {200_000}", b"x" * 200_000),
            ("Content-Length: 200000", b"x" * 100),
            ("Content-Length: 100", b"x" * 10),
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
        ):
            for token, status in (("", 401), ("u:p:member", 404)):
                with self.subTest(framing=framing, sent=len(body), status=status):
                    answer, _sock = self.refused(framing, body, token)
                    self.assertEqual(
                        (status, "close"), (answer.status, answer.getheader("Connection"))
                    )

    def test_a_connection_that_is_kept_serves_the_next_request(self) -> None:
        for size in (0, 10, 20_000):
            with self.subTest(size=size):
                answer, sock = self.refused(f"Content-Length: {size}", b"x" * size)
                # What had not arrived when the answer was made counts as unread.
                if size <= 10:
                    self.assertEqual("keep-alive", answer.getheader("Connection"))
                if answer.getheader("Connection") == "keep-alive":
                    sock.sendall(
                        b"GET /v2/images HTTP/1.1\r\nHost: x\r\nX-Auth-Token: u:p:member\r\n\r\n"
                    )
                    self.assertEqual(200, self.answer(sock).status)

    def test_a_body_that_was_read_keeps_the_connection(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        with contextlib.closing(connection):
            for chunked in (False, True):
                image_id = self.server.create()
                body = iter([b"x" * 100_000] * 3) if chunked else b"x" * 300_000
                connection.request(
                    "PUT",
                    f"/v2/images/{image_id}/file",
                    body,
                    {
                        **TOKEN,
                        "Content-Type": "application/octet-stream",
                        **({"Transfer-Encoding": "chunked"} if chunked else {}),
                    },
                    encode_chunked=chunked,
                )
                answer = connection.getresponse()
                answer.read()
                self.assertEqual(
                    (204, "keep-alive"), (answer.status, answer.getheader("Connection"))
                )


class StoppingTest(ServerCase):
    """A worker that accepts no more lets nobody connect to it."""

    command = GLANCE_API
    settings = {"client_timeout": 60, "workers": 2}

    def begin(self) -> tuple[str, socket.socket]:
        image_id = self.server.create()
        sock = self.server.start_upload(image_id, "Content-Length: 10", b"hello")
        self.addCleanup(sock.close)
        self.assertEqual("saving", self.server.wait(image_id, "saving"))
        return image_id, sock

    def test_new_connections_are_refused_while_an_upload_finishes(self) -> None:
        _image_id, sock = self.begin()
        self.server.process.send_signal(signal.SIGTERM)
        eventually(self.server.is_refused)
        sock.sendall(b"world")
        self.assertIn(b" 204 No Content", sock.recv(100))
        self.assertEqual(0, self.server.process.wait(60))

    def test_connections_that_were_complete_are_served(self) -> None:
        """Those that wait in the kernel when the worker stops: closing it would reset them."""
        _image_id, upload = self.begin()
        for worker in self.server.workers():
            os.kill(worker, signal.SIGSTOP)
        waiting = []
        for _ in range(6):
            sock = self.server.connect()
            self.addCleanup(sock.close)
            sock.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
            waiting.append(sock)
        self.server.process.send_signal(signal.SIGTERM)
        for worker in self.server.workers():
            os.kill(worker, signal.SIGCONT)
        for sock in waiting:
            self.assertIn(b"200 OK", sock.recv(200))
        upload.sendall(b"world")
        self.assertIn(b" 204 No Content", upload.recv(100))

    def test_a_reload_refuses_nobody(self) -> None:
        """Old workers close their copies of the socket; the master's stays."""
        before = set(self.server.workers())
        _image_id, sock = self.begin()
        self.server.process.send_signal(signal.SIGHUP)

        def is_reloaded() -> bool:
            self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])
            return len(before & set(self.server.workers())) <= 1

        eventually(is_reloaded)
        for _ in range(5):
            self.assertEqual(200, self.server.ask("GET", "/v2/images")[0])
        sock.sendall(b"world")
        self.assertIn(b" 204 No Content", sock.recv(100))


def raises(global_conf: dict, **local_conf: str):
    """Paste filter factory: a filter of an operator's own, with a mistake in it."""

    def filtered(app):
        def call(environ, start_response):
            raise RuntimeError("a mistake")

        return call

    return filtered


class BrokenFilterTest(ServerCase):
    """An exception in front of the router ends in an answer, not in a closed connection."""

    command = GLANCE_API
    settings = {"start": False}

    def test_a_filter_that_raises(self) -> None:
        paste = (ROOT / "etc/glance-api-paste.ini").read_text()
        (self.server.directory / "glance-api-paste.ini").write_text(
            paste.replace("\nfakeauth = cors", "\nfakeauth = raises cors") + "\n[filter:raises]\n"
            "paste.filter_factory = tests.functional.test_connections:raises\n"
        )
        self.server.start()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        with contextlib.closing(connection):
            for _ in range(2):  # the connection goes on, too
                connection.request(
                    "GET", "/v2/images", headers={**TOKEN, "X-Openstack-Request-Id": "req-known"}
                )
                answer = connection.getresponse()
                self.assertIn(b"req-known", answer.read())
                self.assertEqual(
                    (500, "req-known"), (answer.status, answer.getheader("X-Openstack-Request-Id"))
                )
        log = self.server.wait_for_log('"GET /v2/images" status: 500')
        [*_, line] = [line for line in log.splitlines() if "status: 500" in line]
        self.assertIn("req-known", line)
        self.assertIn("RuntimeError: a mistake", log)


class LogLinesTest(ServerCase):
    """A line names the caller of its own request, or nobody."""

    command = GLANCE_API
    settings = {"client_timeout": 60, "options": "threads = 1\n"}

    def test_a_thread_forgets_the_caller_of_its_last_request(self) -> None:
        self.server.ask("GET", "/v2/images", X_Openstack_Request_Id="req-known")
        with self.server.connect() as sock:
            sock.sendall(b"NO SUCH REQUEST\r\n\r\n")
            self.assertIn(b"400 Bad Request", sock.recv(100))
        log = self.server.wait_for_log("Invalid request from")
        [line] = [line for line in log.splitlines() if "Invalid request from" in line]
        self.assertNotIn("req-known", line)
        self.assertIn("[-]", line)

    def test_a_refused_request_leaves_a_line_with_its_id(self) -> None:
        status, _ = self.server.ask(
            "GET", "/v2/images", X_Auth_Token="", X_Openstack_Request_Id="req-refused"
        )
        self.assertEqual(401, status)
        log = self.server.wait_for_log('"GET /v2/images" status: 401')
        [line] = [line for line in log.splitlines() if '"GET /v2/images" status: 401' in line]
        self.assertIn("req-refused", line)
