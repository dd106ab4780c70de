"""The middleware of the oslo libraries, out of the way when it has nothing to do.

Their classes build a request and a response object and inspect themselves for
every call.  The behaviour is theirs; here it is only decided, once per process
or by one look at a request, whether they are asked at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from oslo_middleware import CORS, HTTPProxyToWSGI

from glance_py.middleware import composition


class Cors:
    """Cross-origin requests; only those with an Origin header, and OPTIONS, concern it."""

    def __init__(self, app: Callable, conf: Any) -> None:
        self.app = app
        self.cors = CORS(app, conf)

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory."""
        conf = composition.current().conf
        return lambda app: cls(app, conf)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ or environ["REQUEST_METHOD"] == "OPTIONS":
            return self.cors(environ, start_response)
        return self.app(environ, start_response)


def http_proxy_to_wsgi(global_conf: dict, **local_conf: str) -> Callable:
    """Paste filter factory: believe X-Forwarded-* and Forwarded, if the operator does."""
    conf = composition.current().conf
    if not conf.oslo_middleware.enable_proxy_headers_parsing:
        return lambda app: app
    return lambda app: HTTPProxyToWSGI(app, conf)


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
