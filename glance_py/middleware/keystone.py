"""keystonemiddleware, for a service that goes on while Keystone is away.

The library marks a token as invalid that it could not check, and waits for
Keystone as long as it takes.  Here a token that cannot be checked is answered
with 503, nobody waits long, and a configuration that can never check one stops
the start.  Which token is valid remains the library's decision.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from keystoneauth1.exceptions import ClientException
from keystonemiddleware import auth_token
from oslo_config import cfg

from glance_py.domain import errors
from glance_py.http import faults
from glance_py.middleware import factory_deps
from glance_store_py.breaker import CircuitBreaker, CircuitOpen

LOG = logging.getLogger(__name__)

GROUP = "keystone_authtoken"

#: Defaults of [keystone_authtoken] here: seconds that Keystone may take for an answer, and how
#: often an attempt to connect is repeated.  The library waits for ever, and repeats three times.
DEFAULTS = {"http_connect_timeout": 5, "http_request_max_retries": 1}

#: What the library raises when Keystone did not say anything about the token.
KEYSTONE_UNAVAILABLE = (ClientException, auth_token.ServiceError)


class AuthToken(auth_token.AuthProtocol):
    """The library's filter; 503 with Retry-After when Keystone does not answer.

    :raises ValueError: [keystone_authtoken] is wrong, with a sentence for the operator.
    """

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: Any) -> Callable:
        """Paste filter factory; options in the paste file come before those of the service."""
        deps = factory_deps.current()
        conf = {**global_conf, **local_conf}
        if "oslo_config_project" not in conf:
            set_defaults(deps.conf)
            conf["oslo_config_config"] = deps.conf

        def make_filter(app: Callable) -> AuthToken:
            with _translate_configuration_errors():
                middleware = cls(app, dict(conf))
            if middleware._auth is None:
                raise ValueError(
                    f"[{GROUP}] auth_type is not set: no token can be checked. Set it, for "
                    f"example to password, with the credentials of this service's user."
                )
            deps.checks["identity"] = middleware.check_service_token
            return middleware

        return make_filter

    def _create_identity_server(self) -> _IdentityServer:
        return _IdentityServer(super()._create_identity_server())

    def process_request(self, request: Any) -> Any:
        """Find out who asks; a response when that cannot be known."""
        try:
            return super().process_request(request)
        except errors.IdentityUnavailable as error:
            return faults.response(error, request)

    def check_service_token(self) -> None:
        """Get a new token with the credentials of the service.

        :raises ClientException: Keystone does not answer, or refuses them.
        """
        self._create_auth_plugin().get_token(self._session)


class _IdentityServer:
    """What the library asks about tokens, with time limits for outages."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._breaker = CircuitBreaker(no_answer=(ClientException,))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def verify_token(self, token: str, **options: Any) -> Any:
        """What Keystone says about a token.

        :raises auth_token.InvalidToken: it is not valid.
        :raises errors.IdentityUnavailable: Keystone says nothing.
        """
        try:
            return self._breaker.call(lambda: self._server.verify_token(token, **options))
        except CircuitOpen:
            raise errors.IdentityUnavailable() from None
        except KEYSTONE_UNAVAILABLE as error:
            LOG.error(
                "Keystone cannot be asked about a token: %s: %s. Check [%s] and Keystone.",
                type(error).__name__,
                error,
                GROUP,
            )
            raise errors.IdentityUnavailable() from error


def set_defaults(conf: cfg.ConfigOpts) -> None:
    """Register the library's options on ``conf``, with the defaults of this service."""
    for group, options in auth_token.list_opts():
        conf.register_opts(options, group=group)
    for name, value in DEFAULTS.items():
        conf.set_default(name, value, group=GROUP)


@contextlib.contextmanager
def _translate_configuration_errors() -> Iterator[None]:
    try:
        yield
    except (ClientException, cfg.Error, auth_token.ConfigurationError) as error:
        raise ValueError(f"[{GROUP}]: {error}") from error
