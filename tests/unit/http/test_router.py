"""Paths, methods, bodies and errors, before and after the controllers."""

import unittest

from glance_py.domain import errors
from glance_py.http import faults
from tests.unit.http.fakes import Service

UNKNOWN = "11111111-1111-4111-8111-111111111111"


def subclasses(cls):
    for each in cls.__subclasses__():
        yield each
        yield from subclasses(each)


class Paths(unittest.TestCase):
    def setUp(self):
        self.service = Service()

    def test_unknown_paths(self):
        for path in (
            "/",
            "/image",
            "/images/",
            "/images/x/y/z",
            "/images/x/tags",
            "/images.json",
            "/images/x/tags/",
            "/schemas",
            "/schemas/nope",
            "/images/x/actions/explode",
        ):
            for method in ("GET", "POST", "HEAD"):
                with self.subTest(path=path, method=method):
                    self.assertEqual(404, self.service.call(method, path).status)
        self.assertEqual(501, self.service.call("FOO", "/nothing").status)

    def test_wrong_methods_name_the_right_ones(self):
        for method, path, allow in (
            ("FOO", "/images", "GET, POST"),
            ("HEAD", "/images", "GET, POST"),
            ("PUT", "/images/x", "DELETE, GET, PATCH"),
            ("POST", "/images/x/file", "GET, PUT"),
            ("GET", "/images/x/stage", "PUT"),
            ("GET", "/images/x/tags/t", "DELETE, PUT"),
            ("GET", "/images/x/actions/deactivate", "POST"),
            ("POST", "/schemas/metadefs/tags", "GET"),
        ):
            with self.subTest(method=method, path=path):
                answer = self.service.call(method, path)
                self.assertEqual((405, allow), (answer.status, answer.headers["allow"]))

    def test_the_path_of_the_api_itself_is_redirected(self):
        answer = self.service.call("GET", "")
        self.assertEqual(
            (302, "http://host/v2/", "0"),
            (answer.status, answer.headers["location"], answer.headers["content-length"]),
        )

    def test_slashes_in_a_row_are_one(self):
        self.assertEqual(200, self.service.call("GET", "//images").status)

    def test_paths_are_utf8_and_stay_bytes(self):
        self.assertEqual(400, self.service.call("GET", "/images/\xff").status)
        image = self.service.image()
        self.service.call("PUT", f"/images/{image}/tags/\xc3\xbc")
        self.assertEqual(["\xc3\xbc"], self.service.images.get(None, image).tags)
        self.assertEqual(204, self.service.call("DELETE", f"/images/{image}/tags/\xc3\xbc").status)
        self.assertEqual([], self.service.images.get(None, image).tags)


class Bodies(unittest.TestCase):
    def test_bodies_where_none_belongs(self):
        service = Service()
        for method, path in (
            ("GET", "/images/x"),
            ("DELETE", "/images/x"),
            ("PUT", "/images/x/tags/t"),
            ("GET", "/images/x/file"),
            ("POST", "/images/x/actions/deactivate"),
            ("GET", "/info/stores"),
            ("GET", "/schemas/image"),
            ("GET", "/images/x/members"),
        ):
            with self.subTest(method=method, path=path):
                self.assertEqual(400, service.call(method, path, b"x").status)
        self.assertEqual(200, service.call("GET", "/images", b"x").status)

    def test_documents_have_a_length_and_an_end(self):
        service = Service()
        self.assertEqual(400, service.call("POST", "/images").status)
        self.assertEqual(
            400,
            service.call(
                "POST", "/images", b"{}", extra={"HTTP_TRANSFER_ENCODING": "chunked"}
            ).status,
        )
        self.assertEqual(
            400, service.call("POST", "/images", b"{}", extra={"CONTENT_LENGTH": "x"}).status
        )
        self.assertEqual(
            413, service.call("POST", "/images", b"{}", extra={"CONTENT_LENGTH": str(2**40)}).status
        )
        self.assertEqual(
            413, service.call("POST", "/images", b"{}", extra={"CONTENT_LENGTH": "9" * 5000}).status
        )

    def test_anonymous_callers_only_look(self):
        service = Service()
        self.assertEqual(200, service.call("GET", "/images", read_only=True).status)
        for method, path in (
            ("POST", "/images"),
            ("DELETE", "/images/x"),
            ("PUT", "/images/x/file"),
        ):
            self.assertEqual(403, service.call(method, path, read_only=True).status)


class Faults(unittest.TestCase):
    def test_every_error_of_the_domain_has_a_status(self):
        unforeseen = {
            each for each in subclasses(errors.GlanceError) if faults.status_class(each) is None
        }
        self.assertEqual(set(), unforeseen)

    def test_the_class_nearest_to_the_error_decides(self):
        for error, code in (
            (errors.ImageNotFound, 404),
            (errors.PolicyForbids, 403),
            (errors.StatusConflict, 409),
            (errors.InvalidImageFormat, 415),
            (errors.QuotaExceeded, 413),
            (errors.MarkerNotFound, 400),
        ):
            self.assertEqual(code, faults.status_class(error).code)

    def test_three_forms_of_an_error(self):
        service = Service()
        path = f"/images/{UNKNOWN}"
        answer = service.call("GET", path, accept="application/json")
        self.assertEqual(
            {
                "message": f"No image found with ID {UNKNOWN}",
                "code": "404 Not Found",
                "title": "Not Found",
            },
            answer.json,
        )
        answer = service.call("GET", path, accept="*/*")
        self.assertEqual("text/html; charset=UTF-8", answer.headers["content-type"])
        answer = service.call("GET", path, accept="text/plain")
        self.assertEqual("text/plain; charset=UTF-8", answer.headers["content-type"])

    def test_what_was_not_foreseen_is_logged_and_not_shown(self):
        service = Service()

        def fail(ctx, image_id):
            raise RuntimeError("secret")

        service.images.get = fail
        with self.assertLogs("glance_py.http.faults", "ERROR") as logged:
            answer = service.call("GET", "/images/x")
        self.assertEqual(500, answer.status)
        self.assertIn(b"req-1", answer.body)
        self.assertNotIn(b"secret", answer.body)
        self.assertIn("RuntimeError: secret", logged.output[0])

    def test_without_a_context_nobody_is_let_in(self):
        seen = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/images", "wsgi.url_scheme": "http"}
        Service().api(environ, lambda status, headers, exc_info=None: seen.append(status))
        self.assertEqual(["401 Unauthorized"], seen)
