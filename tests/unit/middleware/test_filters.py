"""The smaller filters: fake authentication, compression, and what wraps the libraries'."""

from __future__ import annotations

import gzip
import unittest

from glance_py.middleware import composition
from glance_py.middleware.fakeauth import FakeAuth
from glance_py.middleware.gzip import GzipMiddleware
from glance_py.middleware.oslo import Cors, http_proxy_to_wsgi, osprofiler
from tests.unit.middleware.case import End, call, options


class FakeAuthTest(unittest.TestCase):
    def identity(self, **environ) -> dict:
        end = End()
        call(FakeAuth(end), **environ)
        return end.environ

    def test_token(self) -> None:
        """A token names user, project and roles; admin implies the lower ones."""
        environ = self.identity(HTTP_X_AUTH_TOKEN="u:p:member,auditor")
        self.assertEqual(("Confirmed", "u", "p", "member,reader,auditor"), tuple(
            environ[f"HTTP_X_{name}"] for name in
            ("IDENTITY_STATUS", "USER_ID", "PROJECT_ID", "ROLES")))
        self.assertEqual("admin,manager,member,reader",
                         self.identity(HTTP_X_AUTH_TOKEN="u:p:admin+reader")["HTTP_X_ROLES"])

    def test_no_project(self) -> None:
        self.assertNotIn("HTTP_X_PROJECT_ID", self.identity(HTTP_X_AUTH_TOKEN="u:none:member"))

    def test_headers_of_the_client(self) -> None:
        """Identity headers that a client sends along are not believed."""
        for token in ({}, {"HTTP_X_AUTH_TOKEN": "two:parts"}, {"HTTP_X_AUTH_TOKEN": ""}):
            environ = self.identity(HTTP_X_IDENTITY_STATUS="Confirmed", HTTP_X_ROLES="admin",
                                    HTTP_X_SERVICE_ROLES="service", **token)
            self.assertEqual("Invalid", environ["HTTP_X_IDENTITY_STATUS"])
            self.assertNotIn("HTTP_X_ROLES", environ)
            self.assertNotIn("HTTP_X_SERVICE_ROLES", environ)

    def test_service_token(self) -> None:
        environ = self.identity(HTTP_X_AUTH_TOKEN="u:p:member",
                                HTTP_X_SERVICE_TOKEN="nova:service:service")
        self.assertEqual(("nova", "service"), (environ["HTTP_X_SERVICE_USER_ID"],
                                               environ["HTTP_X_SERVICE_ROLES"]))

    def test_warns(self) -> None:
        with self.assertLogs("glance_py.middleware.fakeauth", "WARNING"):
            FakeAuth.factory({})


class GzipTest(unittest.TestCase):
    def ask(self, kind: str, **environ):
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", kind), ("Content-Length", "4000")])
            return [b"a" * 4000]
        return call(GzipMiddleware(app), **environ)

    def test_compresses(self) -> None:
        _, headers, body = self.ask("application/json", HTTP_ACCEPT_ENCODING="gzip, deflate")
        self.assertEqual("gzip", headers["content-encoding"])
        self.assertEqual(b"a" * 4000, gzip.decompress(body))

    def test_leaves_alone(self) -> None:
        """Clients that did not ask, and image data."""
        for kind, environ in (("application/json", {}),
                              ("application/json", {"HTTP_ACCEPT_ENCODING": "gzip;q=0"}),
                              ("application/octet-stream", {"HTTP_ACCEPT_ENCODING": "gzip"})):
            _, headers, body = self.ask(kind, **environ)
            self.assertNotIn("content-encoding", headers)
            self.assertEqual(4000, len(body))


class LibraryFiltersTest(unittest.TestCase):
    def factory(self, factory, conf, **local):
        with composition.composing(composition.Composition(conf, *[None] * 5)):
            return factory({}, **local)

    def test_cors(self) -> None:
        """Requests with an Origin that is allowed get the header; OPTIONS is answered."""
        conf = options()
        conf.set_override("allowed_origin", ["http://there"], group="cors")
        app = self.factory(Cors.factory, conf)(End())
        self.assertNotIn("access-control-allow-origin", call(app)[1])
        self.assertEqual("http://there", call(app, HTTP_ORIGIN="http://there")[1][
            "access-control-allow-origin"])
        self.assertEqual(200, call(app, method="OPTIONS")[0])

    def test_out_of_the_way(self) -> None:
        """A filter that is switched off is not in the pipeline at all."""
        end = End()
        self.assertIs(end, self.factory(http_proxy_to_wsgi, options())(end))
        self.assertIs(end, self.factory(osprofiler, options(), enabled="no", hmac_keys="k")(end))

    def test_proxy_headers(self) -> None:
        conf = options()
        conf.set_override("enable_proxy_headers_parsing", True, group="oslo_middleware")
        end = End()
        call(self.factory(http_proxy_to_wsgi, conf)(end), HTTP_X_FORWARDED_PROTO="https")
        self.assertEqual("https", end.environ["wsgi.url_scheme"])

    def test_outside_of_a_composition(self) -> None:
        with self.assertRaises(RuntimeError):
            Cors.factory({})
