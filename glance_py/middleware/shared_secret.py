"""Refuses requests that do not carry the secret of API hosts and registry.

It stands in front of filters that trust identity headers.  The secret proves that a request comes
from a host of the service; it does not authenticate the caller.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import webob.exc

from glance_py.middleware.factory_deps import FactoryDependencies, Filter, needs_dependencies

LOG = logging.getLogger(__name__)

_SECRET_HEADER = "HTTP_X_REGISTRY_SECRET"


class SharedSecret:
    """Answers 403 to requests without the secret of ``registry_shared_secret``."""

    def __init__(self, app: WSGIApplication, secret: str) -> None:
        self.app = app
        self._secret = secret.encode()

    @classmethod
    @needs_dependencies
    def factory(
        cls, deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
    ) -> Filter:
        """Paste filter factory; no filter when no secret is set."""
        secret = deps.settings.registry.registry_shared_secret
        if not secret:
            LOG.warning(
                "registry_shared_secret is not set: the registry trusts the identity headers of "
                "every request that reaches this port. Allow connections from API hosts only."
            )
            return lambda app: app
        return lambda app: cls(app, secret)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.pop(_SECRET_HEADER, "").encode("latin-1")
        if not hmac.compare_digest(given, self._secret):
            refusal = webob.exc.HTTPForbidden("The secret of the registry is not right.")
            body: Iterable[bytes] = refusal(environ, start_response)
            return body
        return self.app(environ, start_response)
