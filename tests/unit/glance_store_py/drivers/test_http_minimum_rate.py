"""The http driver and servers that drip: they hold nobody for long."""

from __future__ import annotations

import contextlib
import socket
import threading
import types
import unittest
from collections.abc import Iterator
from unittest import mock

from glance_store_py import errors, watchdog
from glance_store_py.drivers import http, http_connection
from glance_store_py.drivers.http_options import OPTIONS as HTTP_OPTIONS
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import parse
from glance_store_py.testing import settings


class SlowServerTest(unittest.TestCase):
    def setUp(self) -> None:
        self.store = GuardedDriver(http.HttpDriver(settings(HTTP_OPTIONS), "web"), "web")

    @contextlib.contextmanager
    def slow_server(self, head: bytes, scheme: str = "http") -> Iterator:
        """The address of a server that says ``head`` and then a byte now and then."""
        stop = threading.Event()

        def serve(listener: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    threading.Thread(target=answer, args=(sock,), daemon=True).start()

        def answer(sock: socket.socket) -> None:
            with contextlib.suppress(OSError), sock:
                sock.sendall(head)
                while not stop.wait(0.1):
                    sock.sendall(b"x")

        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=serve, args=(listener,), daemon=True).start()
            try:
                yield parse(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/image")
            finally:
                stop.set()

    def test_headers(self) -> None:
        with (
            self.slow_server(b"HTTP/1.1 200 OK\r\nX-Endless: ") as location,
            mock.patch.object(http_connection, "DEADLINE", 0.3),
        ):
            self.assertRaises(errors.BadStoreUri, self.store.size, location)
            self.assertRaises(errors.RemoteServiceUnavailable, self.store.get, location)

    def test_the_handshake_of_tls(self) -> None:
        # A record that promises more than will ever come.
        with (
            self.slow_server(b"\x16\x03\x03\x40\x00", "https") as location,
            mock.patch.object(http_connection, "DEADLINE", 0.3),
        ):
            self.assertRaises(errors.BadStoreUri, self.store.size, location)

    def test_the_body(self) -> None:
        with (
            self.slow_server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n") as location,
            mock.patch.object(http, "MIN_RATE_SECONDS", 0.3),
        ):
            data = self.store.get(location)
            self.addCleanup(data.close)
            self.assertRaises(errors.RemoteServiceUnavailable, list, data.chunks)

    def test_a_reader_may_take_its_time(self) -> None:
        """What is waited for is the server; whoever reads slowly cuts nobody off."""
        now = [0.0]
        with (
            self.slow_server(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nda") as location,
            mock.patch.object(watchdog, "time", types.SimpleNamespace(monotonic=lambda: now[0])),
        ):
            data = self.store.get(location)
            self.addCleanup(data.close)
            chunks = []
            for chunk in data.chunks:
                chunks.append(chunk)
                now[0] += 10 * http.MIN_RATE_SECONDS
        self.assertEqual(b"daxx", b"".join(chunks))


class MinimumRateTest(unittest.TestCase):
    def test_enough_in_time_begins_anew(self) -> None:
        watched = watchdog.Watchdog(lambda: None)
        self.addCleanup(watched.stop)
        rate = watchdog.MinimumRate(watched, size=2, seconds=5)
        self.assertEqual(b"x", rate.read(lambda: b"x"))
        self.assertLess(rate._seconds_left, 5)
        rate.read(lambda: b"x")
        self.assertEqual((2, 5), (rate._bytes_due, rate._seconds_left))


if __name__ == "__main__":
    unittest.main()
