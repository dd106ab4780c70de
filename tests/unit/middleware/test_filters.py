"""The smaller filters: fake authentication, compression, and what wraps the libraries'."""

from __future__ import annotations

import gzip
import os
import tempfile
import unittest
from unittest import mock

from oslo_config import cfg

from glance_py import config
from glance_py.middleware.factory_deps import LOOPBACK_ONLY
from glance_py.middleware.fakeauth import FakeAuth
from glance_py.middleware.gzip import GzipMiddleware
from glance_py.middleware.oslo import Cors, http_proxy_to_wsgi, osprofiler
from glance_py.middleware.shared_secret import SharedSecret
from glance_py.settings import RegistrySettings, Settings
from tests.unit.middleware.wsgi_helpers import RecordingApp, call, factory_dependencies, options


class FakeAuthTest(unittest.TestCase):
    def identity(self, **environ) -> dict:
        end = RecordingApp()
        call(FakeAuth(end), **environ)
        return end.environ

    def test_token(self) -> None:
        """A token names user, project and roles; admin implies the lower ones."""
        environ = self.identity(HTTP_X_AUTH_TOKEN="u:p:member,auditor")
        self.assertEqual(
            ("Confirmed", "u", "p", "member,reader,auditor"),
            tuple(
                environ[f"HTTP_X_{name}"]
                for name in ("IDENTITY_STATUS", "USER_ID", "PROJECT_ID", "ROLES")
            ),
        )
        self.assertEqual(
            "admin,manager,member,reader",
            self.identity(HTTP_X_AUTH_TOKEN="u:p:admin+reader")["HTTP_X_ROLES"],
        )

    def test_other_machines_are_refused(self) -> None:
        for address in (
            "10.0.0.1",
            "::",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "127.0.0.1.nip.io",
            "host",
        ):
            end = RecordingApp()
            status, _, body = call(
                FakeAuth(end), HTTP_X_AUTH_TOKEN="u:p:admin", REMOTE_ADDR=address
            )
            self.assertEqual((403, None), (status, end.environ), address)
            self.assertIn(b"fakeauth", body)
        for address in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", ""):
            self.assertEqual(
                "Confirmed",
                self.identity(HTTP_X_AUTH_TOKEN="u:p:admin", REMOTE_ADDR=address)[
                    "HTTP_X_IDENTITY_STATUS"
                ],
            )

    def test_no_project(self) -> None:
        self.assertNotIn("HTTP_X_PROJECT_ID", self.identity(HTTP_X_AUTH_TOKEN="u:none:member"))

    def test_headers_of_the_client(self) -> None:
        """Identity headers that a client sends along are not believed."""
        for token in ({}, {"HTTP_X_AUTH_TOKEN": "two:parts"}, {"HTTP_X_AUTH_TOKEN": ""}):
            environ = self.identity(
                HTTP_X_IDENTITY_STATUS="Confirmed",
                HTTP_X_ROLES="admin",
                HTTP_X_SERVICE_ROLES="service",
                **token,
            )
            self.assertEqual("Invalid", environ["HTTP_X_IDENTITY_STATUS"])
            self.assertNotIn("HTTP_X_ROLES", environ)
            self.assertNotIn("HTTP_X_SERVICE_ROLES", environ)

    def test_service_token(self) -> None:
        environ = self.identity(
            HTTP_X_AUTH_TOKEN="u:p:member", HTTP_X_SERVICE_TOKEN="nova:service:service"
        )
        self.assertEqual(
            ("nova", "service"),
            (environ["HTTP_X_SERVICE_USER_ID"], environ["HTTP_X_SERVICE_ROLES"]),
        )

    def test_warns(self) -> None:
        deps = factory_dependencies()
        with self.assertLogs("glance_py.middleware.fakeauth", "WARNING"):
            FakeAuth.factory(deps, {})
        self.assertEqual({LOOPBACK_ONLY}, deps.server_requirements)


class SharedSecretTest(unittest.TestCase):
    def ask(self, **environ):
        deps = factory_dependencies(
            settings=Settings(registry=RegistrySettings(registry_shared_secret="s\u00e9same"))
        )
        self.end = RecordingApp()
        return call(SharedSecret.factory(deps, {})(self.end), **environ)

    def test_the_secret_goes_no_further(self) -> None:
        given = "s\u00e9same".encode().decode("latin-1")
        self.assertEqual(200, self.ask(HTTP_X_REGISTRY_SECRET=given)[0])
        self.assertNotIn("HTTP_X_REGISTRY_SECRET", self.end.environ)

    def test_another_secret_or_none(self) -> None:
        for environ in ({}, {"HTTP_X_REGISTRY_SECRET": "sesame"}, {"HTTP_X_REGISTRY_SECRET": ""}):
            self.assertEqual((403, None), (self.ask(**environ)[0], self.end.environ))

    def test_no_secret_no_filter(self) -> None:
        end = RecordingApp()
        with self.assertLogs("glance_py.middleware.shared_secret", "WARNING"):
            self.assertIs(end, SharedSecret.factory(factory_dependencies(), {})(end))


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
        for kind, environ in (
            ("application/json", {}),
            ("application/json", {"HTTP_ACCEPT_ENCODING": "gzip;q=0"}),
            ("application/octet-stream", {"HTTP_ACCEPT_ENCODING": "gzip"}),
        ):
            _, headers, body = self.ask(kind, **environ)
            self.assertNotIn("content-encoding", headers)
            self.assertEqual(4000, len(body))


class LibraryFiltersTest(unittest.TestCase):
    def factory(self, factory, conf, **local):
        return factory(factory_dependencies(conf), {}, **local)

    def read(self, text: str) -> cfg.ConfigOpts:
        """Options as a file with ``text`` gives them."""
        directory = self.enterContext(tempfile.TemporaryDirectory())
        path = os.path.join(directory, "glance-api.conf")
        with open(path, "w") as file:
            file.write(text)
        return config.load(["--config-file", path], conf=cfg.ConfigOpts())

    def test_cors(self) -> None:
        """Requests with an Origin that is allowed get the header; OPTIONS is answered."""
        conf = self.read("[cors]\nallowed_origin = http://there\n")
        app = self.factory(Cors.factory, conf)(RecordingApp())
        self.assertNotIn("access-control-allow-origin", call(app)[1])
        self.assertEqual(
            "http://there", call(app, HTTP_ORIGIN="http://there")[1]["access-control-allow-origin"]
        )
        self.assertEqual(200, call(app, method="OPTIONS")[0])
        self.assertIn("X-Image-Meta-Checksum", conf.cors.allow_headers)
        self.assertEqual(["GET", "PUT", "POST", "DELETE", "PATCH"], conf.cors.allow_methods)

    def test_cors_that_nobody_configured_answers_all_the_same(self) -> None:
        app = self.factory(Cors.factory, self.read(""))(RecordingApp())
        self.assertEqual(200, call(app, method="OPTIONS")[0])
        self.assertNotIn("access-control-allow-origin", call(app, HTTP_ORIGIN="http://there")[1])

    def test_a_wrong_value_of_cors_stops_the_start(self) -> None:
        conf = self.read("[cors]\nmax_age = soon\n")
        with self.assertRaisesRegex(ValueError, "max_age"):
            self.factory(Cors.factory, conf)(RecordingApp())

    def test_cors_by_the_paste_file(self) -> None:
        """Options of the filter's own section come before those of the service."""
        conf = self.read("[cors]\nallowed_origin = http://there\nmax_age = 7\n")
        for project in ({}, {"oslo_config_project": "glance"}):
            app = self.factory(
                Cors.factory, conf, allowed_origin="http://here, http://beside", **project
            )(RecordingApp())
            for origin, allowed in (
                ("http://here", True),
                ("http://beside", True),
                ("http://there", False),
            ):
                _, headers, _ = call(
                    app,
                    method="OPTIONS",
                    HTTP_ORIGIN=origin,
                    HTTP_ACCESS_CONTROL_REQUEST_METHOD="GET",
                )
                self.assertEqual(
                    origin if allowed else None, headers.get("access-control-allow-origin")
                )
                self.assertEqual("7" if allowed else None, headers.get("access-control-max-age"))
        self.assertEqual(
            "http://there",
            call(self.factory(Cors.factory, conf)(RecordingApp()), HTTP_ORIGIN="http://there")[1][
                "access-control-allow-origin"
            ],
        )

    def test_cors_with_a_configuration_of_its_own(self) -> None:
        directory = self.enterContext(tempfile.TemporaryDirectory())
        path = os.path.join(directory, "cors.conf")
        with open(path, "w") as file:
            file.write("[cors]\nallowed_origin = http://here\n")
        app = self.factory(
            Cors.factory, self.read(""), oslo_config_project="glance", oslo_config_file=path
        )(RecordingApp())
        self.assertEqual(
            "http://here", call(app, HTTP_ORIGIN="http://here")[1]["access-control-allow-origin"]
        )

    def test_a_wrong_value_of_the_paste_file_stops_the_start(self) -> None:
        with self.assertRaisesRegex(ValueError, "max_age"):
            self.factory(Cors.factory, self.read(""), allowed_origin="*", max_age="soon")(
                RecordingApp()
            )

    def test_cors_allows_the_headers_of_image_clients(self) -> None:
        app = self.factory(Cors.factory, self.read("[cors]\nallowed_origin = http://there\n"))(
            RecordingApp()
        )
        wanted = (
            "x-openstack-image-size,x-image-meta-store,x-auth-token,content-type,range,"
            "if-none-match,x-openstack-append,x-image-cache-clear-target"
        )
        _, headers, _ = call(
            app,
            "/v2/images/i/file",
            "OPTIONS",
            HTTP_ORIGIN="http://there",
            HTTP_ACCESS_CONTROL_REQUEST_METHOD="PUT",
            HTTP_ACCESS_CONTROL_REQUEST_HEADERS=wanted,
        )
        self.assertEqual(wanted, headers.get("access-control-allow-headers"))

    def test_out_of_the_way(self) -> None:
        """A filter that is switched off is not in the pipeline at all."""
        end = RecordingApp()
        self.assertIs(end, self.factory(http_proxy_to_wsgi, options())(end))
        self.assertIs(end, self.factory(osprofiler, options(), enabled="no", hmac_keys="k")(end))

    def test_proxy_headers(self) -> None:
        end = RecordingApp()
        conf = self.read("[oslo_middleware]\nenable_proxy_headers_parsing = true\n")
        call(self.factory(http_proxy_to_wsgi, conf)(end), HTTP_X_FORWARDED_PROTO="https")
        self.assertEqual("https", end.environ["wsgi.url_scheme"])

    def test_proxy_headers_by_the_paste_file(self) -> None:
        for configured, local, expected in (("false", "true", "https"), ("true", "false", "http")):
            end = RecordingApp()
            conf = self.read(f"[oslo_middleware]\nenable_proxy_headers_parsing = {configured}\n")
            call(
                self.factory(http_proxy_to_wsgi, conf, enable_proxy_headers_parsing=local)(end),
                HTTP_X_FORWARDED_PROTO="https",
            )
            self.assertEqual(expected, end.environ["wsgi.url_scheme"])

    def test_proxy_headers_by_the_environment(self) -> None:
        end = RecordingApp()
        with mock.patch.dict(
            os.environ, {"OS_OSLO_MIDDLEWARE__ENABLE_PROXY_HEADERS_PARSING": "true"}
        ):
            call(
                self.factory(http_proxy_to_wsgi, self.read(""))(end), HTTP_X_FORWARDED_PROTO="https"
            )
        self.assertEqual("https", end.environ["wsgi.url_scheme"])

    def test_a_factory_that_another_loader_calls(self) -> None:
        for factory in (Cors.factory, http_proxy_to_wsgi):
            with self.assertRaisesRegex(RuntimeError, "glance_py.wsgi.api:application"):
                factory({}, allowed_origin="*")
