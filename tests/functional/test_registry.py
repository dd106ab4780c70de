"""A service whose records are behind a registry: what differs from one with a database."""

from __future__ import annotations

import io
import json
import os
import tempfile
import unittest
from unittest import mock

from oslo_config import cfg

from glance_py import app, config
from glance_py.registry import repositories
from tests.functional import registry, service
from tests.functional.client import AppClient, files
from tests.functional.origin_server import serve, web_store
from tests.waiting import eventually


class ServiceTest(unittest.TestCase):
    def setUp(self) -> None:
        self.app, self.directory = self.enterContext(
            service.running("show_multiple_locations = true\n", behind_registry=True)
        )
        self.mine, self.theirs = (
            AppClient(self.app, "u:p1:member"),
            AppClient(self.app, "v:p2:member"),
        )

    def test_an_image_that_is_deleted_during_its_upload_leaves_nothing(self) -> None:
        image_id = self.mine.create()

        def chunks():
            yield b"x" * 100_000
            self.assertEqual(204, self.mine.call("DELETE", f"/v2/images/{image_id}").status_int)
            yield b"x" * 100_000

        answer = self.mine.upload_chunked(image_id, chunks())
        self.assertEqual(410, answer.status_int, answer.text)
        self.assertEqual([], files(f"{self.directory}/fast"))
        self.assertEqual(404, self.mine.call("GET", f"/v2/images/{image_id}").status_int)

    def test_who_sees_and_changes_what(self) -> None:
        image_id = self.mine.create(visibility="community")
        self.assertEqual(200, self.theirs.call("GET", f"/v2/images/{image_id}").status_int)
        for method, path in (("DELETE", ""), ("PUT", "/tags/a")):
            self.assertEqual(
                403, self.theirs.call(method, f"/v2/images/{image_id}{path}").status_int
            )
        self.mine.patch(image_id, {"op": "replace", "path": "/visibility", "value": "private"})
        self.assertEqual(404, self.theirs.call("GET", f"/v2/images/{image_id}").status_int)

    def test_one_question_for_what_one_request_asks(self) -> None:
        image_id = self.mine.create()
        wire = repositories.open_connection(self._conf())
        before = wire.calls
        self.mine.show(image_id)
        self.mine.call("GET", "/v2/images?limit=100")
        self.assertEqual(2, wire.calls - before)

    def _conf(self) -> cfg.ConfigOpts:
        return config.load(
            ["--config-file", f"{self.directory}/glance-api.conf"], conf=cfg.ConfigOpts()
        )


class RoundAboutTest(unittest.TestCase):
    """Ways around the policies that end at the registry."""

    def setUp(self) -> None:
        conf, _ = self.enterContext(service.configured(behind_registry=True))
        self.wire = registry.connect_to_new_registry(conf)

    def post(self, **headers: str) -> int:
        return self.wire.post(
            b'[{"command": "ping"}]',
            {
                "Content-Type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
            False,
        )[0]

    def test_a_user_with_nothing_but_a_token_is_refused(self) -> None:
        self.assertEqual(403, self.post(X_Auth_Token="u:p1:admin"))
        self.assertEqual(401, self.post())

    def test_identity_headers_are_not_believed(self) -> None:
        self.assertEqual(
            401,
            self.post(X_Identity_Status="Confirmed", X_Roles="service", X_Service_Roles="service"),
        )

    def test_a_token_and_one_of_the_service(self) -> None:
        self.assertEqual(
            200, self.post(X_Auth_Token="u:p1:member", X_Service_Token="glance:service:service")
        )


class TrustedTest(unittest.TestCase):
    """The flavor trusted-auth: the registry believes who knows the secret."""

    OPTIONS = "data_api = registry\nsend_identity_headers = true\nregistry_shared_secret = s3\n"

    def setUp(self) -> None:
        self.conf, self.directory = self.enterContext(service.configured(self.OPTIONS, False))
        own = config.load(["--config-file", self.conf.config_file[0]], conf=cfg.ConfigOpts())
        own.set_override("data_api", "sqlalchemy")
        own.set_override("flavor", "trusted-auth", "paste_deploy")
        self.wire = registry.InProcessConnection(app.build_registry(own).app)
        self.enterContext(
            mock.patch.object(repositories, "open_connection", lambda conf: self.wire)
        )

    def test_a_life(self) -> None:
        api = app.build(self.conf)
        mine, theirs = AppClient(api, "u:p1:member"), AppClient(api, "v:p2:member")
        image_id = mine.create()
        self.assertEqual(204, mine.upload(image_id, b"data").status_int)
        self.assertEqual(b"data", mine.download(image_id).body)
        self.assertEqual(404, theirs.call("GET", f"/v2/images/{image_id}").status_int)
        self.assertEqual(
            200, AppClient(api, "a:p3:admin").call("GET", f"/v2/images/{image_id}").status_int
        )
        self.assertEqual(204, mine.call("DELETE", f"/v2/images/{image_id}").status_int)

    def test_without_the_secret_nobody_is_believed(self) -> None:
        self.conf.set_override("registry_shared_secret", "wrong")
        with self.assertLogs("glance_py.registry.client", "ERROR"):
            answer = AppClient(app.build(self.conf), "u:p1:member").call("GET", "/v2/images")
        self.assertEqual(503, answer.status_int)


class StartTest(unittest.TestCase):
    def test_a_registry_behind_a_registry_does_not_start(self) -> None:
        conf, _ = self.enterContext(service.configured(behind_registry=True))
        with self.assertRaisesRegex(config.ConfigurationError, "data_api"):
            app.build_registry(conf)

    def test_a_registry_needs_a_configuration(self) -> None:
        from glance_py.cmd import registry as command

        said = io.StringIO()
        with (
            mock.patch.dict(os.environ, OS_GLANCE_CONFIG_DIR="/nonexistent"),
            mock.patch("sys.stderr", said),
        ):
            self.assertEqual(1, command.main([]))
        self.assertIn("glance-registry.conf", said.getvalue())

    def test_health_is_that_of_the_database(self) -> None:
        with service.configured(behind_registry=True) as (conf, directory):
            wire = registry.connect_to_new_registry(conf)
            statuses: list[str] = []

            def ask() -> str:
                environ = {
                    "REQUEST_METHOD": "GET",
                    "PATH_INFO": "/healthcheck/ready",
                    "wsgi.url_scheme": "http",
                    "SERVER_NAME": "r",
                    "SERVER_PORT": "1",
                    "wsgi.input": io.BytesIO(),
                }
                b"".join(wire.application(environ, lambda status, *_: statuses.append(status)))
                return statuses[-1][:3]

            self.assertEqual("200", ask())


OLD_PASTE = """\
[pipeline:glance-registry-trusted-auth]
pipeline = http_proxy_to_wsgi osprofiler context registryapp
[app:registryapp]
paste.app_factory = glance.registry.api:API.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:osprofiler]
paste.filter_factory = osprofiler.web:WsgiMiddleware.factory
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
"""


class OldPasteTest(unittest.TestCase):
    def test_a_paste_file_of_the_original_registry(self) -> None:
        conf, directory = self.enterContext(service.configured(behind_registry=False))
        with open(f"{directory}/registry-paste.ini", "w") as file:
            file.write(OLD_PASTE)
        conf.set_override("flavor", "trusted-auth", "paste_deploy")
        conf.set_override("config_file", f"{directory}/registry-paste.ini", "paste_deploy")
        wire = registry.InProcessConnection(app.build_registry(conf).app)
        headers = {
            "Content-Type": "application/json",
            "X-Identity-Status": "Confirmed",
            "X-User-Id": "u",
            "X-Roles": "member",
        }
        ping = b'[{"command": "ping"}]'
        self.assertEqual(403, wire.post(ping, headers, False)[0])
        self.assertEqual(200, wire.post(ping, {**headers, "X-Service-Roles": "service"}, False)[0])


class EntrustedTest(unittest.TestCase):
    """What the operator's rules let callers do to images of others."""

    def setUp(self) -> None:
        origin = serve(type(self), data=b"data")
        self.url = f"{origin.url}/data"
        rules = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".yaml"))
        rules.write('"copy_image": ""\n"add_member": "role:sharer"\n')
        rules.flush()
        self.app, _ = self.enterContext(
            service.running(
                web_store(origin) + f"[oslo_policy]\npolicy_file = {rules.name}\n",
                behind_registry=True,
            )
        )
        self.root = AppClient(self.app, "root:p9:admin+sharer")

    def post(self, who: AppClient, path: str, **document: object) -> int:
        return who.call(
            "POST",
            f"/v2/images/{path}",
            json.dumps(document).encode(),
            content_type="application/json",
        ).status_int

    def test_a_copy_to_another_store(self) -> None:
        image_id = self.root.create(visibility="public")
        self.root.upload(image_id, b"data")
        self.assertEqual(
            202,
            self.post(
                AppClient(self.app, "v:p2:member"),
                f"{image_id}/import",
                method={"name": "copy-image"},
                stores=["slow"],
            ),
        )
        self.assertEqual(
            "fast,slow",
            eventually(lambda: self.root.show(image_id)["stores"], lambda stores: "slow" in stores),
        )

    def test_data_that_another_service_registers(self) -> None:
        image_id = self.root.create(visibility="public")
        self.assertEqual(
            403,
            self.post(AppClient(self.app, "v:p2:member"), f"{image_id}/locations", url=self.url),
        )
        self.assertEqual(
            202,
            self.post(
                AppClient(self.app, "nova:p2:service"), f"{image_id}/locations", url=self.url
            ),
        )
        eventually(lambda: self.root.show(image_id)["status"], lambda status: status == "active")

    def test_a_share(self) -> None:
        image_id = self.root.create(visibility="shared")
        self.assertEqual(200, self.post(self.root, f"{image_id}/members", member="p2"))
        self.assertEqual(
            200,
            self.post(
                AppClient(self.app, "v:p2:member+sharer"), f"{image_id}/members", member="p3"
            ),
        )
        self.assertEqual(
            200, AppClient(self.app, "w:p3:member").call("GET", f"/v2/images/{image_id}").status_int
        )


class AnonymousTest(unittest.TestCase):
    def test_who_has_no_token_sees_public_images(self) -> None:
        options = (
            "allow_anonymous_access = true\n"
            "[oslo_policy]\nenforce_new_defaults = false\nenforce_scope = false\n"
        )
        with service.running(options, behind_registry=True) as (api, _):
            admin = AppClient(api, "a:p1:admin")
            public, private = admin.create(visibility="public"), admin.create()
            answer = AppClient(api, "").call("GET", "/v2/images")
            self.assertEqual([public], [each["id"] for each in json.loads(answer.text)["images"]])
            self.assertEqual(
                404, AppClient(api, "").call("GET", f"/v2/images/{private}").status_int
            )
            self.assertEqual(
                403, AppClient(api, "").call("DELETE", f"/v2/images/{public}").status_int
            )


if __name__ == "__main__":
    unittest.main()
