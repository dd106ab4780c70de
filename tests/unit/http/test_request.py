"""The typed properties of a request."""

from __future__ import annotations

import io
import unittest

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.http.body import CHUNK_SIZE
from glance_py.http.request import MAX_JSON_BODY, Request


def request(body: bytes = b"", **environ: object) -> Request:
    return Request({"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(body), **environ})


class RequestTest(unittest.TestCase):
    def test_headers_are_found_in_any_case(self) -> None:
        asked = request(HTTP_X_IMAGE_META_STORE="a")
        self.assertEqual("a", asked.header("X-Image-Meta-Store"))
        self.assertEqual("a", asked.header("x-image-META-store"))
        self.assertIsNone(asked.header("X-Image-Meta"))

    def test_context(self) -> None:
        context = RequestContext()
        self.assertIs(context, request(**{"glance.context": context}).context)
        with self.assertRaises(errors.NotAuthenticated):
            request().context  # noqa: B018 - the property raises

    def test_has_body(self) -> None:
        chunked = {"HTTP_TRANSFER_ENCODING": "chunked"}
        for environ, expected in (
            ({}, False),
            ({"CONTENT_LENGTH": ""}, False),
            ({"CONTENT_LENGTH": "0"}, False),
            ({"CONTENT_LENGTH": "1"}, True),
            ({"CONTENT_LENGTH": "x"}, True),
            ({"HTTP_TRANSFER_ENCODING": "gzip"}, False),
            *((({**chunked, "REQUEST_METHOD": m}), True) for m in ("POST", "PUT", "PATCH")),
            *((({**chunked, "REQUEST_METHOD": m}), False) for m in ("GET", "DELETE", "HEAD")),
        ):
            with self.subTest(environ):
                self.assertIs(expected, request(**environ).has_body)

    def test_json_body(self) -> None:
        self.assertEqual(b"{}", request(b"{}next", CONTENT_LENGTH="2").read_json_body())
        body = b" " * (CHUNK_SIZE + 1)
        self.assertEqual(body, request(body, CONTENT_LENGTH=str(len(body))).read_json_body())
        limit = str(MAX_JSON_BODY)
        with self.assertRaisesRegex(errors.Invalid, f"after 0 of the announced {limit} bytes"):
            request(CONTENT_LENGTH=limit).read_json_body()
        for length in (str(MAX_JSON_BODY + 1), "9" * 10, "9" * 5000):
            with self.assertRaisesRegex(errors.LimitExceeded, f"larger than {limit} bytes"):
                request(CONTENT_LENGTH=length).read_json_body()
        for length in ("x", "-1", "\u0663"):
            with self.assertRaisesRegex(errors.Invalid, "with its Content-Length"):
                request(b"{}", CONTENT_LENGTH=length).read_json_body()
        with self.assertRaisesRegex(errors.Invalid, "with its Content-Length"):
            request(b"{}", CONTENT_LENGTH="2", HTTP_TRANSFER_ENCODING="Chunked").read_json_body()
        self.assertEqual(b"", request(b"{}").read_json_body())


if __name__ == "__main__":
    unittest.main()
