"""Errors as responses: status, headers, and one body in three media types."""

from __future__ import annotations

import io
import json
import unittest

import webob
from webob import exc

from glance_py.domain import errors
from glance_py.http import faults
from glance_py.http.request import REQUEST_ID, Request
from tests.unit.http.fakes import Answer

#: Markup, line ends and characters of other encodings.
HOSTILE = "<b>a</b>\r\n<!-- c <i> --> <BR x>b & \"q\" 'ü' ${status} \U0001f600"


def request(method: str = "GET", accept: str | None = None, **environ: object) -> Request:
    headers = {} if accept is None else {"HTTP_ACCEPT": accept}
    return Request(
        {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "/v2",
            "PATH_INFO": "/x",
            "SERVER_NAME": "host",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            **headers,
            **environ,
        }
    )


def answer(error: Exception, asked: Request | None = None) -> Answer:
    asked = asked or request()
    seen: list[tuple[str, list[tuple[str, str]]]] = []
    body = faults.response(error, asked)(
        asked.environ, lambda status, headers, exc_info=None: seen.append((status, headers))
    )
    return Answer(*seen[0], b"".join(body))


class BodyTest(unittest.TestCase):
    def test_html(self) -> None:
        for accept in ("*/*", "text/html", "text/*"):
            found = answer(errors.NotFound("a <b> & c"), request(accept=accept))
            self.assertEqual("text/html; charset=UTF-8", found.headers["content-type"])
            self.assertEqual(
                b"<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n"
                b"  <h1>404 Not Found</h1>\n  a &lt;b&gt; &amp; c<br /><br />\n\n\n\n"
                b" </body>\n</html>",
                found.body,
            )

    def test_text(self) -> None:
        for accept in (None, "", "text/plain", "image/png"):
            found = answer(errors.NotFound("line one\r\nand <b>two</b>"), request(accept=accept))
            self.assertEqual("text/plain; charset=UTF-8", found.headers["content-type"])
            self.assertEqual(b"404 Not Found\n\nline one and two\n\n   ", found.body)

    def test_json(self) -> None:
        found = answer(
            errors.NotFound("a <b> ü"), request(accept="text/html;q=0.1, application/json;q=0.5")
        )
        self.assertEqual("application/json", found.headers["content-type"])
        self.assertEqual(
            {"message": "a <b> ü", "code": "404 Not Found", "title": "Not Found"},
            json.loads(found.body),
        )

    def test_length(self) -> None:
        for accept in ("text/html", "text/plain", "application/json"):
            found = answer(errors.Invalid(HOSTILE), request(accept=accept))
            self.assertEqual(str(len(found.body)), found.headers["content-length"])

    def test_the_page_is_that_of_webob(self) -> None:
        """wire: clients of the original get the pages of WebOb."""
        for error_class in exc.status_map.values():
            if error_class.code < 400:
                continue
            for accept in ("text/html", "text/plain"):
                asked = request(accept=accept)
                for detail in (None, HOSTILE):
                    error = error_class(detail, explanation=HOSTILE)
                    error.body_template_obj = exc.WSGIHTTPException.body_template_obj
                    expected = webob.Request(asked.environ).get_response(error).body
                    self.assertEqual(expected, answer(error, asked).body, error_class)

    def test_head(self) -> None:
        found = answer(errors.NotFound("x"), request("HEAD", "application/json"))
        self.assertEqual(
            (404, b"", "text/html; charset=UTF-8", "0"),
            (
                found.status,
                found.body,
                found.headers["content-type"],
                found.headers["content-length"],
            ),
        )

    def test_errors_of_webob_keep_their_headers(self) -> None:
        found = answer(exc.HTTPMethodNotAllowed(explanation="x", headers={"Allow": "GET"}))
        self.assertEqual((405, "GET"), (found.status, found.headers["allow"]))

    def test_a_redirect_of_a_filter_stays(self) -> None:
        found = answer(exc.HTTPFound(location="http://other/"))
        self.assertEqual((302, "http://other/"), (found.status, found.headers["location"]))


class StatusTest(unittest.TestCase):
    def test_the_answer_of_another_worker_is_the_answer(self) -> None:
        for code, status in ((409, 409), (404, 404), (599, 502), (302, 502), (399, 502)):
            found = answer(errors.PeerRefused(code, "why"), request(accept="text/plain"))
            self.assertEqual(status, found.status)
            self.assertIn(b"answered %d why" % code, found.body)

    def test_a_client_may_try_again_after_what_passes(self) -> None:
        for error, seconds in (
            (errors.DatabaseUnavailable(), "5"),
            (errors.IdentityUnavailable(), "5"),
            (errors.OutcomeUnknown(), None),
            (errors.StoreUnavailable("s"), None),
            (errors.NotFound("x"), None),
        ):
            with self.subTest(error):
                self.assertEqual(seconds, answer(error).headers.get("retry-after"))

    def test_errors_of_the_service_are_logged(self) -> None:
        with self.assertLogs("glance_py.http.faults", "ERROR") as logged:
            answer(errors.DatabaseUnavailable(), request("PUT"))
        self.assertRegex(logged.output[0], "PUT /v2/x: ")
        with self.assertNoLogs("glance_py.http.faults"):
            answer(errors.NotFound("x"))

    def test_a_defect(self) -> None:
        for environ, known_as in (({REQUEST_ID: "req-1"}, " The request is req-1."), ({}, "")):
            with self.assertLogs("glance_py.http.faults", "ERROR") as logged:
                found = answer(
                    RuntimeError("secret"), request(accept="application/json", **environ)
                )
            self.assertEqual(
                (500, f"The service could not do this because of an error of its own.{known_as}"),
                (found.status, found.json["message"]),
            )
            self.assertIn("GET /v2/x failed", logged.output[0])
            self.assertIn("RuntimeError: secret", logged.output[0])

    def test_requests_of_other_filters_are_enough(self) -> None:
        other = webob.Request(request().environ)
        self.assertEqual(404, faults.response(errors.NotFound("x"), other).status_code)


if __name__ == "__main__":
    unittest.main()
