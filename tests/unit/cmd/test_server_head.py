"""How long the own server waits for the head of a request, and where."""

from __future__ import annotations

import select
import socket
import types
import unittest
from unittest import mock

from glance_py.cmd import request_head
from glance_py.cmd.request_head import HEADER_TIMEOUT, MAX_PEEKED_BYTES, Arrival, RequestHead


class HeadTest(unittest.TestCase):
    def setUp(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
        self.addCleanup(self.client.close)
        self.addCleanup(accepted.close)
        self.sock = accepted
        self.now = 0.0
        clock = mock.patch.object(request_head.time, "monotonic", lambda: self.now)
        clock.start()
        self.addCleanup(clock.stop)
        self.conn = types.SimpleNamespace(sock=accepted, parser=None)
        self.head = RequestHead(self.conn)

    def is_readable(self, seconds: float) -> bool:
        return bool(select.select([self.sock], [], [], seconds)[0])

    def send(self, data: bytes) -> None:
        """Send, and wait until it has arrived."""
        before = self._arrived()
        self.client.sendall(data)
        while self._arrived() < before + len(data):
            pass

    def _arrived(self) -> int:
        try:
            return len(self.sock.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0

    def test_a_whole_head_is_read_at_once(self) -> None:
        self.send(b"GET / HTTP/1.1\r\n\r\nbody")
        self.assertEqual(Arrival.COMPLETE, self.head.check_arrival())

    def test_a_part_is_left_until_there_is_more(self) -> None:
        self.assertEqual(Arrival.PARTIAL, self.head.check_arrival())
        for byte in b"GET / HTTP/1.1\r\n":
            self.send(bytes([byte]))
            self.assertTrue(self.is_readable(20))
            self.assertEqual(Arrival.PARTIAL, self.head.check_arrival())
            self.assertFalse(self.is_readable(0))
        self.send(b"\r\n")
        self.assertEqual(Arrival.COMPLETE, self.head.check_arrival())
        self.assertEqual(b"GET / HTTP/1.1\r\n\r\n", self.sock.recv(100))

    def test_the_limit_is_on_all_of_it(self) -> None:
        self.now = 100.0  # silence before the first byte does not count
        self.assertEqual(Arrival.PARTIAL, self.head.check_arrival())
        self.now = 200.0
        for _ in range(HEADER_TIMEOUT):
            self.send(b"x")
            self.assertEqual(Arrival.PARTIAL, self.head.check_arrival())
            self.now += 1.0
        self.now += 1.0
        self.send(b"x")
        self.assertEqual(Arrival.EXPIRED, self.head.check_arrival())
        self.head.mark_read()
        self.send(b"y")
        self.assertEqual(Arrival.PARTIAL, RequestHead(self.conn).check_arrival())

    def test_what_ends_or_is_too_long_is_read_in_a_thread_with_a_watch(self) -> None:
        self.send(b"GET / HT")
        self.assertEqual(Arrival.PARTIAL, self.head.check_arrival())
        self.client.shutdown(socket.SHUT_WR)
        self.assertTrue(self.is_readable(20))
        self.assertEqual(Arrival.NEEDS_THREAD, self.head.check_arrival())

    def test_a_head_longer_than_the_kernel_keeps(self) -> None:
        self.send(b"x" * MAX_PEEKED_BYTES)
        self.assertEqual(Arrival.NEEDS_THREAD, self.head.check_arrival())

    def test_a_watched_head_is_cut_off(self) -> None:
        self.send(b"x" * MAX_PEEKED_BYTES)
        self.head.check_arrival()
        received = -1
        with self.head.time_limited():
            self.now += HEADER_TIMEOUT + 1
            while received:
                received = len(self.sock.recv(1 << 20))
        self.assertEqual(0, received)


if __name__ == "__main__":
    unittest.main()
