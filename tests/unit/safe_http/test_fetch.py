"""The fetcher against small servers of its own on loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
from collections.abc import Callable
from unittest import mock

from glance_py.domain import errors
from glance_py.safe_http import Fetcher, UriFilter, fetch
from glance_py.settings import UriFilterSettings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndata"


class Server:
    """Answers each connection with ``script(request, connection)`` and remembers requests."""

    def __init__(
        self,
        script: Callable[[bytes, socket.socket], None] | bytes,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[bytes] = []
        self._script = (
            (lambda _, sock: sock.sendall(script)) if isinstance(script, bytes) else script
        )
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), sock:
                if self._context:
                    sock = self._context.wrap_socket(sock, server_side=True)
                request = b""
                while b"\r\n\r\n" not in request:
                    request += sock.recv(4096)
                self.requests.append(request)
                self._script(request, sock)
                sock.close()

    def close(self) -> None:
        self._listener.close()


class Case(unittest.TestCase):
    def serve(self, *args, **more) -> Server:
        server = Server(*args, **more)
        self.addCleanup(server.close)
        return server

    def fetcher(self, resolver=None, hosts=("127.0.0.1", "good.example.org")) -> Fetcher:
        self.asked: list[str] = []

        def resolve(host: str, port: int) -> list[str]:
            self.asked.append(host)
            return resolver(host) if resolver else ["127.0.0.1"]

        settings = UriFilterSettings(allowed_ports=(), allowed_hosts=hosts)
        return Fetcher(UriFilter(settings, resolver=resolve))

    def read(self, fetcher: Fetcher, url: str, **more) -> bytes:
        response = fetcher.open(url, **more)
        try:
            return b"".join(response.chunks)
        finally:
            response.close()


class Answers(Case):
    def test_a_body_with_its_length(self):
        server = self.serve(OK)
        response = self.fetcher().open(f"http://good.example.org:{server.port}/a?b=c")
        self.addCleanup(response.close)
        self.assertEqual((200, 4), (response.status, response.length))
        self.assertEqual(b"data", b"".join(response.chunks))
        request = server.requests[0]
        self.assertTrue(request.startswith(b"GET /a?b=c HTTP/1.1\r\n"))
        self.assertIn(f"Host: good.example.org:{server.port}\r\n".encode(), request)
        self.assertIn(b"Accept-Encoding: identity\r\n", request)

    def test_a_chunked_body(self):
        server = self.serve(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        self.assertEqual(b"abcde", self.read(self.fetcher(), f"http://127.0.0.1:{server.port}/"))

    def test_a_status_is_the_callers_business(self):
        server = self.serve(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        response = self.fetcher().open(f"http://127.0.0.1:{server.port}/")
        response.close()
        response.close()
        self.assertEqual(404, response.status)

    def test_a_part_under_a_condition(self):
        server = self.serve(
            b"HTTP/1.1 206 Partial\r\nContent-Length: 2\r\nContent-Range: bytes 2-3/4\r\n\r\nta"
        )
        self.assertEqual(
            b"ta",
            self.read(
                self.fetcher(), f"http://127.0.0.1:{server.port}/", start=2, if_range='"tag"'
            ),
        )
        self.assertIn(b"Range: bytes=2-\r\n", server.requests[0])
        self.assertIn(b'If-Range: "tag"\r\n', server.requests[0])

    def test_a_body_that_ends_early_is_no_body(self):
        server = self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata")
        with self.assertRaisesRegex(errors.StoreUnavailable, "5 bytes too early"):
            self.read(self.fetcher(), f"http://127.0.0.1:{server.port}/")
        server = self.serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        with self.assertRaises(errors.StoreUnavailable):
            self.read(self.fetcher(), f"http://127.0.0.1:{server.port}/")

    def test_encodings_and_unclear_lengths_are_refused(self):
        for header in ("Content-Encoding: gzip", "Content-Length: 5", "Content-Length: 0x4"):
            server = self.serve(
                OK.replace(b"\r\n\r\n", f"\r\n{header}\r\n\r\n".encode()).replace(
                    b"Content-Length: 4\r\nContent-Length: 0x4", b"Content-Length: 0x4"
                )
            )
            with self.subTest(header), self.assertRaises(errors.Invalid):
                self.read(self.fetcher(), f"http://127.0.0.1:{server.port}/")

    def test_nobody_there(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with self.assertRaisesRegex(errors.StoreUnavailable, "cannot be reached"):
            self.fetcher().open(f"http://127.0.0.1:{port}/")

    def test_no_http_there(self):
        server = self.serve(b"SSH-2.0-OpenSSH\r\n")
        with self.assertRaises(errors.StoreUnavailable):
            self.fetcher().open(f"http://127.0.0.1:{server.port}/")


class Pinning(Case):
    """The address that was judged is the one that is asked."""

    def test_a_second_answer_of_the_resolver_is_never_used(self):
        server = self.serve(OK)
        answers = iter((["127.0.0.1"], ["10.255.255.1"], ["10.255.255.1"]))
        fetcher = self.fetcher(lambda host: next(answers))
        self.assertEqual(b"data", self.read(fetcher, f"http://good.example.org:{server.port}/"))
        self.assertEqual(["good.example.org"], self.asked)

    def test_another_address_is_tried_when_the_first_does_not_answer(self):
        server = self.serve(OK)
        fetcher = self.fetcher(lambda host: ["127.0.0.9", "127.0.0.1"])
        self.assertEqual(b"data", self.read(fetcher, f"http://good.example.org:{server.port}/"))


class Redirects(Case):
    def redirect(self, to: str) -> Server:
        return self.serve(
            f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    def test_followed_to_a_judged_address(self):
        end = self.serve(OK)
        server = self.redirect(f"http://good.example.org:{end.port}/there")
        fetcher = self.fetcher()
        self.assertEqual(
            b"data",
            self.read(
                fetcher, f"http://u:p@127.0.0.1:{server.port}/", headers={"X-Auth-Token": "secret"}
            ),
        )
        self.assertIn(b"X-Auth-Token: secret", server.requests[0])
        self.assertIn(b"Authorization: Basic dTpw", server.requests[0])
        self.assertNotIn(b"secret", end.requests[0])
        self.assertNotIn(b"Authorization", end.requests[0])

    def test_judged_like_the_first_address(self):
        for there in (
            "file:///etc/passwd",
            "ftp://good.example.org/",
            "http://[::1]/",
            "http://2130706433/",
            "//10.0.0.1/",
            "http://169.254.169.254/latest",
        ):
            server = self.redirect(there)
            with self.subTest(there), self.assertRaisesRegex(errors.Invalid, "redirects"):
                self.fetcher().open(f"http://127.0.0.1:{server.port}/")

    def test_to_a_port_that_is_not_allowed(self):
        end = self.serve(OK)
        server = self.redirect(f"http://127.0.0.1:{end.port}/")
        settings = UriFilterSettings(allowed_ports=(server.port,), allowed_hosts=("127.0.0.1",))
        with self.assertRaisesRegex(errors.Invalid, "port"):
            Fetcher(UriFilter(settings)).open(f"http://127.0.0.1:{server.port}/")
        self.assertEqual([], end.requests)

    def test_not_for_ever(self):
        server = self.redirect("/again")
        with self.assertRaisesRegex(errors.Invalid, "more than 5"):
            self.fetcher().open(f"http://127.0.0.1:{server.port}/")
        self.assertEqual(6, len(server.requests))

    def test_an_endless_body_of_a_redirect_is_not_read(self):
        end = self.serve(OK)

        def script(request, sock):
            sock.sendall(
                f"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:{end.port}/\r\n"
                "Content-Length: 1000000000\r\n\r\n".encode()
            )
            with contextlib.suppress(OSError):
                while True:
                    sock.sendall(b"x" * 65536)

        server = self.serve(script)
        self.assertEqual(b"data", self.read(self.fetcher(), f"http://127.0.0.1:{server.port}/"))


class Time(Case):
    """A server that drips holds nobody for long."""

    def drip(self, head: bytes) -> Server:
        stop = threading.Event()
        self.addCleanup(stop.set)

        def script(request, sock):
            sock.sendall(head)
            while not stop.wait(0.1):
                sock.sendall(b"x")

        return self.serve(script)

    def test_headers_that_drip(self):
        server = self.drip(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        with (
            mock.patch.object(fetch, "HEADER_TIMEOUT", 0.5),
            self.assertRaises(errors.StoreUnavailable),
        ):
            self.fetcher().open(f"http://127.0.0.1:{server.port}/")

    def test_a_body_that_drips(self):
        server = self.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        with (
            mock.patch.object(fetch, "MIN_RATE_SECONDS", 0.5),
            self.assertRaises(errors.StoreUnavailable),
        ):
            self.read(self.fetcher(), f"http://127.0.0.1:{server.port}/")

    def test_a_trailer_that_drips(self):
        server = self.drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
        with (
            mock.patch.object(fetch, "MIN_RATE_SECONDS", 0.5),
            self.assertRaises(errors.StoreUnavailable),
        ):
            self.read(self.fetcher(), f"http://127.0.0.1:{server.port}/")

    def test_a_handshake_that_drips(self):
        stop = threading.Event()
        self.addCleanup(stop.set)
        listener = self.enterContext(socket.create_server(("127.0.0.1", 0)))

        def drip():
            sock, _ = listener.accept()
            with contextlib.suppress(OSError), sock:
                # A record of TLS that promises more than will ever come.
                sock.sendall(b"\x16\x03\x03\x40\x00")
                while not stop.wait(0.1):
                    sock.sendall(b"\x02")

        threading.Thread(target=drip, daemon=True).start()
        with (
            mock.patch.object(fetch, "HEADER_TIMEOUT", 0.5),
            self.assertRaisesRegex(errors.StoreUnavailable, "too slow|reached"),
        ):
            self.fetcher().open(f"https://127.0.0.1:{listener.getsockname()[1]}/")

    def test_headers_without_end(self):
        def script(request, sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                sock.sendall(b"X-Header: x\r\n" * 1000)

        server = self.serve(script)
        with self.assertRaises(errors.StoreUnavailable):
            self.fetcher().open(f"http://127.0.0.1:{server.port}/")


class Certificates(Case):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.pem = f"{cls.directory.name}/server.pem"
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-keyout",
                cls.pem,
                "-out",
                f"{cls.directory.name}/cert.pem",
                "-subj",
                "/CN=good.example.org",
                "-addext",
                "subjectAltName=DNS:good.example.org",
            ],
            check=True,
            capture_output=True,
        )
        with open(f"{cls.directory.name}/cert.pem") as cert, open(cls.pem, "a") as both:
            both.write(cert.read())
        cls.addClassCleanup(cls.directory.cleanup)

    def secure(self) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem)
        return self.serve(OK, context=context)

    def test_a_self_signed_certificate_fails(self):
        with self.assertRaisesRegex(errors.StoreUnavailable, "certificate"):
            self.fetcher().open(f"https://good.example.org:{self.secure().port}/")

    def test_a_trusted_certificate_must_name_the_host_of_the_url(self):
        with mock.patch.dict("os.environ", SSL_CERT_FILE=f"{self.directory.name}/cert.pem"):
            self.assertEqual(
                b"data",
                self.read(self.fetcher(), f"https://good.example.org:{self.secure().port}/"),
            )
            with self.assertRaisesRegex(errors.StoreUnavailable, "certificate"):
                self.fetcher().open(f"https://127.0.0.1:{self.secure().port}/")
