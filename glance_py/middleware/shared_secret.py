"""Lets in only those who know a secret: in front of what believes identity headers.

The secret says that a request comes from a host of the service, nothing about
who asks.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterable

import webob.exc

from glance_py.middleware import factory_deps

LOG = logging.getLogger(__name__)

_SECRET_HEADER = "HTTP_X_REGISTRY_SECRET"


class SharedSecret:
    """Answers 403 to requests without the secret of ``registry_shared_secret``."""

    def __init__(self, app: Callable, secret: str) -> None:
        self.app = app
        self._secret = secret.encode()

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory; no filter when no secret is set."""
        secret = factory_deps.current().conf.registry_shared_secret
        if not secret:
            LOG.warning(
                "registry_shared_secret is not set: whoever reaches this port is "
                "believed to be whom its headers name. Let nobody but API hosts."
            )
            return lambda app: app
        return lambda app: cls(app, secret)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        given = environ.pop(_SECRET_HEADER, "").encode("latin-1")
        if not hmac.compare_digest(given, self._secret):
            return webob.exc.HTTPForbidden("The secret of the registry is not right.")(
                environ, start_response
            )
        return self.app(environ, start_response)
