"""The flavor keystone: keystonemiddleware itself, with tokens that this test hands out."""

from __future__ import annotations

import datetime
import unittest
from unittest import mock

from keystoneauth1 import fixture
from keystonemiddleware import auth_token
from keystonemiddleware.auth_token import _exceptions
from oslo_config import cfg

from glance_py import app, config
from glance_py.registry import repositories
from tests.functional import registry, service
from tests.functional.client import AppClient
from tests.functional.keystone import SECTION

TOKEN = "glance:service:service"


def token(text: str, seconds: float) -> fixture.V3Token:
    """What Keystone says of the token ``user:project:role``, which is valid for ``seconds``."""
    user, project, role = text.split(":")
    now = datetime.datetime.now(datetime.UTC)
    made = fixture.V3Token(
        user_id=user, project_id=project, expires=now + datetime.timedelta(seconds=seconds)
    )
    made.add_role(name=role)
    return made


class KeystoneTest(unittest.TestCase):
    def setUp(self) -> None:
        conf, _ = self.enterContext(service.configured(behind_registry=True))
        self.valid = {TOKEN: 3600.0, "u:p1:member": 3600.0, "v:p2:member": 3600.0}
        for name, stand_in in (("fetch_token", self.fetch), ("_reject_auth_headers", [])):
            self.enterContext(mock.patch.object(auth_token.AuthProtocol, name, stand_in))
        with open(conf.config_file[0], "a") as file:
            # Nobody asks it: this test says what tokens are worth.
            file.write(
                SECTION.format(
                    group="keystone_authtoken", password="", url="http://keystone.invalid"
                )
            )
        own = config.load(["--config-file", conf.config_file[0]], conf=cfg.ConfigOpts())
        own.set_override("data_api", "sqlalchemy")
        own.set_override("flavor", "keystone", "paste_deploy")
        self.wire = registry.InProcessConnection(app.build_registry(own).app)
        self.enterContext(
            mock.patch.object(repositories, "open_connection", lambda conf: self.wire)
        )
        self.api = app.build(conf)
        self.mine = AppClient(self.api, "u:p1:member")

    def fetch(self, text: str, allow_expired: bool = False, **more: object) -> fixture.V3Token:
        seconds = self.valid.get(text)
        if seconds is None or (seconds < 0 and not allow_expired):
            raise _exceptions.InvalidToken()
        return token(text, seconds)

    def test_a_life(self) -> None:
        image_id = self.mine.create()
        self.assertEqual(204, self.mine.upload(image_id, b"data").status_int)
        self.assertEqual("active", self.mine.show(image_id)["status"])
        self.assertEqual(
            404, AppClient(self.api, "v:p2:member").call("GET", f"/v2/images/{image_id}").status_int
        )
        self.assertEqual(204, self.mine.call("DELETE", f"/v2/images/{image_id}").status_int)

    def test_a_token_that_runs_out_during_an_upload(self) -> None:
        """The token of the API host lets Keystone accept it a little longer."""
        image_id = self.mine.create()

        def chunks():
            yield b"data"
            self.valid["u:p1:member"] = -60.0

        self.assertEqual(204, self.mine.upload_chunked(image_id, chunks()).status_int)
        self.assertEqual("active", self.mine.show(image_id)["status"])

    def test_a_token_that_was_revoked(self) -> None:
        self.mine.create()
        del self.valid["u:p1:member"]
        self.assertEqual(401, self.mine.call("GET", "/v2/images").status_int)

    def test_an_api_host_that_keystone_does_not_know(self) -> None:
        del self.valid[TOKEN]
        with self.assertLogs("glance_py.registry.client", "ERROR"):
            self.assertEqual(503, self.mine.call("GET", "/v2/images").status_int)

    def test_a_user_without_an_api_host(self) -> None:
        headers = {"Content-Type": "application/json", "X-Auth-Token": "u:p1:member"}
        body = b'[{"command": "ping"}]'
        for more in (
            {},
            {"X-Service-Roles": "service"},
            {"X-Service-Token": "v:p2:member"},
            {"X-Service-Token": "made up"},
        ):
            self.assertEqual(403, self.wire.post(body, {**headers, **more}, False)[0])
        self.assertEqual(200, self.wire.post(body, {**headers, "X-Service-Token": TOKEN}, False)[0])


if __name__ == "__main__":
    unittest.main()
