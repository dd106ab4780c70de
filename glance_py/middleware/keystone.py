"""keystonemiddleware, with time limits and another answer while Keystone does not answer.

The library treats a token that it could not verify as invalid, and waits for Keystone without a
limit.  Here such a request is answered with 503 and Keystone has time limits; a configuration with
which no token can ever be verified stops the start.  The library decides which token is valid.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any
from wsgiref.types import WSGIApplication

from keystoneauth1.exceptions import ClientException
from keystonemiddleware import auth_token
from oslo_config import cfg

from glance_py.domain import errors
from glance_py.http import faults
from glance_py.middleware.factory_deps import FactoryDependencies, Filter, needs_dependencies
from glance_store_py.breaker import CircuitBreaker, CircuitOpen

LOG = logging.getLogger(__name__)

GROUP = "keystone_authtoken"

#: Defaults of [keystone_authtoken] here: seconds to wait for an answer of Keystone, and how often
#: a request is repeated.  Those of the library are no limit, and three times.
DEFAULTS = {"http_connect_timeout": 5, "http_request_max_retries": 1}

#: What the library raises when Keystone did not answer about a token.
KEYSTONE_UNAVAILABLE = (ClientException, auth_token.ServiceError)


class AuthToken(auth_token.AuthProtocol):
    """The library's filter; 503 with Retry-After when Keystone does not answer.

    :raises ValueError: [keystone_authtoken] is wrong, with a sentence for the operator.
    """

    @classmethod
    @needs_dependencies
    def factory(
        cls, deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
    ) -> Filter:
        """Paste filter factory; options in the paste file override those of the service."""
        # Strings, and the ConfigOpts that the library takes under a key of its own.
        conf: dict[str, object] = {**global_conf, **local_conf}
        if "oslo_config_project" not in conf:
            set_defaults(deps.conf)
            conf["oslo_config_config"] = deps.conf

        def make_filter(app: WSGIApplication) -> WSGIApplication:
            with _translate_configuration_errors():
                middleware = cls(app, dict(conf))
            if middleware._auth is None:
                raise ValueError(
                    f"[{GROUP}] auth_type is not set: no token can be checked. Set it, for "
                    f"example to password, with the credentials of this service's user."
                )
            deps.checks["identity"] = middleware.check_service_token
            filtered: WSGIApplication = middleware
            return filtered

        return make_filter

    def _create_identity_server(self) -> _IdentityServer:
        return _IdentityServer(super()._create_identity_server())

    # Requests and responses are those of WebOb, which the library does not declare.
    def process_request(self, request: Any) -> Any:
        """Verify the token of a request; returns a response when that is not possible."""
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
    """The library's client of Keystone, behind a circuit breaker."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._breaker = CircuitBreaker(no_answer=(ClientException,))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def verify_token(self, token: str, **options: Any) -> Any:
        """The data of a token, as the library returns it.

        :raises auth_token.InvalidToken: it is not valid.
        :raises errors.IdentityUnavailable: Keystone does not answer.
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
