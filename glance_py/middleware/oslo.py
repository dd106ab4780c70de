"""The middleware of the oslo libraries, out of the way when it has nothing to do.

Their classes build a request and a response object and inspect themselves for
every call, and loading them costs each worker several megabytes.  The behaviour
is theirs; here it is only decided, once per process or by one look at a request,
whether they are asked at all.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

from glance_py.middleware import composition

CORS_DEFAULTS = {
    "allow_headers": [
        "Content-MD5", "X-Image-Meta-Checksum", "X-Storage-Token", "Accept-Encoding",
        "X-Auth-Token", "X-Identity-Status", "X-Roles", "X-Service-Catalog", "X-User-Id",
        "X-Tenant-Id", "X-OpenStack-Request-ID"],
    "expose_headers": [
        "X-Image-Meta-Checksum", "X-Auth-Token", "X-Subject-Token", "X-Service-Token",
        "X-OpenStack-Request-ID"],
    "allow_methods": ["GET", "PUT", "POST", "DELETE", "PATCH"],
}


def set_library_defaults() -> None:
    """Defaults of libraries that differ here, for oslo-config-generator."""
    from oslo_middleware import cors

    cors.set_defaults(**CORS_DEFAULTS)


def configured(conf: Any, group: str) -> bool:
    """Does the operator say anything about a group, in a file or in the environment?"""
    return group in conf.list_all_sections() or any(
        name.startswith(f"OS_{group.upper()}__") for name in os.environ)


class Later:
    """An application that is built when it is first asked."""

    def __init__(self, build: Callable[[], Callable]) -> None:
        self._build = build

    @functools.cached_property
    def app(self) -> Callable:
        """The application itself."""
        return self._build()

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        return self.app(environ, start_response)


class Cors:
    """Cross-origin requests; only those with an Origin header, and OPTIONS, concern it."""

    def __init__(self, app: Callable, conf: Any) -> None:
        self.app = app
        self.cors = Later(functools.partial(_cors, app, conf))
        if configured(conf, "cors"):
            _ = self.cors.app  # a wrong value is told at the start

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory."""
        conf = composition.current().conf
        return lambda app: cls(app, conf)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ or environ["REQUEST_METHOD"] == "OPTIONS":
            return self.cors(environ, start_response)
        return self.app(environ, start_response)


def _cors(app: Callable, conf: Any) -> Callable:
    from oslo_middleware import CORS

    set_library_defaults()
    return CORS(app, conf)


def http_proxy_to_wsgi(global_conf: dict, **local_conf: str) -> Callable:
    """Paste filter factory: believe X-Forwarded-* and Forwarded, if the operator does."""
    conf = composition.current().conf
    if not configured(conf, "oslo_middleware"):
        return lambda app: app
    from oslo_middleware import HTTPProxyToWSGI, http_proxy_to_wsgi

    conf.register_opts(http_proxy_to_wsgi.OPTS, group="oslo_middleware")
    if not conf.oslo_middleware.enable_proxy_headers_parsing:
        return lambda app: app
    return lambda app: HTTPProxyToWSGI(app, conf)


def healthcheck(global_conf: dict, **local_conf: str) -> Callable:
    """Paste app factory: the library's health check.

    :raises LookupError: it names a backend that there is not.  The library would
        leave it out, and call healthy what nobody looked at.
    """
    named = {name.strip() for name in local_conf.get("backends", "").split(",") if name.strip()}
    known = metadata.entry_points(group="oslo.middleware.healthcheck").names
    if named - known:
        raise LookupError("there is no healthcheck backend named "
                          + " or ".join(sorted(named - known)))
    parts = composition.current()

    def build() -> Callable:
        from oslo_middleware import Healthcheck

        with composition.composing(parts):
            return Healthcheck.app_factory(global_conf, **local_conf)

    return Later(build)


def osprofiler(global_conf: dict, **local_conf: str) -> Callable:
    """Paste filter factory: traces for requests that ask for them, if [profiler] is enabled.

    ``hmac_keys`` and ``enabled`` may stand in the paste file, too.
    """
    conf = composition.current().conf
    wanted = local_conf.get("enabled", "").lower() in ("1", "true", "yes", "on")
    if not wanted and "profiler" not in conf.list_all_sections():
        return lambda app: app
    # Pulls in an HTTP client and the trace back ends: only for those who trace.
    from osprofiler import initializer, opts, web

    opts.set_defaults(conf)
    if conf.profiler.enabled:
        initializer.init_from_conf(conf=conf, context={}, project="glance", service="api",
                                   host=conf.bind_host)
    elif not wanted:
        return lambda app: app
    return web.WsgiMiddleware.factory(global_conf, **{**local_conf, "enabled": True})
