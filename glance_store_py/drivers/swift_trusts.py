"""Keystone trusts, which give the service the rights of a user for one upload.

With a trust the service gets tokens of the user when the token of the request has
expired.  When Keystone creates no trust, the upload uses the token of the request.
Source: Identity API v3, extension OS-TRUST.
"""

from __future__ import annotations

import datetime
import logging
from typing import TYPE_CHECKING, Any

from glance_store_py.driver import StoreCaller
from glance_store_py.drivers.swift_accounts import get_fresh_token, keystone_session
from glance_store_py.drivers.swift_options import SwiftSettings

if TYPE_CHECKING:
    from keystoneauth1.session import Session

LOG = logging.getLogger(__name__)

#: The section of the service's own credentials.
SECTION = "keystone_authtoken"
#: A trust that could not be deleted expires after this time.
TRUST_LIFETIME = datetime.timedelta(days=7)

_UNSCOPED = dict.fromkeys(
    (
        "project_id",
        "project_name",
        "project_domain_id",
        "project_domain_name",
        "system_scope",
        "domain_id",
        "domain_name",
    )
)


class KeystoneTrust:
    """A trust of a user to the service."""

    def __init__(
        self, keystone: Session, settings: SwiftSettings, url: str, user_token: str | None
    ) -> None:
        self._keystone = keystone
        self._settings = settings
        self._url = url
        self._user_token = user_token

    @classmethod
    def create(cls, settings: SwiftSettings, caller: StoreCaller) -> KeystoneTrust | None:
        """A trust of the caller to the service; None when Keystone creates none."""
        from keystoneauth1 import exceptions

        try:
            return cls._create(settings, caller)
        except (exceptions.ClientException, exceptions.AuthPluginException) as error:
            LOG.warning(
                "There is no trust (%s): an upload that outlives its token will fail",
                type(error).__name__,
            )
            return None

    @classmethod
    def _create(cls, settings: SwiftSettings, caller: StoreCaller) -> KeystoneTrust | None:
        from keystoneauth1 import loading
        from oslo_config import cfg

        conf = cfg.ConfigOpts()
        conf([], project="glance", default_config_files=settings.options.config_files)
        loading.register_auth_conf_options(conf, SECTION)
        service: Any = loading.load_auth_from_conf_options(conf, SECTION)
        if service is None:
            return None
        keystone = keystone_session(settings, service)
        base = f"{service.auth_url.rstrip('/').removesuffix('/v3')}/v3/OS-TRUST/trusts"
        ends = datetime.datetime.now(datetime.UTC) + TRUST_LIFETIME
        response = keystone.post(
            base,
            authenticated=False,
            headers={"X-Auth-Token": caller.auth_token},
            json={
                "trust": {
                    "trustor_user_id": caller.user_id,
                    "trustee_user_id": keystone.get_user_id(),
                    "project_id": caller.project_id,
                    "impersonation": True,
                    "roles": [{"name": role} for role in caller.roles],
                    "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
                }
            },
        )
        trust_id = response.json()["trust"]["id"]
        trusted: Any = loading.load_auth_from_conf_options(
            conf, SECTION, trust_id=trust_id, **_UNSCOPED
        )
        return cls(
            keystone_session(settings, trusted), settings, f"{base}/{trust_id}", caller.auth_token
        )

    def token(self) -> str:
        """A token of the user."""
        return get_fresh_token(self._keystone, self._settings)

    def delete(self) -> None:
        """Delete the trust; a failure is logged."""
        from keystoneauth1 import exceptions

        try:
            self._keystone.delete(
                self._url, authenticated=False, headers={"X-Auth-Token": self._user_token}
            )
        except exceptions.ClientException as error:
            LOG.warning("A trust was not ended (%s) and expires later", type(error).__name__)
