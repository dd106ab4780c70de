"""Requests about data that is staged on the disk of another worker."""

from __future__ import annotations

import types
import unittest
from unittest import mock

from keystoneauth1 import exceptions
from oslo_config import cfg

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.importing import stage_host
from glance_py.importing.proxy import ImportProxy
from glance_py.settings import HostSettings, Settings
from tests.unit.importing.fakes import CALLER, ID, direct, web
from tests.unit.layers.fake import Images

PEER = "http://peer:9292/"


class Importer:
    """Remembers what was started; ``staged`` says what this host can read."""

    def __init__(self) -> None:
        self.started: list[object] = []
        self.staged = False

    def start(self, ctx, image, request) -> None:
        self.started.append(request)

    def has_staged_data(self, image_id: str) -> bool:
        return self.staged


class ImportProxyTest(unittest.TestCase):
    def setUp(self) -> None:
        self.inner, self.importer = Images(), Importer()
        deps = types.SimpleNamespace(
            conf="conf", settings=Settings(host=HostSettings(worker_self_reference_url="http://me"))
        )
        self.layer = ImportProxy(self.inner, deps, self.importer)
        self.forwarded: list[tuple] = []
        self.error: Exception | None = None
        self.enterContext(mock.patch.object(stage_host, "forward_request", self.forward))

    def forward(self, *request) -> None:
        self.forwarded.append(request)
        if self.error is not None:
            raise self.error

    def image(self, host: str | None = PEER, status: str = "uploading") -> Image:
        properties = {} if host is None else {"os_glance_stage_host": host}
        return Image(ID, status=status, properties=properties)

    def test_an_import_there(self) -> None:
        self.layer.import_(CALLER, self.image(), direct())
        self.assertEqual(
            [("conf", CALLER, PEER, "POST", f"/v2/images/{ID}/import", {"d": 1})], self.forwarded
        )
        self.assertEqual([], self.importer.started)

    def test_an_import_here(self) -> None:
        for image, request, staged in (
            (self.image(), web(), False),
            (self.image(None), direct(), False),
            (self.image("http://me"), direct(), False),
            (self.image(), direct(), True),
        ):
            self.importer.staged = staged
            self.layer.import_(CALLER, image, request)
            self.assertIs(request, self.importer.started[-1])
        self.assertEqual(([], 4), (self.forwarded, len(self.importer.started)))

    def test_a_deletion_there(self) -> None:
        self.layer.delete(CALLER, self.image())
        self.assertEqual([("conf", CALLER, PEER, "DELETE", f"/v2/images/{ID}")], self.forwarded)
        self.assertEqual([], self.inner.operations)

    def test_a_deletion_here(self) -> None:
        for image in (self.image(None), self.image(status="importing")):
            self.layer.delete(CALLER, image)
        self.assertEqual(([], ["delete", "delete"]), (self.forwarded, self.inner.operations))

    def test_a_deletion_while_the_other_worker_is_away(self) -> None:
        for error in (errors.PeerUnreachable("x"), errors.PeerFailed()):
            self.error = error
            with self.assertLogs("glance_py.importing.proxy", "WARNING"):
                self.layer.delete(CALLER, self.image())
        self.error = errors.PeerRefused(500, "broken")
        self.layer.delete(CALLER, self.image())
        self.assertEqual(["delete"] * 3, self.inner.operations)

    def test_a_deletion_that_the_other_worker_refuses(self) -> None:
        self.error = errors.PeerRefused(499, "no")
        with self.assertRaises(errors.PeerRefused):
            self.layer.delete(CALLER, self.image())
        self.assertEqual([], self.inner.operations)


class Session:
    """Stands for a keystoneauth session: remembers requests, and answers or raises."""

    made: list[dict]
    requests: list[tuple]
    answer: object

    def __init__(self, **how) -> None:
        self.made.append(how)

    def request(self, url, method, **how):
        self.requests.append((url, method, how))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class ForwardTest(unittest.TestCase):
    def setUp(self) -> None:
        self.session = type(
            "Recorded", (Session,), {"made": [], "requests": [], "answer": self.answer(204)}
        )
        self.enterContext(mock.patch("keystoneauth1.session.Session", self.session))
        self.conf = cfg.ConfigOpts()
        self.ctx = RequestContext(auth_token="secret", request_id="req-1")

    @staticmethod
    def answer(status: int, reason: str | None = "why") -> object:
        return types.SimpleNamespace(status_code=status, reason=reason)

    def forward(self, ctx: RequestContext | None = None) -> None:
        stage_host.forward_request(self.conf, ctx or self.ctx, PEER, "POST", "/v2/x", {"a": 1})

    def test_the_request(self) -> None:
        self.forward()
        [(url, method, how)] = self.session.requests
        self.assertEqual(("http://peer:9292/v2/x", "POST"), (url, method))
        self.assertEqual(
            {
                "json": {"a": 1},
                "raise_exc": False,
                "connect_retries": 1,
                "redirect": False,
                "timeout": 60,
                "headers": {"X-Openstack-Request-Id": "req-1"},
            },
            how,
        )
        [made] = self.session.made
        self.assertEqual("secret", made["auth"].token)
        self.assertIs(True, made["verify"])

    def test_a_caller_without_token_and_request_id(self) -> None:
        ctx = RequestContext(request_id="")
        ctx.request_id = None
        self.forward(ctx)
        self.assertEqual({}, self.session.requests[0][2]["headers"])
        self.assertEqual("", self.session.made[0]["auth"].token)

    def test_a_service_token(self) -> None:
        self.ctx.service_token = "of the service"
        self.forward()
        self.assertEqual(
            "of the service", self.session.requests[0][2]["headers"]["X-Service-Token"]
        )

    def test_certificates_are_verified_as_those_of_keystone(self) -> None:
        group = "keystone_authtoken"
        self.conf.register_opts([cfg.BoolOpt("insecure"), cfg.StrOpt("cafile")], group)
        for insecure, cafile, verify in (
            (None, None, True),
            (False, "/ca.pem", "/ca.pem"),
            (True, "/ca.pem", False),
        ):
            self.conf.set_override("insecure", insecure, group)
            self.conf.set_override("cafile", cafile, group)
            self.forward()
            self.assertEqual(verify, self.session.made[-1]["verify"])

    def test_answers(self) -> None:
        for status in (200, 202, 299):
            self.session.answer = self.answer(status)
            self.forward()
        for status, reason in ((199, "x"), (300, "x"), (404, None), (500, "x")):
            self.session.answer = self.answer(status, reason)
            with self.assertRaises(errors.PeerRefused) as raised:
                self.forward()
            self.assertEqual((status, reason or ""), raised.exception.args)

    def test_no_answer(self) -> None:
        for error, expected in (
            (exceptions.ConnectFailure(), errors.PeerUnreachable),
            (exceptions.ConnectTimeout(), errors.PeerUnreachable),
            (exceptions.UnknownConnectionError("x", None), errors.PeerFailed),
        ):
            self.session.answer = error
            with (
                self.assertRaises(expected) as raised,
                self.assertLogs("glance_py.importing.stage_host", "ERROR"),
            ):
                self.forward()
            self.assertIs(expected, type(raised.exception))


if __name__ == "__main__":
    unittest.main()
