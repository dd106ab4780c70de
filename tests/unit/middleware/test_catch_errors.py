"""Whatever a filter does, the request has an id and gets an answer."""

from __future__ import annotations

import concurrent.futures
import unittest

from oslo_context import context as thread_context

from glance_py import app
from glance_py.context import RequestContext, request_log_fields
from glance_py.domain import errors
from glance_py.http import faults
from glance_py.middleware.catch_errors import CatchErrors
from glance_py.middleware.context import ContextMiddleware
from glance_py.settings import ApiSettings
from tests.functional import service
from tests.unit.middleware.wsgi_helpers import RecordingApp, RoleEnforcer, call

MEMBER = {"HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_USER_ID": "u", "HTTP_X_PROJECT_ID": "p"}


class Raises:
    """An application that raises, perhaps after it began to answer."""

    def __init__(self, error: Exception, late: bool = False) -> None:
        self.error, self.late = error, late

    def __call__(self, environ, start_response):
        if self.late:
            start_response("200 OK", [])
        raise self.error


class CatchErrorsTest(unittest.TestCase):
    def ask(self, end, **environ):
        return call(CatchErrors(end, ApiSettings()), **environ)

    def test_an_exception_is_answered_and_logged(self) -> None:
        with self.assertLogs(faults.LOG, "ERROR") as logs:
            status, headers, body = self.ask(
                Raises(RuntimeError("secret")), HTTP_X_OPENSTACK_REQUEST_ID="req-known"
            )
        self.assertEqual((500, "req-known"), (status, headers["x-openstack-request-id"]))
        self.assertIn(b"req-known", body)
        self.assertNotIn(b"secret", body)
        self.assertIn("GET / failed", logs.output[0])

    def test_an_error_of_the_domain_has_its_status(self) -> None:
        with self.assertLogs(faults.LOG, "ERROR"):
            status, headers, _ = self.ask(Raises(errors.IdentityUnavailable()))
        self.assertEqual((503, "5"), (status, headers["retry-after"]))

    def test_half_an_answer_is_the_servers_business(self) -> None:
        with self.assertRaises(RuntimeError):
            self.ask(Raises(RuntimeError(), late=True))

    def test_the_id_of_a_request(self) -> None:
        """That of the caller, or a new one; one that is too long is refused by others."""
        for given, adopted in (
            ("abc", "req-abc"),
            ("req-x", "req-x"),
            ("a" * 64, "req-" + "a" * 64),
            ("a" * 65, None),
            ("", None),
        ):
            end = RecordingApp()
            _, headers, _ = self.ask(end, HTTP_X_OPENSTACK_REQUEST_ID=given)
            found = headers["x-openstack-request-id"]
            self.assertEqual(found, end.environ["openstack.request_id"])
            if adopted is None:
                self.assertRegex(found, "^req-.{36}$")
            else:
                self.assertEqual(adopted, found)

    def test_lines_before_the_caller_is_known_name_nobody(self) -> None:
        """Not the caller of the request that the thread served before."""
        seen = []

        def logs_early(inner):
            def app(environ, start_response):
                seen.append(thread_context.get_current())
                return inner(environ, start_response)

            return app

        end = RecordingApp()
        settings = ApiSettings()
        built = CatchErrors(logs_early(ContextMiddleware(end, settings, RoleEnforcer())), settings)
        for number in ("1", "2"):
            call(built, **MEMBER, HTTP_X_OPENSTACK_REQUEST_ID=number)
        self.assertEqual([request_log_fields("req-1"), request_log_fields("req-2")], seen)
        self.assertIs(end.environ["glance.context"], thread_context.get_current())


class ServiceTest(unittest.TestCase):
    """The service and the registry are wrapped."""

    def test_every_answer_has_a_request_id(self) -> None:
        with service.running() as (built, _directory):
            member = {"HTTP_X_AUTH_TOKEN": "u:p:member"}
            for path, environ, expected in (
                ("/v2/images", {}, 401),
                ("/v2/images", member, 200),
                ("/v2/images/x", member, 404),
                ("/", {}, 300),
                ("/healthcheck", {}, 200),
                ("/v2/images", {"HTTP_X_OPENSTACK_REQUEST_ID": "a" * 65}, 431),
            ):
                with self.subTest(path=path, expected=expected):
                    status, headers, _ = call(built, path, **environ)
                    self.assertEqual(expected, status)
                    self.assertRegex(headers["x-openstack-request-id"], "^req-.{36}$")

    def test_a_registry(self) -> None:
        with service.configured(behind_registry=False) as (conf, _directory):
            self.assertIsInstance(app.build_registry(conf).app, CatchErrors)

    def test_a_new_context_is_not_the_current_one(self) -> None:
        """Not even where there is none, as in a thread that works in the background."""

        def make():
            RequestContext(is_admin=True)
            return thread_context.get_current()

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            self.assertIsNone(pool.submit(make).result())
