"""The proxies of fault campaigns: what they recognise, and that they do what they say."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import threading
import unittest

from benchmarks.faults import proxy
from benchmarks.faults.proxy import Link, Trap, choose_by_process, listen_for

#: What clients send for COMMIT: psycopg2, psycopg 3, PyMySQL.
COMMITS = (
    b"Q\x00\x00\x00\x0bCOMMIT\x00",
    b"P\x00\x00\x00\x0f\x00COMMIT\x00\x00\x00B\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00"
    b"\x00D\x00\x00\x00\x06P\x00E\x00\x00\x00\x09\x00\x00\x00\x00\x00S\x00\x00\x00\x04",
    b"\x07\x00\x00\x00\x03COMMIT",
)


class RecognitionTest(unittest.TestCase):
    def test_commit(self) -> None:
        for data in COMMITS:
            self.assertTrue(proxy.is_commit(data), data)
        for data in (
            b"Q\x00\x00\x00\x0aBEGIN\x00",
            b"Q\x00\x00\x00\x20SELECT 'COMMIT now'\x00",
            b"\x09\x00\x00\x00\x03ROLLBACK",
            b"",
        ):
            self.assertFalse(proxy.is_commit(data), data)

    def test_location(self) -> None:
        self.assertTrue(proxy.adds_location(b"Q...INSERT INTO image_locations (image_id, ..."))
        self.assertFalse(proxy.adds_location(b"Q...UPDATE images SET status='saving'"))

    def test_requests(self) -> None:
        get = b"GET /bucket/key HTTP/1.1\r\nHost: x\r\n\r\n"
        self.assertTrue(proxy.is_request(get))
        self.assertFalse(proxy.is_request(get, b"PUT "))
        self.assertFalse(proxy.is_request(b"PUT me into the store"))
        self.assertTrue(proxy.completes_multipart(b"POST /b/k?uploadId=7 HTTP/1.1\r\n\r\n"))
        self.assertFalse(proxy.completes_multipart(b"POST /b/k?uploads= HTTP/1.1\r\n\r\n"))
        self.assertFalse(proxy.completes_multipart(b"PUT /b/k?uploadId=7 HTTP/1.1\r\n\r\n"))


class Echo(socketserver.BaseRequestHandler):
    """Answers what it gets."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(1 << 16):
                self.server.received.append(data)
                self.request.sendall(data)


class LinkTest(unittest.TestCase):
    def setUp(self) -> None:
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
        self.server.daemon_threads = True
        self.server.received = []
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.link = Link("test", sql=True)
        self.listener = listen_for(self.server.server_address, self.link)
        self.addCleanup(self.listener.close)
        self.addCleanup(self.link.heal)

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.listener.port), timeout=20)
        self.addCleanup(sock.close)
        return sock

    def say(self, sock: socket.socket, data: bytes) -> bytes:
        """What comes back; empty when the connection ended."""
        try:
            sock.sendall(data)
            return sock.recv(1 << 16)
        except ConnectionResetError:
            return b""

    def armed(self, action: str, **settings) -> socket.socket:
        """A connection on a link with a trap for COMMIT."""
        self.link.arm(Trap(lambda connection, data: proxy.is_commit(data), action, **settings))
        sock = self.connect()
        self.assertEqual(b"hello", self.say(sock, b"hello"))
        return sock

    def test_it_carries(self) -> None:
        sock = self.connect()
        for data in (b"one", b"two"):
            self.assertEqual(data, self.say(sock, data))

    def test_cut(self) -> None:
        sock = self.connect()
        self.say(sock, b"hello")
        self.assertEqual(1, self.link.cut())
        self.assertEqual(b"", self.say(sock, b"more"))
        self.assertEqual(b"again", self.say(self.connect(), b"again"))

    def test_refuse(self) -> None:
        self.link.refuse(True)
        self.assertEqual(b"", self.say(self.connect(), b"hello"))
        self.link.refuse(False)
        self.assertEqual(b"again", self.say(self.connect(), b"again"))

    def test_what_is_stalled_comes_later(self) -> None:
        sock = self.connect()
        self.say(sock, b"hello")
        self.link.stall(True)
        sock.sendall(b"late")
        sock.settimeout(0.2)
        self.assertRaises(TimeoutError, sock.recv, 10)
        self.link.stall(False)
        sock.settimeout(20)
        self.assertEqual(b"late", sock.recv(10))

    def test_a_black_hole_never_gives_back(self) -> None:
        sock = self.connect()
        self.say(sock, b"hello")
        self.link.blackhole(True)
        sock.sendall(b"gone")
        sock.settimeout(0.2)
        self.assertRaises(TimeoutError, sock.recv, 10)
        self.link.blackhole(False)
        sock.settimeout(20)
        self.assertEqual(b"", self.say(sock, b"more"))
        self.assertEqual([b"hello"], self.server.received)

    def test_the_answer_to_a_commit_is_dropped(self) -> None:
        sock = self.armed("drop-answer")
        self.assertEqual(b"", self.say(sock, COMMITS[0]))
        self.assertEqual([b"hello", COMMITS[0]], self.server.received)
        # It acts once.
        self.assertEqual(COMMITS[0], self.say(self.connect(), COMMITS[0]))

    def test_a_commit_is_lost(self) -> None:
        self.assertEqual(b"", self.say(self.armed("lose"), COMMITS[0]))
        self.assertEqual([b"hello"], self.server.received)

    def test_a_commit_comes_late(self) -> None:
        self.assertEqual(COMMITS[0], self.say(self.armed("late", seconds=0.1), COMMITS[0]))
        self.assertEqual(COMMITS[0], self.say(self.armed("late-answer", seconds=0.1), COMMITS[0]))

    def test_an_answer_is_torn(self) -> None:
        sock = self.armed("tear-answer")
        self.assertEqual(COMMITS[0][:6], self.say(sock, COMMITS[0]))
        self.assertEqual(b"", sock.recv(10))

    def test_another_answer(self) -> None:
        self.assertEqual(b"no", self.say(self.armed("answer", reply=b"no"), COMMITS[0]))
        self.assertEqual([b"hello"], self.server.received)

    def test_a_transaction_is_followed(self) -> None:
        seen: list[bytes] = []

        def matches(connection: proxy.Connection, data: bytes) -> bool:
            seen.append(bytes(connection.transaction))
            return False

        self.link.arm(Trap(matches, "lose"))
        sock = self.connect()
        for data in (b"before", b"Q\x00\x00\x00\x0aBEGIN\x00", b"one", b"two"):
            self.say(sock, data)
        self.assertEqual([b"before", b"", b"one", b"onetwo"], seen)

    def test_clients_are_told_apart_by_their_processes(self) -> None:
        ours, others = Link("ours"), Link("others")
        choose = choose_by_process(lambda: [([os.getpid()], ours)], others)
        sock = self.connect()
        self.assertIs(ours, choose(sock.getsockname()[1]))
        self.assertIs(others, choose_by_process(list, others)(sock.getsockname()[1]))


if __name__ == "__main__":
    unittest.main()
