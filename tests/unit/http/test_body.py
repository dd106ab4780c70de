"""A request's body in pieces: whole or an error, and never more than a piece at a time."""

from __future__ import annotations

import io
import unittest
from unittest import mock

from glance_py.domain import errors
from glance_py.http import body


class Input:
    """A server's wsgi.input that notes how much was asked for."""

    def __init__(self, data: bytes, broken: Exception | None = None) -> None:
        self._data, self._broken = io.BytesIO(data), broken
        self.asked: list[int] = []

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        piece = self._data.read(size)
        if not piece and self._broken:
            raise self._broken
        return piece


class BodyTest(unittest.TestCase):
    def pieces(self, source: Input, **environ: str) -> list[bytes]:
        return list(body.body_chunks({"wsgi.input": source, **environ}, 4))

    def test_known_length(self) -> None:
        """Pieces of the asked size, and not a byte of what follows the body."""
        source = Input(b"0123456789next request")
        self.assertEqual([b"0123", b"4567", b"89"], self.pieces(source, CONTENT_LENGTH="10"))
        self.assertEqual([4, 4, 2], source.asked)

    def test_unknown_length(self) -> None:
        source = Input(b"0123456789")
        self.assertEqual(
            [b"0123", b"4567", b"89"], self.pieces(source, HTTP_TRANSFER_ENCODING="Chunked")
        )
        self.assertEqual({4}, set(source.asked))

    def test_chunks_win(self) -> None:
        """With both, the length means nothing (RFC 9112, 6.3)."""
        self.assertEqual(
            [b"0123", b"4"],
            self.pieces(Input(b"01234"), HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="2"),
        )

    def test_none(self) -> None:
        """Without length and chunks there is no body, and reading it could wait for ever."""
        source = Input(b"x")
        self.assertEqual([], self.pieces(source))
        self.assertEqual([], self.pieces(source, CONTENT_LENGTH="0"))
        self.assertEqual([], source.asked)

    def test_short(self) -> None:
        with self.assertRaisesRegex(errors.Invalid, "after 3 of the announced 10 bytes"):
            self.pieces(Input(b"012"), CONTENT_LENGTH="10")

    def test_broken(self) -> None:
        """Every server has its own class for a body that broke off."""
        for error in (OSError("reset"), BlockingIOError(), ValueError("Bad chunk")):
            for environ in ({"CONTENT_LENGTH": "10"}, {"HTTP_TRANSFER_ENCODING": "chunked"}):
                with self.assertRaisesRegex(errors.Invalid, "broke off"):
                    self.pieces(Input(b"012", error), **environ)

    def test_bad_length(self) -> None:
        for length in ("x", "-1", "1e3", "٣"):
            with self.assertRaises(errors.Invalid):
                self.pieces(Input(b""), CONTENT_LENGTH=length)

    def test_uwsgi(self) -> None:
        """Under uWSGI the chunks come from its own function; no piece is larger for that."""
        chunks = iter([b"one", b"0123456789", b"four", b""])

        class Uwsgi:
            chunked_read = staticmethod(lambda: next(chunks))

        with mock.patch.object(body, "uwsgi", Uwsgi):
            self.assertEqual(
                [b"one", b"0123", b"4567", b"89", b"four"],
                self.pieces(Input(b"never"), HTTP_TRANSFER_ENCODING="chunked"),
            )
