"""Makes the RequestContext of a request from identity headers.

keystonemiddleware verifies the token, removes identity headers that the client sent and sets its
own.  The filters here read those and refuse callers whose identity is not confirmed.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import webob.exc

from glance_py.context import RequestContext, set_current
from glance_py.http.request import CONTEXT_KEY, REQUEST_ID
from glance_py.middleware.factory_deps import FactoryDependencies, Filter, needs_dependencies
from glance_py.policies.enforcer import Enforcer
from glance_py.settings import ApiSettings

LOG = logging.getLogger(__name__)

#: Arguments of RequestContext that have the value of a header -> the header.
_CALLER_HEADERS = (
    ("auth_token", "HTTP_X_AUTH_TOKEN"),
    ("user_id", "HTTP_X_USER_ID"),
    ("user_name", "HTTP_X_USER_NAME"),
    ("user_domain_id", "HTTP_X_USER_DOMAIN_ID"),
    ("user_domain_name", "HTTP_X_USER_DOMAIN_NAME"),
    ("project_name", "HTTP_X_PROJECT_NAME"),
    ("project_domain_id", "HTTP_X_PROJECT_DOMAIN_ID"),
    ("project_domain_name", "HTTP_X_PROJECT_DOMAIN_NAME"),
    ("domain_id", "HTTP_X_DOMAIN_ID"),
    ("domain_name", "HTTP_X_DOMAIN_NAME"),
    ("system_scope", "HTTP_OPENSTACK_SYSTEM_SCOPE"),
)

#: The same for a service that acts for the caller (service token).
_SERVICE_HEADERS = (
    ("service_token", "HTTP_X_SERVICE_TOKEN"),
    ("service_user_id", "HTTP_X_SERVICE_USER_ID"),
    ("service_user_name", "HTTP_X_SERVICE_USER_NAME"),
    ("service_user_domain_id", "HTTP_X_SERVICE_USER_DOMAIN_ID"),
    ("service_user_domain_name", "HTTP_X_SERVICE_USER_DOMAIN_NAME"),
    ("service_project_id", "HTTP_X_SERVICE_PROJECT_ID"),
    ("service_project_name", "HTTP_X_SERVICE_PROJECT_NAME"),
    ("service_project_domain_id", "HTTP_X_SERVICE_PROJECT_DOMAIN_ID"),
    ("service_project_domain_name", "HTTP_X_SERVICE_PROJECT_DOMAIN_NAME"),
)


class ContextMiddleware:
    """Makes the context from the headers of keystonemiddleware.

    Answers 401 to a caller whose identity is not confirmed (with ``delay_auth_decision``
    keystonemiddleware leaves that to this filter); with ``allow_anonymous_access`` such a caller
    may read.  Answers 431 to a request id that is too long.
    """

    def __init__(self, app: WSGIApplication, settings: ApiSettings, enforcer: Enforcer) -> None:
        self.app = app
        self.allow_anonymous = settings.allow_anonymous_access
        self.max_request_id_length = settings.max_request_id_length
        self.is_admin = enforcer.is_admin

    @classmethod
    @needs_dependencies
    def factory(
        cls, deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
    ) -> Filter:
        """Paste filter factory."""
        return lambda app: cls(app, deps.settings.api, deps.enforcer)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if len(environ.get("HTTP_X_OPENSTACK_REQUEST_ID", "")) > self.max_request_id_length:
            return _refuse(
                webob.exc.HTTPRequestHeaderFieldsTooLarge(
                    f"The request id has more than {self.max_request_id_length} characters."
                ),
                environ,
                start_response,
            )
        ctx = self.context(environ, environ.get(REQUEST_ID))
        if ctx is None:
            return _refuse(webob.exc.HTTPUnauthorized(), environ, start_response)
        set_current(ctx)
        environ[CONTEXT_KEY] = ctx
        return self.app(environ, start_response)

    def context(self, environ: WSGIEnvironment, request_id: str | None) -> RequestContext | None:
        """The caller, None when the request must be refused with 401."""
        if environ.get("HTTP_X_IDENTITY_STATUS") != "Confirmed":
            if not self.allow_anonymous:
                return None
            return RequestContext(
                read_only=True, request_id=request_id, is_admin=False, **_service_fields(environ)
            )
        ctx = self.context_from_headers(environ, request_id)
        ctx.is_admin = self.is_admin(ctx)
        return ctx

    @staticmethod
    def context_from_headers(environ: WSGIEnvironment, request_id: str | None) -> RequestContext:
        """The caller by the headers of keystonemiddleware."""
        get = environ.get
        fields = {name: environ[header] for name, header in _CALLER_HEADERS if header in environ}
        fields.update(_service_fields(environ))
        return RequestContext(
            request_id=request_id,
            project_id=get("HTTP_X_PROJECT_ID") or get("HTTP_X_TENANT_ID"),
            roles=_roles(get("HTTP_X_ROLES", "")),
            is_admin_project=get("HTTP_X_IS_ADMIN_PROJECT", "true").lower() == "true",
            service_catalog=_parse_catalog(get("HTTP_X_SERVICE_CATALOG")),
            **fields,
        )


class UnauthenticatedContextMiddleware(ContextMiddleware):
    """Makes every caller an administrator without a project.

    wire: ``is_admin`` alone does not satisfy policies, which ask for roles.  The option ``roles``
    of the filter (names separated by commas, none by default) gives every caller some.
    """

    roles: tuple[str, ...] = ()

    @classmethod
    @needs_dependencies
    def factory(
        cls,
        deps: FactoryDependencies,
        global_conf: dict[str, str],
        /,
        roles: str = "",
        **local_conf: str,
    ) -> Filter:
        """Paste filter factory."""
        if not _split_roles(roles):
            LOG.warning(
                "Callers are not authenticated and have no role: policies will refuse nearly "
                "everything. Choose a flavor such as keystone, or write roles = ... into the "
                "section of the filter unauthenticated-context."
            )

        def make_filter(app: WSGIApplication) -> WSGIApplication:
            middleware = cls(app, deps.settings.api, deps.enforcer)
            middleware.roles = _split_roles(roles)
            return middleware

        return make_filter

    def context(self, environ: WSGIEnvironment, request_id: str | None) -> RequestContext:
        return RequestContext(request_id=request_id, is_admin=True, roles=list(self.roles))


def _refuse(
    error: webob.exc.WSGIHTTPException, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    body: Iterable[bytes] = error(environ, start_response)
    return body


def _service_fields(environ: WSGIEnvironment) -> dict[str, Any]:
    """Arguments of RequestContext about the service that acts for the caller; {} without one."""
    if "HTTP_X_SERVICE_TOKEN" not in environ and "HTTP_X_SERVICE_ROLES" not in environ:
        return {}
    fields: dict[str, Any] = {
        name: environ[header] for name, header in _SERVICE_HEADERS if header in environ
    }
    fields["service_roles"] = _roles(environ.get("HTTP_X_SERVICE_ROLES", ""))
    return fields


@functools.lru_cache(maxsize=256)
def _split_roles(text: str) -> tuple[str, ...]:
    return tuple(role.strip().lower() for role in text.split(",") if role.strip())


def _roles(text: str) -> list[str]:
    return list(_split_roles(text))


@functools.lru_cache(maxsize=64)
def _parse_catalog(text: str | None) -> list[Mapping[str, Any]] | None:
    """The service catalogue, JSON; parsed once for all requests that carry the same one."""
    if not text:
        return None
    try:
        catalog: list[Mapping[str, Any]] = json.loads(text)
        return catalog
    except ValueError:
        LOG.warning("The service catalogue of a request is not valid JSON; it is ignored.")
        return None
