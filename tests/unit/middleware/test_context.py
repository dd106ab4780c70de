"""Identity headers become the caller; nobody else does."""

from __future__ import annotations

import unittest

from oslo_context import context as thread_context

from glance_py.middleware.catch_errors import CatchErrors
from glance_py.middleware.context import ContextMiddleware, UnauthenticatedContextMiddleware
from glance_py.settings import ApiSettings
from tests.unit.middleware.wsgi_helpers import RecordingApp, RoleEnforcer, call

MEMBER = {
    "HTTP_X_IDENTITY_STATUS": "Confirmed",
    "HTTP_X_USER_ID": "u",
    "HTTP_X_PROJECT_ID": "p",
    "HTTP_X_ROLES": "Member, reader",
    "HTTP_X_AUTH_TOKEN": "secret",
}


class ContextTest(unittest.TestCase):
    def ask(self, environ: dict, kind=ContextMiddleware, **values):
        self.end = RecordingApp()
        settings = ApiSettings(**values)
        answer = call(CatchErrors(kind(self.end, settings, RoleEnforcer()), settings), **environ)
        self.ctx = self.end.environ["glance.context"] if self.end.environ else None
        return answer

    def test_confirmed(self) -> None:
        """User, project and roles are taken over, roles in lower case."""
        status, headers, _ = self.ask(MEMBER)
        self.assertEqual(200, status)
        self.assertEqual(
            ("u", "p", ["member", "reader"]),
            (self.ctx.user_id, self.ctx.project_id, self.ctx.roles),
        )
        self.assertFalse(self.ctx.is_admin)
        self.assertFalse(self.ctx.read_only)
        self.assertEqual(headers["x-openstack-request-id"], self.ctx.request_id)

    def test_admin_by_policy(self) -> None:
        self.ask({**MEMBER, "HTTP_X_ROLES": "ADMIN"})
        self.assertTrue(self.ctx.is_admin)

    def test_service(self) -> None:
        """A service that acts for the caller is known; without a token of its own it is not."""
        self.ask(
            {
                **MEMBER,
                "HTTP_X_SERVICE_TOKEN": "t",
                "HTTP_X_SERVICE_ROLES": "Service",
                "HTTP_X_SERVICE_USER_ID": "nova",
            }
        )
        self.assertEqual((["service"], "nova"), (self.ctx.service_roles, self.ctx.service_user_id))
        self.ask(MEMBER)
        self.assertEqual([], self.ctx.service_roles)

    def test_refused(self) -> None:
        """Without confirmed identity: 401, and the application is not reached."""
        for environ in ({}, {**MEMBER, "HTTP_X_IDENTITY_STATUS": "Invalid"}):
            self.assertEqual(401, self.ask(environ)[0])
            self.assertIsNone(self.ctx)

    def test_anonymous(self) -> None:
        """allow_anonymous_access makes a caller who may only look."""
        self.ask({}, allow_anonymous_access=True)
        self.assertTrue(self.ctx.read_only)
        self.assertFalse(self.ctx.is_admin)
        self.assertIsNone(self.ctx.project_id)

    def test_request_id(self) -> None:
        """An id that comes along is adopted; one that is too long is refused."""
        for given, adopted in (
            ("abc", "req-abc"),
            ("req-x", "req-x"),
            ("a" * 64, "req-" + "a" * 64),
        ):
            _, headers, _ = self.ask({**MEMBER, "HTTP_X_OPENSTACK_REQUEST_ID": given})
            self.assertEqual(adopted, headers["x-openstack-request-id"])
            self.assertEqual(adopted, self.ctx.request_id)
        self.assertEqual(431, self.ask({**MEMBER, "HTTP_X_OPENSTACK_REQUEST_ID": "a" * 65})[0])

    def test_log_lines_find_the_context(self) -> None:
        """oslo.log takes the request id from the thread: each request's own."""
        for number in ("1", "2"):
            self.ask({**MEMBER, "HTTP_X_OPENSTACK_REQUEST_ID": number})
            self.assertEqual(f"req-{number}", thread_context.get_current().request_id)

    def test_catalogue(self) -> None:
        self.ask({**MEMBER, "HTTP_X_SERVICE_CATALOG": '[{"type": "image"}]'})
        self.assertEqual([{"type": "image"}], self.ctx.service_catalog)
        self.ask({**MEMBER, "HTTP_X_SERVICE_CATALOG": "{"})
        self.assertIsNone(self.ctx.service_catalog)

    def test_unauthenticated(self) -> None:
        """Without authentication everybody is an administrator, whatever the headers say."""
        self.ask(
            {"HTTP_X_IDENTITY_STATUS": "Invalid", "HTTP_X_PROJECT_ID": "p"},
            UnauthenticatedContextMiddleware,
        )
        self.assertTrue(self.ctx.is_admin)
        self.assertIsNone(self.ctx.project_id)
