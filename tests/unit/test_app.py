"""The whole service from its options: pipelines by flavor, old paste files, mistakes in words."""

from __future__ import annotations

import json
import pathlib
import tempfile
import unittest

from glance_py import app, config, pipeline
from tests.config import make_database, make_directories, text
from tests.unit.middleware.wsgi_helpers import call

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: Name of the file store -> its directory.
STORES = {"a": "images"}

#: A paste file as deployments have it.
OLD = """\
[composite:glance-api]
paste.composite_factory = glance.api:root_app_factory
/: api
/healthcheck: healthcheck
[composite:api]
paste.composite_factory = glance.api:pipeline_factory
default = cors http_proxy_to_wsgi versionnegotiation osprofiler unauthenticated-context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[app:healthcheck]
paste.app_factory = oslo_middleware:Healthcheck.app_factory
backends = disable_by_file
disable_by_file_path = {directory}/disabled
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:unauthenticated-context]
paste.filter_factory = glance.api.middleware.context:UnauthenticatedContextMiddleware.factory
[filter:osprofiler]
paste.filter_factory = osprofiler.web:WsgiMiddleware.factory
[filter:cors]
paste.filter_factory = oslo_middleware.cors:filter_factory
oslo_config_project = glance
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
"""


class Case(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        make_directories(self.directory, STORES)
        make_database(self.directory)

    def build(self, paste: str = "", beside: str | None = None):
        path = self.directory / "glance-api.conf"
        path.write_text(text(self.directory, STORES, paste=paste))
        if beside is not None:
            (self.directory / "glance-api-paste.ini").write_text(
                beside.replace("{directory}", str(self.directory))
            )
        conf = config.load(["--config-file", str(path)])
        return app.build(conf)

    def images(self, built, **environ) -> tuple[int, list | None]:
        status, _, body = call(built, "/v2/images", **environ)
        return status, json.loads(body)["images"] if status == 200 else None


class FlavorTest(Case):
    def test_default(self) -> None:
        """Everybody is an administrator; health and versions stand beside the API."""
        built = self.build()
        self.assertEqual((200, []), self.images(built))
        self.assertEqual((200, b"OK"), call(built, "/healthcheck")[::2])
        self.assertEqual(300, call(built, "/")[0])
        status, headers, answer = call(built, "/v2")
        self.assertEqual(
            (302, "http://img.example/v2/", b""), (status, headers.get("location"), answer)
        )

    def test_fakeauth(self) -> None:
        built = self.build("flavor = fakeauth")
        self.assertEqual((401, None), self.images(built))
        self.assertEqual((200, []), self.images(built, HTTP_X_AUTH_TOKEN="u:p:reader"))
        self.assertEqual(
            (401, None),
            self.images(built, HTTP_X_IDENTITY_STATUS="Confirmed", HTTP_X_ROLES="admin"),
        )

    def test_unknown(self) -> None:
        with self.assertRaisesRegex(pipeline.PipelineError, "glance-api-nothing"):
            self.build("flavor = nothing")

    def test_caching(self) -> None:
        """Without a place for it a pipeline that promises a cache does not start."""
        for flavor in ("caching", "keystone+cachemanagement"):
            with self.assertRaisesRegex(pipeline.PipelineError, "image_cache_dir"):
                self.build(f"flavor = {flavor}")


class PasteFileTest(Case):
    def test_of_a_deployment(self) -> None:
        """A paste file that an operator already has, found beside the configuration file."""
        with self.assertLogs("glance_py.middleware.context", "WARNING") as logs:
            built = self.build(beside=OLD)
        self.assertIn("have no role", logs.output[0])
        # Its filter gives nobody a role, so the policy answers.
        self.assertEqual((403, None), self.images(built))
        self.assertEqual(200, call(built, "/healthcheck")[0])
        (self.directory / "disabled").touch()
        self.assertEqual(503, call(built, "/healthcheck")[0])

    def test_named(self) -> None:
        (self.directory / "other.ini").write_text(
            OLD.replace("{directory}", str(self.directory))
            .replace("glance-api]", "glance-api-x]")
            .replace("default =", "x =")
        )
        built = self.build(f"flavor = x\nconfig_file = {self.directory}/other.ini")
        self.assertEqual((403, None), self.images(built))

    def test_missing(self) -> None:
        with self.assertRaisesRegex(pipeline.PipelineError, "config_file.*nowhere.ini"):
            self.build("config_file = nowhere.ini")

    def test_mistakes(self) -> None:
        """An error names the file and the section."""
        for old, new, section in (
            ("osprofiler.web:WsgiMiddleware.factory", "no.such:thing", "osprofiler"),
            ("[filter:cors]", "[filter:korse]", "cors"),
            ("/v2: apiv2app", "/v2: apiv3app", "apiv3app"),
            ("default = ", "keystone = ", "api"),
        ):
            with self.assertRaises(pipeline.PipelineError) as caught:
                self.build(beside=OLD.replace(old, new))
            self.assertIn("glance-api-paste.ini", str(caught.exception))
            self.assertIn(f"section {section!r}", str(caught.exception))

    def test_no_silent_default(self) -> None:
        """A flavor without a pipeline never falls back to the one that is open to all."""
        with self.assertRaisesRegex(pipeline.PipelineError, "no pipeline for the flavor 'x'"):
            self.build("flavor = x", beside=OLD.replace("glance-api]", "glance-api-x]"))


class URLMapTest(unittest.TestCase):
    def test_longest_whole_segment(self) -> None:
        seen = []

        def named(name):
            def answer(environ, start_response):
                seen.append((name, environ["SCRIPT_NAME"], environ["PATH_INFO"]))
                start_response("200 OK", [])
                return []

            return answer

        built = pipeline.URLMap({p: named(p) for p in ("/", "/v2", "/v2/deep")})
        for path in ("/v2/a", "/v2", "/v2x", "/v2/deep/b", "/"):
            call(built, path)
        self.assertEqual(
            [
                ("/v2", "/v2", "/a"),
                ("/v2", "/v2", ""),
                ("/", "", "/v2x"),
                ("/v2/deep", "/v2/deep", "/b"),
                ("/", "", "/"),
            ],
            seen,
        )


class SamplesTest(unittest.TestCase):
    def test_paste_file_is_the_packaged_one(self) -> None:
        self.assertEqual(
            (ROOT / "glance_py/etc/glance-api-paste.ini").read_text(),
            (ROOT / "etc/glance-api-paste.ini").read_text(),
        )
