"""Who asks, and what becomes of answers."""

import unittest

import orjson

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.registry import client, identity, protocol, repositories
from tests.unit.factories import make_conf

CALLER = RequestContext(
    auth_token="ann's",
    user_id="ann",
    project_id="p1",
    roles=["member"],
    request_id="req-" + "x" * 100,
)
ANONYMOUS = RequestContext(read_only=True, is_admin=False)
ADMIN_CONTEXT = RequestContext(is_admin=True)


class FakeConnection:
    """Answers what it is told to, and notes what it was sent."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.sent = []

    def post(self, body, headers, is_repeatable):
        self.sent.append((orjson.loads(body), headers, is_repeatable))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Auth:
    """Credentials of this host, as keystoneauth has them."""

    def __init__(self):
        self.turn = 0

    def get_token(self, session):
        return f"own-{self.turn}"

    def invalidate(self):
        self.turn += 1
        return True


def result(value):
    return 200, orjson.dumps([{"result": value}])


def error(name, *args):
    return 200, orjson.dumps([{"error": {"class": name, "args": args}}])


class ClientCase(unittest.TestCase):
    def client(self, *answers, auth=None):
        self.connection = FakeConnection(*answers)
        tokens = identity.KeystoneTokens.__new__(identity.KeystoneTokens)
        tokens._credentials = None if auth is None else (None, auth)
        self._client = client.RegistryClient(self.connection, tokens)
        return repositories.RemoteImages(self._client)

    def claims(self):
        return repositories.RemoteClaims(self._client)

    def headers(self, turn=-1):
        return self.connection.sent[turn][1]


class IdentityTest(ClientCase):
    def test_a_caller_asks_with_its_token_and_this_host_vouches(self):
        self.client(result({"id": "i"}), auth=Auth()).get(CALLER, "i")
        self.assertEqual(
            ("ann's", "own-0"), (self.headers()["X-Auth-Token"], self.headers()["X-Service-Token"])
        )

    def test_this_host_asks_with_its_own(self):
        images = self.client(result([]), result({"id": "i"}), result({"id": "i"}), auth=Auth())
        self.claims().held()
        images.get(ADMIN_CONTEXT, "i")
        images.update(CALLER.elevated(), Image("i"), ImageChange())
        for turn in range(3):
            self.assertEqual("own-0", self.headers(turn)["X-Auth-Token"])
            self.assertNotIn("X-Service-Token", self.headers(turn))

    def test_an_anonymous_caller_does_not_become_the_service(self):
        self.client(result({"id": "i"}), auth=Auth()).get(ANONYMOUS, "i")
        self.assertNotIn("X-Auth-Token", self.headers())
        self.assertEqual("own-0", self.headers()["X-Service-Token"])

    def test_a_host_without_credentials_has_no_token(self):
        images = self.client(result([]), result({"id": "i"}))
        self.claims().held()
        self.assertNotIn("X-Auth-Token", self.headers())
        images.get(CALLER, "i")
        self.assertNotIn("X-Service-Token", self.headers())

    def test_the_request_keeps_its_id(self):
        self.client(result({"id": "i"})).get(CALLER, "i")
        self.assertEqual(CALLER.request_id[:64], self.headers()["X-Openstack-Request-Id"])

    def test_an_old_token_of_this_host_is_renewed_once(self):
        for status in (401, 403):
            images = self.client((status, b""), result({"id": "i"}), auth=Auth())
            self.assertEqual("i", images.get(CALLER, "i").id)
            self.assertEqual("own-1", self.headers()["X-Service-Token"])

    def test_identity_headers_name_the_caller(self):
        headers = identity.IdentityHeaders("s").headers
        self.assertEqual(
            {
                "X-Identity-Status": "Confirmed",
                "X-Service-Roles": "service",
                "X-Registry-Secret": "s",
                "X-User-Id": "ann",
                "X-Project-Id": "p1",
                "X-Roles": "member",
            },
            headers(CALLER),
        )
        self.assertEqual("service", headers(ADMIN_CONTEXT)["X-Roles"])
        self.assertEqual("Invalid", headers(ANONYMOUS)["X-Identity-Status"])
        self.assertNotIn("X-Registry-Secret", identity.IdentityHeaders().headers(CALLER))

    def test_credentials_that_make_no_sense_stop_the_start(self):
        made = make_conf()
        identity.KeystoneTokens(made)
        made.set_override("auth_type", "nonsense", "service_user")
        with self.assertRaisesRegex(ValueError, "service_user"):
            identity.KeystoneTokens(made)


class AnswerTest(ClientCase):
    def fails(self, expected, *answers, ctx=CALLER, **more):
        images = self.client(*answers, **more)
        with self.assertRaises(errors.GlanceError) as raised:
            images.get(ctx, "i")
        self.assertIs(expected, type(raised.exception))
        return raised.exception

    def test_an_error_is_the_one_that_the_database_gave(self):
        self.assertEqual(("i",), self.fails(errors.ImageNotFound, error("ImageNotFound", "i")).args)

    def test_an_invalid_token_of_the_caller_is_not_authenticated(self):
        self.fails(errors.NotAuthenticated, (401, b""))
        self.fails(errors.NotAuthenticated, (401, b""), (401, b""), auth=Auth())

    def test_other_responses_mean_that_the_database_is_unavailable(self):
        for answer in (
            (403, b""),
            (404, b""),
            (500, b"<html>"),
            (503, b""),
            (302, b""),
            (200, b"<html>"),
            (200, b"[]"),
        ):
            with self.assertLogs("glance_py.registry.client", "ERROR"):
                self.fails(errors.DatabaseUnavailable, answer)
        with self.assertLogs("glance_py.registry.client", "ERROR"):
            self.fails(errors.DatabaseUnavailable, (401, b""), ctx=ADMIN_CONTEXT)

    def test_only_what_changes_nothing_is_sent_again(self):
        images = self.client(result({"id": "i"}), result({"id": "i"}))
        images.get(CALLER, "i")
        images.update(CALLER, Image("i"), ImageChange())
        self.assertEqual(
            [True, False], [is_repeatable for _, _, is_repeatable in self.connection.sent]
        )

    def test_a_change_whose_answer_is_lost_is_asked_for_again_under_its_key(self):
        for lost in (
            errors.OutcomeUnknown(),
            (504, b"<html>"),
            (200, b""),
            error("OutcomeUnknown"),
        ):
            images = self.client(lost, result({"id": "i"}))
            with self.assertLogs("glance_py.registry.client"):
                self.assertEqual("i", images.update(CALLER, Image("i"), ImageChange()).id)
            first, second = (sent for sent, _, _ in self.connection.sent)
            self.assertEqual(first, second)
            self.assertGreaterEqual(len(first[0]["key"]), 16)

    def test_an_unconfirmed_write_has_an_unknown_outcome(self):
        for second in (
            errors.OutcomeUnknown(),
            errors.DatabaseUnavailable(),
            (401, b""),
            (404, b""),
            error("OutcomeUnknown"),
        ):
            images = self.client(errors.OutcomeUnknown(), second)
            with self.assertLogs("glance_py.registry.client"):
                self.assertRaises(errors.OutcomeUnknown, images.delete, CALLER, Image("i"))
            self.assertEqual(2, len(self.connection.sent))

    def test_a_change_that_was_surely_not_made_is_not_unknown(self):
        for answer in (errors.DatabaseUnavailable(), (404, b""), (413, b"")):
            images = self.client(answer)
            with self.assertRaises(errors.DatabaseUnavailable) as raised:
                images.delete(CALLER, Image("i"))
            self.assertIs(errors.DatabaseUnavailable, type(raised.exception))
            self.assertEqual(1, len(self.connection.sent))

    def test_what_may_be_done_twice_has_no_key(self):
        images = self.client(result([]), result({"id": "i"}))
        self.claims().held()
        images.get(CALLER, "i")
        self.assertEqual(
            [True, True], [is_repeatable for _, _, is_repeatable in self.connection.sent]
        )
        self.assertFalse(any("key" in sent[0] for sent, _, _ in self.connection.sent))

    def test_each_change_has_a_key_of_its_own(self):
        images = self.client(*[result({"id": "i"})] * 2)
        keys = set()
        for _ in range(2):
            images.update(CALLER, Image("i"), ImageChange())
            keys.add(self.connection.sent[-1][0][0]["key"])
        self.assertEqual(2, len(keys))

    def test_an_unavailable_database_does_not_prove_that_the_first_write_failed(self):
        """The caller would treat the image as unchanged, and might delete data that it has now."""
        images = self.client(errors.OutcomeUnknown(), error("DatabaseUnavailable"))
        with self.assertLogs("glance_py.registry.client"):
            self.assertRaises(errors.OutcomeUnknown, images.delete, CALLER, Image("i"))

    def test_ping(self):
        connection = FakeConnection(result(None), error("DatabaseUnavailable"))
        conf = make_conf(send_identity_headers=True)
        ping = repositories.remote_repositories(conf, connection).ping
        self.assertIsNone(ping())
        self.assertRaises(errors.DatabaseUnavailable, ping)
        self.assertEqual(
            [[{"command": "ping", "kwargs": {}}]] * 2, [body for body, _, _ in connection.sent]
        )

    def test_repositories_have_the_operations_of_their_ports_and_no_others(self):
        conf = make_conf(send_identity_headers=True)
        found = repositories.remote_repositories(conf, FakeConnection())
        for name, port in protocol.PORTS.items():
            self.assertEqual(
                {each for each in vars(port) if not each.startswith("_")},
                {each for each in vars(type(getattr(found, name))) if not each.startswith("_")},
            )

    def test_heartbeats_use_the_connection_for_heartbeats(self):
        connection, for_heartbeats = FakeConnection(), FakeConnection(result([]))
        connection.for_heartbeats = lambda: for_heartbeats
        conf = make_conf(send_identity_headers=True)
        found = repositories.remote_repositories(conf, connection).for_heartbeats()
        self.assertEqual([], found.claims.beat(["h"]))
        self.assertEqual(1, len(for_heartbeats.sent))
