"""Accounts of the service in Swift, and its credentials for Keystone.

Reads the references of ``swift_store_config_file`` or the older options, fetches
tokens, and finds the URL of the account in the catalog.  Connects when a token is first
needed.
"""

from __future__ import annotations

import configparser
import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from glance_store_py import errors
from glance_store_py.drivers.swift_client import SwiftAuthenticationFailed
from glance_store_py.drivers.swift_options import SwiftSettings
from glance_store_py.process import PerProcess

if TYPE_CHECKING:
    from keystoneauth1.plugin import BaseAuthPlugin
    from keystoneauth1.session import Session

LOG = logging.getLogger(__name__)

#: Seconds that Keystone may take to answer.
KEYSTONE_TIMEOUT = 30

_INTERFACES = {"publicURL": "public", "adminURL": "admin", "internalURL": "internal"}
_DOMAIN = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class AccountReference:
    """The credentials of an account in Keystone: user and key, or an application credential."""

    auth_address: str
    user: str = ""
    key: str = dataclasses.field(default="", repr=False)
    project: tuple[tuple[str, str], ...] = ()
    credential_id: str = ""
    credential_secret: str = dataclasses.field(default="", repr=False)

    @property
    def host(self) -> str:
        """Host and port of Keystone."""
        return urlsplit(self.auth_address).netloc

    @classmethod
    def from_values(cls, values: Mapping[str, str]) -> AccountReference:
        """The reference of a section of the file; the older options have the same names."""
        project, separator, user = values.get("user", "").rpartition(":")
        wanted = {
            name: values[name]
            for name in (
                "project_id",
                "project_name",
                "user_domain_id",
                "user_domain_name",
                "project_domain_id",
                "project_domain_name",
            )
            if values.get(name)
        }
        if separator:
            wanted.setdefault("project_name", project)
        return cls(
            values.get("auth_address", ""),
            user,
            values.get("key", ""),
            tuple(wanted.items()),
            values.get("application_credential_id", ""),
            values.get("application_credential_secret", ""),
        )

    @classmethod
    def from_location(cls, auth_address: str, credentials: str) -> AccountReference:
        """The reference of ``user:key`` in a URL of an old release."""
        user, _, key = credentials.rpartition(":")
        return cls.from_values(
            {"auth_address": auth_address, "user": unquote(user), "key": unquote(key)}
        )

    def missing_options(self) -> str | None:
        """The names of options without which no token can be had; None when it is complete."""
        if not self.auth_address:
            return "auth_address"
        if self.credential_id or self.credential_secret:
            return (
                None
                if self.credential_id and self.credential_secret
                else ("application_credential_id and application_credential_secret")
            )
        if not (self.user and self.key):
            return "user and key, or an application credential"
        return None

    def plugin(self) -> BaseAuthPlugin:
        """The credentials as a plugin of keystoneauth."""
        from keystoneauth1.identity import v3

        url = _version_3(self.auth_address)
        if self.credential_id:
            return v3.ApplicationCredential(
                url,
                application_credential_id=self.credential_id,
                application_credential_secret=self.credential_secret,
            )
        scope: dict[str, Any] = dict(self.project)
        for name in ("user", "project"):
            if not scope.get(f"{name}_domain_name"):
                scope.setdefault(f"{name}_domain_id", _DOMAIN)
        return v3.Password(url, username=self.user, password=self.key, **scope)


def _version_3(address: str) -> str:
    address = address.rstrip("/")
    head, _, last = address.rpartition("/")
    if last == "v3":
        return address
    return f"{head if last in ('v2.0', 'v1.0', 'v1') else address}/v3"


def load_references(settings: SwiftSettings) -> dict[str, AccountReference]:
    """The references of the file by name, or the one of the older options.

    :raises errors.BadStoreConfiguration: the file cannot be read.
    """
    name = settings.swift_store_config_file
    if not name:
        values = {
            "auth_address": settings.swift_store_auth_address,
            "user": settings.swift_store_user,
            "key": settings.swift_store_key,
            "project_name": settings.swift_store_project_name,
            "project_id": settings.swift_store_project_id,
            "application_credential_id": settings.swift_store_application_credential_id,
            "application_credential_secret": settings.swift_store_application_credential_secret,
        }
        reference = AccountReference.from_values(
            {name: value or "" for name, value in values.items()}
        )
        return {settings.default_swift_reference: reference}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open(_find_config_file(name, settings), encoding="utf-8") as file:
            parser.read_file(file)
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # Without the text of the error, which may contain a line of the file and so a key.
        raise settings.error(
            "swift_store_config_file", f"{name} cannot be read ({type(error).__name__})."
        ) from None
    return {
        section: AccountReference.from_values(
            {key: value.strip("'\"") for key, value in parser.items(section)}
        )
        for section in parser.sections()
    }


def _find_config_file(name: str, settings: SwiftSettings) -> str:
    """The path of the file: a relative one is searched beside the configuration files."""
    if not os.path.isabs(name):
        for file in settings.options.config_files:
            beside = os.path.join(os.path.dirname(os.path.abspath(file)), name)
            if os.path.exists(beside):
                return beside
    return name


class KeystoneAccount:
    """The account of a reference; see swift_client.SwiftAccount."""

    def __init__(self, reference: AccountReference, settings: SwiftSettings) -> None:
        self._settings = settings
        self._session = PerProcess(lambda: keystone_session(settings, reference.plugin()))

    def url(self) -> str:
        settings = self._settings
        if settings.swift_store_endpoint:
            return settings.swift_store_endpoint.rstrip("/")
        with translate_keystone_errors():
            url = self._session.get().get_endpoint(
                service_type=settings.swift_store_service_type,
                interface=_INTERFACES[settings.swift_store_endpoint_type],
                region_name=settings.swift_store_region,
            )
        if url is None:
            raise errors.GlanceStoreError("The catalogue of Keystone has no such object store.")
        return url.rstrip("/")

    def token(self) -> str:
        return get_fresh_token(self._session.get(), self._settings)

    def is_token_rejected(self, token: str) -> bool:
        with translate_keystone_errors():
            keystone = self._session.get()
            if keystone.get_token() == token:
                keystone.invalidate()
            return keystone.get_token() != token


def keystone_session(settings: SwiftSettings, plugin: BaseAuthPlugin) -> Session:
    """A session with Keystone, with the TLS options of a store."""
    from keystoneauth1.session import Session

    verify = not settings.swift_store_auth_insecure and (settings.swift_store_cacert or True)
    return Session(auth=plugin, verify=verify, timeout=KEYSTONE_TIMEOUT, connect_retries=1)


def get_fresh_token(keystone: Session, settings: SwiftSettings) -> str:
    """A token that is valid for ``swift_store_expire_soon_interval`` at least.

    :raises errors.GlanceStoreError: Keystone gives none.
    """
    with translate_keystone_errors():
        plugin: Any = keystone.auth
        if plugin.get_access(keystone).will_expire_soon(settings.swift_store_expire_soon_interval):
            keystone.invalidate()
        return keystone.get_token() or ""


@contextlib.contextmanager
def translate_keystone_errors() -> Iterator[None]:
    """Translate errors of keystoneauth, without their texts, which may contain secrets."""
    from keystoneauth1 import exceptions

    try:
        yield
    except (exceptions.ConnectionError, exceptions.HttpServerError) as error:
        LOG.warning("Keystone cannot be reached: %s", type(error).__name__)
        raise errors.RemoteServiceUnavailable() from None
    except exceptions.ClientException as error:
        LOG.error("Keystone does not give a token: %s", type(error).__name__)
        raise SwiftAuthenticationFailed() from None
