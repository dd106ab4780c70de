"""The middleware of the oslo libraries, out of the way when it has nothing to do.

Their classes build a request and a response object and inspect themselves for
every call, and loading them costs each worker several megabytes.  The behaviour
is theirs; here it is only decided, once per process or by one look at a request,
whether they are asked at all.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

from oslo_config import cfg

from glance_py.middleware import factory_deps

CORS_DEFAULTS = {
    "allow_headers": [
        "Content-MD5",
        "X-Image-Meta-Checksum",
        "X-Storage-Token",
        "Accept-Encoding",
        "X-Auth-Token",
        "X-Identity-Status",
        "X-Roles",
        "X-Service-Catalog",
        "X-User-Id",
        "X-Tenant-Id",
        "X-OpenStack-Request-ID",
        # A browser asks for leave to send these, too; without it no upload through it can name
        # its size or its store.
        "X-OpenStack-Image-Size",
        "X-Image-Meta-Store",
        "X-OpenStack-Append",
        "X-Image-Cache-Clear-Target",
        "Range",
        "If-Range",
        "If-None-Match",
    ],
    "expose_headers": [
        "X-Image-Meta-Checksum",
        "X-Auth-Token",
        "X-Subject-Token",
        "X-Service-Token",
        "X-OpenStack-Request-ID",
    ],
    "allow_methods": ["GET", "PUT", "POST", "DELETE", "PATCH"],
}


def set_cors_defaults() -> None:
    """Defaults of the library that differ here."""
    from oslo_middleware import cors

    cors.set_defaults(**CORS_DEFAULTS)


def set_sample_defaults() -> None:
    """The same for oslo-config-generator, and for those who validate files."""
    set_cors_defaults()
    with contextlib.suppress(ImportError):  # comes with glance-py[keystone]
        from keystonemiddleware.auth_token import _opts

        from glance_py.middleware import keystone

        cfg.set_defaults(_opts._OPTS, **keystone.DEFAULTS)


def is_group_configured(conf: Any, group: str) -> bool:
    """Does the operator say anything about a group, in a file or in the environment?"""
    return group in conf.list_all_sections() or any(
        name.startswith(f"OS_{group.upper()}__") for name in os.environ
    )


def filter_conf(
    section: dict[str, str], conf: cfg.ConfigOpts, group: str, options: Iterable[cfg.Opt]
) -> Any:
    """What a library's filter is built with: its section of the paste file before the service's.

    :param section: the options in the paste file.
    :param conf: the service's options, which do not change.
    :param group: where the library has its options.
    :param options: the options of the library; they are registered there.
    :returns: a ConfigOpts, ``conf`` itself when the section sets none of them; the section, when
        it names a configuration of its own (``oslo_config_file``, another
        ``oslo_config_project``) that the library reads by itself.
    :raises ValueError: the section has a value that is wrong.
    """
    if section.get("oslo_config_project", "glance") != "glance" or "oslo_config_file" in section:
        return section
    names = [opt.dest for opt in options if opt.dest in section]
    if names:
        files, directories = conf.config_file, conf.config_dir
        conf = cfg.ConfigOpts()
        conf([], default_config_files=files, default_config_dirs=directories)
    conf.register_opts(options, group=group)
    for name in names:
        try:
            conf.set_override(name, section[name], group=group)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return conf


class LazyApp:
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

    def __init__(self, app: Callable, conf: Any, section: dict[str, str]) -> None:
        self.app = app
        self.cors = LazyApp(functools.partial(_build_cors, app, conf, section))
        if section or is_group_configured(conf, "cors"):
            _ = self.cors.app  # a wrong value is told at the start

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory."""
        conf, section = factory_deps.current().conf, _section_options(global_conf, local_conf)
        return lambda app: cls(app, conf, section)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ or environ["REQUEST_METHOD"] == "OPTIONS":
            return self.cors(environ, start_response)
        return self.app(environ, start_response)


def _build_cors(app: Callable, conf: Any, section: dict[str, str]) -> Callable:
    from oslo_middleware import cors

    set_cors_defaults()
    return cors.CORS(app, filter_conf(section, conf, "cors", cors.OPTS))


def _section_options(global_conf: dict[str, str], local_conf: dict[str, str]) -> dict[str, str]:
    """The options of a filter in the paste file, without what Paste itself adds."""
    return {
        name: value
        for name, value in {**global_conf, **local_conf}.items()
        if name not in ("here", "__file__")
    }


def http_proxy_to_wsgi(global_conf: dict, **local_conf: str) -> Callable:
    """Paste filter factory: believe X-Forwarded-* and Forwarded, if the operator does."""
    conf, section = factory_deps.current().conf, _section_options(global_conf, local_conf)
    if not section and not is_group_configured(conf, "oslo_middleware"):
        return lambda app: app
    from oslo_middleware import HTTPProxyToWSGI, http_proxy_to_wsgi

    filter_options = filter_conf(section, conf, "oslo_middleware", http_proxy_to_wsgi.OPTS)
    if (
        isinstance(filter_options, cfg.ConfigOpts)
        and not filter_options.oslo_middleware.enable_proxy_headers_parsing
    ):
        return lambda app: app
    return lambda app: HTTPProxyToWSGI(app, filter_options)


def healthcheck(global_conf: dict, **local_conf: str) -> Callable:
    """Paste app factory: the library's health check.

    :raises LookupError: it names a backend that there is not.  The library would
        leave it out, and call healthy what nobody looked at.
    """
    named = {name.strip() for name in local_conf.get("backends", "").split(",") if name.strip()}
    known = metadata.entry_points(group="oslo.middleware.healthcheck").names
    if named - known:
        raise LookupError(
            "there is no healthcheck backend named " + " or ".join(sorted(named - known))
        )
    deps = factory_deps.current()

    def build() -> Callable:
        from oslo_middleware import Healthcheck

        with factory_deps.providing(deps):
            return Healthcheck.app_factory(global_conf, **local_conf)

    return LazyApp(build)


def osprofiler(global_conf: dict, **local_conf: str) -> Callable:
    """Paste filter factory: traces for requests that ask for them, if [profiler] is enabled.

    ``hmac_keys`` and ``enabled`` may stand in the paste file, too.
    """
    conf = factory_deps.current().conf
    is_enabled = local_conf.get("enabled", "").lower() in ("1", "true", "yes", "on")
    if not is_enabled and "profiler" not in conf.list_all_sections():
        return lambda app: app
    # Pulls in an HTTP client and the trace back ends: only for those who trace.
    from osprofiler import initializer, opts, web

    opts.set_defaults(conf)
    if conf.profiler.enabled:
        initializer.init_from_conf(
            conf=conf, context={}, project="glance", service="api", host=conf.bind_host
        )
    elif not is_enabled:
        return lambda app: app
    return web.WsgiMiddleware.factory(global_conf, **{**local_conf, "enabled": True})
