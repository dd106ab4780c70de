"""Identity without Keystone, for demonstrations and tests.

The token itself names user, project and roles, and is not verified.  Only the pipelines of the
flavor ``fakeauth`` have this filter; it logs a warning at the start and answers requests from
loopback addresses only.  It sets the headers that keystonemiddleware sets and removes those that a
client sends.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from glance_py.middleware.factory_deps import (
    LOOPBACK_ONLY,
    FactoryDependencies,
    Filter,
    needs_dependencies,
)

LOG = logging.getLogger(__name__)

#: Role -> the role and those that it implies, as ``keystone-manage bootstrap`` sets them up.
IMPLIED_ROLES = {
    "admin": ("admin", "manager", "member", "reader"),
    "manager": ("manager", "member", "reader"),
    "member": ("member", "reader"),
}

#: WSGI keys of the headers that only the filter may set.
_IDENTITY_HEADERS = tuple(
    f"HTTP_X_{service}{name}"
    for service in ("", "SERVICE_")
    for name in (
        "IDENTITY_STATUS",
        "USER_ID",
        "USER_NAME",
        "USER_DOMAIN_ID",
        "USER_DOMAIN_NAME",
        "PROJECT_ID",
        "PROJECT_NAME",
        "PROJECT_DOMAIN_ID",
        "PROJECT_DOMAIN_NAME",
        "ROLES",
        "DOMAIN_ID",
        "DOMAIN_NAME",
        "TENANT_ID",
        "TENANT_NAME",
        "TENANT",
        "USER",
        "ROLE",
        "IS_ADMIN_PROJECT",
        "CATALOG",
    )
) + ("HTTP_X_SERVICE_CATALOG", "HTTP_OPENSTACK_SYSTEM_SCOPE")


#: Loopback addresses as servers usually write them; a Unix socket has none.
_LOCAL_ADDRESSES = frozenset({"", "127.0.0.1", "::1"})

_FORBIDDEN_BODY = (
    b"This service believes every token (flavor fakeauth) and answers its own machine only.\n"
)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


class FakeAuth:
    """Reads ``X-Auth-Token: user:project:role`` and X-Service-Token of the same form.

    Roles are joined by ``+`` or ``,``; IMPLIED_ROLES are added.  The project ``none`` means no
    project.  A token of another form leaves the identity status "Invalid".
    """

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    @classmethod
    @needs_dependencies
    def factory(
        cls, deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
    ) -> Filter:
        """Paste filter factory; logs a warning that callers are not authenticated.

        The command ``glance-api`` then listens on loopback only (LOOPBACK_ONLY).  Other servers
        do not read that; the address of each request is checked in any case.
        """
        deps.server_requirements.add(LOOPBACK_ONLY)
        LOG.warning(
            "The flavor fakeauth does not authenticate callers: each is the user that its token "
            "names. Only you may be able to reach this service."
        )
        return cls

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        address = environ.get("REMOTE_ADDR", "")
        if address not in _LOCAL_ADDRESSES and not _is_loopback(address):
            start_response(
                "403 Forbidden",
                [("Content-Type", "text/plain"), ("Content-Length", str(len(_FORBIDDEN_BODY)))],
            )
            return [_FORBIDDEN_BODY]
        for name in _IDENTITY_HEADERS:
            environ.pop(name, None)
        environ["HTTP_X_IDENTITY_STATUS"] = "Invalid"
        self.set_identity_headers(environ, environ.get("HTTP_X_AUTH_TOKEN", ""), "HTTP_X_")
        if "HTTP_X_SERVICE_TOKEN" in environ:
            self.set_identity_headers(environ, environ["HTTP_X_SERVICE_TOKEN"], "HTTP_X_SERVICE_")
        return self.app(environ, start_response)

    @staticmethod
    def set_identity_headers(environ: WSGIEnvironment, token: str, prefix: str) -> None:
        """Set the identity headers that ``token`` means; none when it has another form.

        :param prefix: ``HTTP_X_`` for the caller, ``HTTP_X_SERVICE_`` for a service.
        """
        parts = token.split(":")
        if len(parts) != 3:
            return
        user, project, role_names = parts
        roles: dict[str, None] = {}
        for role in re.split("[+,]", role_names):
            roles.update(dict.fromkeys(IMPLIED_ROLES.get(role, (role,))))
        environ.update(
            {
                f"{prefix}IDENTITY_STATUS": "Confirmed",
                f"{prefix}USER_ID": user,
                f"{prefix}USER_NAME": user,
                f"{prefix}USER_DOMAIN_ID": "default",
                f"{prefix}ROLES": ",".join(role for role in roles if role),
            }
        )
        if project != "none":
            environ.update(
                {
                    f"{prefix}PROJECT_ID": project,
                    f"{prefix}PROJECT_NAME": project,
                    f"{prefix}PROJECT_DOMAIN_ID": "default",
                }
            )
