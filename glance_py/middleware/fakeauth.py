"""Identity without Keystone, for demonstrations and tests.

Believes what the token says, so anyone can be anyone: it is part of no
pipeline but the flavor ``fakeauth``, says so loudly at the start and answers
this machine only.  It sets the headers that keystonemiddleware would set and
removes those a client sends.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable, Iterable

from glance_py.middleware import factory_deps

LOG = logging.getLogger(__name__)

#: What a role brings with it, as in a Keystone with its usual implications.
IMPLIED_ROLES = {
    "admin": ("admin", "manager", "member", "reader"),
    "manager": ("manager", "member", "reader"),
    "member": ("member", "reader"),
}

#: Headers that only an identity service may set.
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


#: Addresses of this machine, as servers usually write them.
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
    """``X-Auth-Token: user:project:role``; X-Service-Token likewise.

    Roles are joined by ``+`` or ``,``; admin implies manager, member and
    reader, and so on down.  The project ``none`` means no project.  Any other
    token leaves the identity "Invalid".
    """

    def __init__(self, app: Callable) -> None:
        self.app = app

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory; warns that nothing is checked.

        A server that knows where it listens refuses to start elsewhere than on
        loopback; under other servers each request is looked at.
        """
        factory_deps.current().server_requirements.add(factory_deps.LOOPBACK_ONLY)
        LOG.warning(
            "Authentication is a fake: every caller is believed to be whom its token "
            "names. Never let anyone reach this service but yourself."
        )
        return cls

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        # Servers behind a Unix socket name no address.
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
    def set_identity_headers(environ: dict, token: str, prefix: str) -> None:
        """Set the identity headers that start with ``prefix`` as ``token`` says."""
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
