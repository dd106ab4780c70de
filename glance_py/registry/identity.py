"""Who asks the registry: the caller, or this host on its own account.

With Keystone the caller's own token goes with each request, and beside it the
token of this host, which says that the request comes from the service.  Then
Keystone also accepts a caller's token that ran out during a long upload.  Work
in the background has no caller: it goes with the token of this host alone.
"""

from __future__ import annotations

import logging
from typing import Any

from oslo_config import cfg

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.registry.authorization import SERVICE_ROLE
from glance_py.registry.options import KEYSTONE_TIMEOUT, SERVICE_USER_GROUP

LOG = logging.getLogger(__name__)

SECRET_HEADER = "X-Registry-Secret"

#: Identity headers as keystonemiddleware would set them, and whence their values come.
_IDENTITY_HEADERS = (
    ("X-User-Id", "user_id"),
    ("X-User-Domain-Id", "user_domain_id"),
    ("X-Project-Id", "project_id"),
    ("X-Project-Domain-Id", "project_domain_id"),
    ("X-Domain-Id", "domain_id"),
    ("OpenStack-System-Scope", "system_scope"),
)


def is_service_account(ctx: Caller | None) -> bool:
    """Does the service itself ask?

    So it does when there is no caller, and for a caller whom the operator's
    rules let have something done to what belongs to somebody else.
    """
    return ctx is None or ctx.is_elevated or (ctx.auth_token is None and bool(ctx.is_admin))


class KeystoneTokens:
    """Callers by their tokens, this host by the credentials in ``[service_user]``."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._session, self._auth = _service_credentials(conf)

    def headers(self, ctx: Caller | None) -> dict[str, str]:
        """Who asks.

        :raises errors.DatabaseUnavailable: this host got no token.
        """
        service_token = self._token()
        if ctx is None or is_service_account(ctx):
            return {"X-Auth-Token": service_token} if service_token else {}
        headers = {"X-Service-Token": service_token} if service_token else {}
        if ctx.auth_token is not None:
            headers["X-Auth-Token"] = ctx.auth_token
        return headers

    def refresh(self) -> bool:
        """Get another token of this host's own; False when it has none."""
        return self._auth is not None and self._auth.invalidate()

    def _token(self) -> str | None:
        if self._auth is None:
            return None
        try:
            return self._auth.get_token(self._session)
        except Exception as error:
            LOG.error("There is no token for [%s]: %s", SERVICE_USER_GROUP, error)
            raise errors.DatabaseUnavailable() from error


def _service_credentials(conf: cfg.ConfigOpts) -> tuple[Any, Any]:
    """Session and plugin for ``[service_user]``; Nones when it names no ``auth_type``.

    :raises ValueError: the section is wrong.
    """
    from keystoneauth1 import exceptions, loading

    loading.register_session_conf_options(conf, SERVICE_USER_GROUP)
    conf.set_default("timeout", KEYSTONE_TIMEOUT, group=SERVICE_USER_GROUP)
    loading.register_auth_conf_options(conf, SERVICE_USER_GROUP)
    try:
        auth = loading.load_auth_from_conf_options(conf, SERVICE_USER_GROUP)
        if auth is None:
            LOG.warning(
                "There are no credentials in [%s]: only a registry without "
                "authentication will answer.",
                SERVICE_USER_GROUP,
            )
            return None, None
        return loading.load_session_from_conf_options(conf, SERVICE_USER_GROUP), auth
    except (exceptions.ClientException, cfg.Error) as error:
        raise ValueError(f"[{SERVICE_USER_GROUP}]: {error}") from None


class IdentityHeaders:
    """Callers by name, for a registry that believes its API hosts (trusted-auth)."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._base_headers = {"X-Identity-Status": "Confirmed", "X-Service-Roles": SERVICE_ROLE}
        if conf.registry_shared_secret:
            self._base_headers[SECRET_HEADER] = conf.registry_shared_secret

    def headers(self, ctx: Caller | None) -> dict[str, str]:
        """Who asks."""
        if ctx is None or is_service_account(ctx):
            return {**self._base_headers, "X-User-Id": SERVICE_ROLE, "X-Roles": SERVICE_ROLE}
        headers = {**self._base_headers, "X-Roles": ",".join(ctx.roles)}
        if ctx.read_only:
            headers["X-Identity-Status"] = "Invalid"
        headers.update(
            (header, value)
            for header, name in _IDENTITY_HEADERS
            if (value := getattr(ctx, name)) is not None
        )
        return headers

    def refresh(self) -> bool:
        """There is nothing to renew."""
        return False
