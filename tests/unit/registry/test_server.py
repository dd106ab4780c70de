"""The registry's answers: a request is checked whole, and errors go by name."""

import io
import unittest

from glance_py.context import RequestContext
from glance_py.registry import server
from glance_py.registry.server import Registry
from tests.unit.registry.fakes import HOST, ask, caller, fake_repositories

PING = [{"command": "ping"}]
RELEASE = {"command": "claims.release", "kwargs": {"image_id": "i", "holder": "h", "how": {}}}


class RegistryTest(unittest.TestCase):
    def setUp(self):
        self.calls = []
        self.app = Registry(fake_repositories(self.calls))

    def ask(self, ctx, document, **environ):
        return ask(self.app, ctx, document, **environ)

    def refused(self, status, ctx, document, **environ):
        self.assertEqual(status, self.ask(ctx, document, **environ)[0])
        self.assertEqual([], self.calls)

    def test_commands_are_done_in_order(self):
        status, answer = self.ask(HOST, [RELEASE, *PING, RELEASE])
        self.assertEqual((200, [{"result": None}] * 3), (status, answer))
        self.assertEqual(["claims.release", "ping", "claims.release"], self.calls)

    def test_nothing_is_done_when_one_command_is_wrong(self):
        self.refused(404, HOST, [RELEASE, {"command": "claims.break"}])
        self.refused(400, HOST, [RELEASE, {"command": "claims.release"}])
        self.refused(400, HOST, b"[")
        self.refused(413, HOST, PING * (server.MAX_COMMANDS + 1))

    def test_an_error_stands_in_its_place(self):
        _, answer = self.ask(
            caller(), [{"command": "images.get", "kwargs": {"image_id": "theirs"}}, *PING]
        )
        self.assertEqual(
            [{"error": {"class": "ImageNotFound", "args": ["theirs"]}}, {"result": None}], answer
        )

    def test_an_error_that_was_not_foreseen_keeps_its_secrets(self):
        with self.assertLogs("glance_py.registry.server", "ERROR"):
            status, answer = self.ask(
                caller(), [{"command": "images.list", "kwargs": {"query": {"marker": "bug"}}}]
            )
        self.assertEqual((200, "GlanceError"), (status, answer[0]["error"]["class"]))
        self.assertNotIn("secret", str(answer))

    def test_users_without_an_api_host_are_refused(self):
        for ctx in (None, caller(service_roles=None), RequestContext(read_only=True)):
            with self.assertLogs("glance_py.registry.server", "WARNING"):
                self.refused(403, ctx, PING)

    def test_read_only_callers_cannot_write(self):
        nobody = RequestContext(read_only=True, service_roles=["service"], is_admin=False)
        image = {"id": "mine", "owner": "p1"}
        _, answer = self.ask(
            nobody,
            [
                {"command": "images.get", "kwargs": {"image_id": "public"}},
                {"command": "images.create", "kwargs": {"image": {"id": "new"}}},
                {"command": "images.update", "kwargs": {"image": image, "change": {}}},
            ],
        )
        self.assertEqual(["result", "error", "error"], [next(iter(each)) for each in answer])
        self.assertEqual([], self.calls)

    def test_there_is_nothing_but_rpc(self):
        self.refused(404, HOST, PING, PATH_INFO="/v2/images")
        self.refused(405, HOST, PING, REQUEST_METHOD="GET")

    def test_bodies_of_another_length(self):
        self.refused(411, HOST, PING, CONTENT_LENGTH="")
        self.refused(411, HOST, PING, CONTENT_LENGTH="-1")
        self.refused(413, HOST, PING, CONTENT_LENGTH=str(server.MAX_BODY + 1))
        self.refused(400, HOST, PING, **{"wsgi.input": io.BytesIO(b"[")})
