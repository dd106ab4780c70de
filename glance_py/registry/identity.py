"""As whom an API host sends commands to the registry.

With Keystone a command carries two tokens: ``X-Auth-Token`` is the caller's, ``X-Service-Token``
this host's, which proves that the command comes from the service.  Keystone then accepts a token
of the caller that expired during a long upload.  Background work has no caller and sends the token
of this host as ``X-Auth-Token``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from oslo_config import cfg

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.registry.authorization import SERVICE_ROLE
from glance_py.registry.options import KEYSTONE_TIMEOUT, SERVICE_USER_GROUP

if TYPE_CHECKING:
    from keystoneauth1.plugin import BaseAuthPlugin
    from keystoneauth1.session import Session

LOG = logging.getLogger(__name__)

SECRET_HEADER = "X-Registry-Secret"

#: Header of keystonemiddleware -> key of :attr:`Caller.credentials` with its value.
_IDENTITY_HEADERS = (
    ("X-User-Id", "user_id"),
    ("X-User-Domain-Id", "user_domain_id"),
    ("X-Project-Id", "project_id"),
    ("X-Project-Domain-Id", "project_domain_id"),
    ("X-Domain-Id", "domain_id"),
    ("OpenStack-System-Scope", "system_scope"),
)


def is_service_account(ctx: Caller | None) -> bool:
    """True when a command is sent with the rights of the service instead of the caller's.

    That is the case without a caller, for an elevated caller (``Caller.elevated``), and for the
    service's own context (``is_admin`` without a token).
    """
    return ctx is None or ctx.is_elevated or (ctx.auth_token is None and bool(ctx.is_admin))


class KeystoneTokens:
    """Identity by tokens: the caller's, and this host's with the credentials in [service_user].

    :param conf: registers the options of keystoneauth in that section.
    :raises ValueError: the section has a wrong value.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._credentials = _service_credentials(conf)

    def headers(self, ctx: Caller | None) -> dict[str, str]:
        """See :class:`glance_py.registry.client.Identity`."""
        service_token = self._token()
        if ctx is None or is_service_account(ctx):
            return {"X-Auth-Token": service_token} if service_token else {}
        headers = {"X-Service-Token": service_token} if service_token else {}
        if ctx.auth_token is not None:
            headers["X-Auth-Token"] = ctx.auth_token
        return headers

    def refresh(self) -> bool:
        """Discard the token of this host, so that the next command gets another.

        :returns: False when this host has no credentials.
        """
        return self._credentials is not None and self._credentials[1].invalidate()

    def _token(self) -> str | None:
        if self._credentials is None:
            return None
        session, auth = self._credentials
        try:
            return auth.get_token(session)
        except Exception as error:
            LOG.error("Keystone gave no token for [%s]: %s", SERVICE_USER_GROUP, error)
            raise errors.DatabaseUnavailable() from error


def _service_credentials(conf: cfg.ConfigOpts) -> tuple[Session, BaseAuthPlugin] | None:
    """Session and plugin for ``[service_user]``; None when the section has no ``auth_type``.

    :raises ValueError: the section has a wrong value.
    """
    from keystoneauth1 import exceptions, loading

    loading.register_session_conf_options(conf, SERVICE_USER_GROUP)
    conf.set_default("timeout", KEYSTONE_TIMEOUT, group=SERVICE_USER_GROUP)
    loading.register_auth_conf_options(conf, SERVICE_USER_GROUP)
    try:
        auth = loading.load_auth_from_conf_options(conf, SERVICE_USER_GROUP)
        if auth is None:
            LOG.warning(
                "There are no credentials in [%s]: only a registry without authentication accepts "
                "requests of this host.",
                SERVICE_USER_GROUP,
            )
            return None
        return loading.load_session_from_conf_options(conf, SERVICE_USER_GROUP), auth
    except (exceptions.ClientException, cfg.Error) as error:
        raise ValueError(f"[{SERVICE_USER_GROUP}]: {error}") from None


class IdentityHeaders:
    """Identity by headers without a token, for a registry with the flavor trusted-auth.

    :param shared_secret: sent with every command (option ``registry_shared_secret``).
    """

    def __init__(self, shared_secret: str | None = None) -> None:
        self._base_headers = {"X-Identity-Status": "Confirmed", "X-Service-Roles": SERVICE_ROLE}
        if shared_secret:
            self._base_headers[SECRET_HEADER] = shared_secret

    def headers(self, ctx: Caller | None) -> dict[str, str]:
        """See :class:`glance_py.registry.client.Identity`."""
        if ctx is None or is_service_account(ctx):
            return {**self._base_headers, "X-User-Id": SERVICE_ROLE, "X-Roles": SERVICE_ROLE}
        headers = {**self._base_headers, "X-Roles": ",".join(ctx.roles)}
        if ctx.read_only:
            headers["X-Identity-Status"] = "Invalid"
        for header, name in _IDENTITY_HEADERS:
            value = ctx.credentials.get(name)
            if value is not None:
                headers[header] = str(value)
        return headers

    def refresh(self) -> bool:
        """There is no token: always False."""
        return False
