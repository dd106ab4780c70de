"""Who is asking: from the identity headers to a RequestContext.

keystonemiddleware has verified the token and left what it knows in headers;
this room believes only those it leaves and refuses callers without identity.
It judges nothing but "who".
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

import webob.exc

from glance_py.context import RequestContext, set_current
from glance_py.http.request import CONTEXT_KEY, REQUEST_ID
from glance_py.middleware import factory_deps

LOG = logging.getLogger(__name__)

#: Context arguments that are taken over as they are, and their header.
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

#: The same of a service that acts for the caller.
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
    """Makes the context from keystonemiddleware's headers.

    401 for a caller whose identity is not confirmed (``delay_auth_decision``
    leaves the refusal to us), unless ``allow_anonymous_access`` lets it look
    around without changing anything.  431 for an overlong request id.
    """

    def __init__(self, app: Callable, conf: Any, enforcer: Any) -> None:
        self.app = app
        self.allow_anonymous = conf.allow_anonymous_access
        self.max_request_id_length = conf.max_request_id_length
        self.is_admin = enforcer.is_admin

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory."""
        deps = factory_deps.current()
        return lambda app: cls(app, deps.conf, deps.enforcer)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if len(environ.get("HTTP_X_OPENSTACK_REQUEST_ID", "")) > self.max_request_id_length:
            return webob.exc.HTTPRequestHeaderFieldsTooLarge(
                f"The request id has more than {self.max_request_id_length} characters."
            )(environ, start_response)
        ctx = self.context(environ, environ.get(REQUEST_ID))
        if ctx is None:
            return webob.exc.HTTPUnauthorized()(environ, start_response)
        set_current(ctx)
        environ[CONTEXT_KEY] = ctx
        return self.app(environ, start_response)

    def context(self, environ: dict, request_id: str | None) -> RequestContext | None:
        """The caller, or None when it may not even ask."""
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
    def context_from_headers(environ: dict, request_id: str | None) -> RequestContext:
        """The caller that keystonemiddleware has confirmed."""
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
    """Takes everybody for an administrator without a project.

    wire: that alone does not satisfy policies, which look at roles; the option
    ``roles`` of the filter (separated by commas, none by default) gives everybody some.
    """

    roles: tuple[str, ...] = ()

    @classmethod
    def factory(cls, global_conf: dict, roles: str = "", **local_conf: str) -> Callable:
        """Paste filter factory."""
        make_base = super().factory(global_conf, **local_conf)
        if not _split_roles(roles):
            LOG.warning(
                "Nobody is authenticated and nobody has a role: policies will refuse "
                "nearly everything. Choose a flavor such as keystone, or write roles = ... "
                "into the section of the filter unauthenticated-context."
            )

        def make_filter(app: Callable) -> Callable:
            middleware = make_base(app)
            middleware.roles = _split_roles(roles)
            return middleware

        return make_filter

    def context(self, environ: dict, request_id: str | None) -> RequestContext:
        return RequestContext(request_id=request_id, is_admin=True, roles=list(self.roles))


def _service_fields(environ: dict) -> dict[str, Any]:
    """The service that acts for the caller, if there is one, as context arguments."""
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
def _parse_catalog(text: str | None) -> list | None:
    """The service catalogue; parsed once for all requests that carry the same one."""
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        LOG.warning("The service catalogue of a request is not valid JSON; it is ignored.")
        return None
