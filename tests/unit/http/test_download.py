"""The body of a download, and what happens to its connection when data is missing."""

from __future__ import annotations

import io
import socket
import struct
import unittest
from collections.abc import Iterator
from unittest import mock

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.ports import Data
from glance_py.http import body, download
from glance_py.http.request import Request


class HeadersTest(unittest.TestCase):
    def test_digests(self) -> None:
        for digests, expected in (
            ({}, {}),
            ({"checksum": "c"}, {"ETag": '"c"', "Content-MD5": "c"}),
            ({"os_hash_value": "d"}, {"ETag": '"d"'}),
            ({"checksum": "c", "os_hash_value": "d"}, {"ETag": '"d"', "Content-MD5": "c"}),
        ):
            self.assertEqual(
                {"Accept-Ranges": "bytes", **expected},
                dict(download.headers(Image("i", **digests))),
            )

    def test_conditions(self) -> None:
        image, bare = Image("i", checksum="c"), Image("i")
        for condition, matches in (
            (None, False),
            ("", False),
            ('"c"', True),
            (' "x" , W/"c" ', True),
            (" * ", True),
            ("c", False),
        ):
            headers = {} if condition is None else {"HTTP_IF_NONE_MATCH": condition}
            request = Request({"REQUEST_METHOD": "GET", **headers})
            self.assertIs(matches, download.is_not_modified(request, image), condition)
            self.assertFalse(download.is_not_modified(request, bare))

    def test_if_range(self) -> None:
        image = Image("i", checksum="c")
        for condition, matches in ((None, True), (' "c" ', True), ('W/"c"', False), ("*", False)):
            headers = {} if condition is None else {"HTTP_IF_RANGE": condition}
            request = Request({"REQUEST_METHOD": "GET", **headers})
            self.assertIs(matches, download.if_range_matches(request, image), condition)


class BodyTest(unittest.TestCase):
    def setUp(self) -> None:
        self.closed: list[bool] = []

    def data(self, chunks: Iterator[bytes], length: int, **options: object) -> Data:
        return Data(chunks, length, close=lambda: self.closed.append(True), **options)

    def body(self, data: Data, whole: bool = True, **environ: object) -> object:
        return download.body(Request({"REQUEST_METHOD": "GET", **environ}), data, whole=whole)

    def test_chunks(self) -> None:
        for length in (3, 2):
            sent = self.body(self.data(iter([b"ab", b"c"]), length))
            self.assertEqual([b"ab", b"c"], list(sent))
            sent.close()
        self.assertEqual([True, True], self.closed)

    def test_files(self) -> None:
        """The server gets whole files, with its own size of chunks, and no parts."""
        file = io.BytesIO(b"abc")
        wrapper = mock.Mock(return_value=[b"sent"])
        data = self.data(iter([b"abc"]), 3, file=file)
        self.assertEqual([b"sent"], self.body(data, **{"wsgi.file_wrapper": wrapper}))
        (handed, size), _ = wrapper.call_args
        self.assertEqual((body.CHUNK_SIZE, b"abc"), (size, handed.read()))
        handed.close()
        self.assertEqual(([True], False), (self.closed, file.closed))
        part = self.body(
            self.data(iter([b"abc"]), 3, file=file), False, **{"wsgi.file_wrapper": wrapper}
        )
        plain = self.body(self.data(iter([b"abc"]), 3, file=file))
        self.assertEqual(([b"abc"], [b"abc"]), (list(part), list(plain)))
        no_file = self.body(self.data(iter([b"abc"]), 3), **{"wsgi.file_wrapper": wrapper})
        self.assertEqual([b"abc"], list(no_file))
        wrapper.assert_called_once()

    def test_missing_data_is_an_error(self) -> None:
        with self.assertRaisesRegex(errors.CorruptImageData, "ended 2 bytes too early"):
            list(self.body(self.data(iter([b"abc"]), 5)))

    def test_missing_data_resets_the_connection_under_uwsgi(self) -> None:
        """The client sees a reset instead of the end of a body of unknown length."""

        def broken() -> Iterator[bytes]:
            yield b"abc"
            raise OSError("store")

        for chunks in (iter([b"abc"]), broken()):
            server, client = self.connection()
            with (
                mock.patch.object(body, "uwsgi", mock.Mock(connection_fd=server.fileno)),
                self.assertRaises((errors.CorruptImageData, OSError)),
            ):
                list(self.body(self.data(chunks, 5)))
            linger = server.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
            self.assertEqual((1, 0), struct.unpack("ii", linger))
            server.close()
            with self.assertRaises(ConnectionResetError):
                client.recv(1)

    def test_whole_data_does_not_reset_the_connection(self) -> None:
        server, _ = self.connection()
        with mock.patch.object(body, "uwsgi", mock.Mock(connection_fd=server.fileno)):
            list(self.body(self.data(iter([b"abc"]), 3)))
        linger = server.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        self.assertEqual((0, 0), struct.unpack("ii", linger))

    def test_a_connection_that_is_closed_already(self) -> None:
        read, write = socket.socketpair()
        self.addCleanup(read.close)
        self.addCleanup(write.close)
        with mock.patch.object(socket.socket, "setsockopt", side_effect=OSError):
            download._reset_on_close(write.fileno())
        self.assertGreater(write.send(b"x"), 0)

    def connection(self) -> tuple[socket.socket, socket.socket]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        client = socket.create_connection(listener.getsockname())
        self.addCleanup(client.close)
        server, _ = listener.accept()
        self.addCleanup(server.close)
        return server, client


if __name__ == "__main__":
    unittest.main()
