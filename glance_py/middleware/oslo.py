"""The middleware of the oslo libraries, loaded and called only when it has something to do.

Its classes build a request and a response object for every call, and loading them costs each
worker several megabytes.  The behaviour is theirs; the code here decides, once per process or by
one look at a request, whether they are called.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable
from importlib import metadata
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oslo_config import cfg

from glance_py.middleware.factory_deps import FactoryDependencies, Filter, needs_dependencies

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
        # Without these a browser does not let an upload name its size or its store
        # (tests/unit/middleware/test_filters.py).
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
    """Set the defaults of the library that differ for this service."""
    from oslo_middleware import cors

    cors.set_defaults(**CORS_DEFAULTS)


def set_sample_defaults() -> None:
    """Set the defaults for oslo-config-generator and oslo-config-validator."""
    set_cors_defaults()
    with contextlib.suppress(ImportError):  # comes with glance-py[keystone]
        from keystonemiddleware.auth_token import _opts

        from glance_py.middleware import keystone

        cfg.set_defaults(_opts._OPTS, **keystone.DEFAULTS)


def is_group_configured(conf: cfg.ConfigOpts, group: str) -> bool:
    """Does a configuration file or the environment set an option of the group?"""
    return group in conf.list_all_sections() or any(
        name.startswith(f"OS_{group.upper()}__") for name in os.environ
    )


def filter_conf(
    section: dict[str, str], conf: cfg.ConfigOpts, group: str, options: Iterable[cfg.Opt]
) -> cfg.ConfigOpts | dict[str, str]:
    """The configuration for a filter of a library: the paste section overrides the service.

    :param section: the options of the filter in the paste file.
    :param conf: the options of the service; they do not change.
    :param group: the group of the library's options.
    :param options: the options of the library; they are registered in the group.
    :returns: a ConfigOpts, ``conf`` itself when the section sets none of the options; the section
        when it names another configuration (``oslo_config_file``, ``oslo_config_project``), which
        the library then reads.
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
    """An application that is built at its first request."""

    def __init__(self, build: Callable[[], WSGIApplication]) -> None:
        self._build = build

    @functools.cached_property
    def app(self) -> WSGIApplication:
        """The application; built now if it was not."""
        return self._build()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.app(environ, start_response)


class Cors:
    """The library's CORS filter, called for requests with an Origin header and for OPTIONS.

    :param section: the options of the filter in the paste file.
    :raises ValueError: an option of CORS has a value that is wrong.
    """

    def __init__(self, app: WSGIApplication, conf: cfg.ConfigOpts, section: dict[str, str]) -> None:
        self.app = app
        self.cors = LazyApp(functools.partial(_build_cors, app, conf, section))
        if section or is_group_configured(conf, "cors"):
            _ = self.cors.app  # a wrong value stops the start

    @classmethod
    @needs_dependencies
    def factory(
        cls, deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
    ) -> Filter:
        """Paste filter factory."""
        section = _section_options(global_conf, local_conf)
        return lambda app: cls(app, deps.conf, section)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ or environ["REQUEST_METHOD"] == "OPTIONS":
            return self.cors(environ, start_response)
        return self.app(environ, start_response)


def _build_cors(
    app: WSGIApplication, conf: cfg.ConfigOpts, section: dict[str, str]
) -> WSGIApplication:
    from oslo_middleware import cors

    set_cors_defaults()
    built: WSGIApplication = cors.CORS(app, filter_conf(section, conf, "cors", cors.OPTS))
    return built


def _section_options(global_conf: dict[str, str], local_conf: dict[str, str]) -> dict[str, str]:
    """The options of a filter in the paste file, without those that Paste adds."""
    return {
        name: value
        for name, value in {**global_conf, **local_conf}.items()
        if name not in ("here", "__file__")
    }


@needs_dependencies
def http_proxy_to_wsgi(
    deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
) -> Filter:
    """Paste filter factory: the scheme and host of X-Forwarded-* and Forwarded headers.

    No filter unless ``enable_proxy_headers_parsing`` is set.
    """
    conf, section = deps.conf, _section_options(global_conf, local_conf)
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


@needs_dependencies
def healthcheck(
    deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
) -> WSGIApplication:
    """Paste app factory: the library's health check.

    :raises LookupError: ``backends`` names one that is not installed.  The library would leave it
        out, and answer 200 without the check.
    """
    named = {name.strip() for name in local_conf.get("backends", "").split(",") if name.strip()}
    known = metadata.entry_points(group="oslo.middleware.healthcheck").names
    if named - known:
        raise LookupError(
            "there is no healthcheck backend named " + " or ".join(sorted(named - known))
        )

    def build() -> WSGIApplication:
        from oslo_middleware import Healthcheck

        from glance_py.middleware.health import DEPENDENCIES

        # The library passes the section, and with it this entry, on to each backend.
        app: WSGIApplication = Healthcheck.app_factory(
            {**global_conf, DEPENDENCIES: deps}, **local_conf
        )
        return app

    return LazyApp(build)


@needs_dependencies
def osprofiler(
    deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
) -> Filter:
    """Paste filter factory: traces of requests that ask for them, if [profiler] is enabled.

    ``hmac_keys`` and ``enabled`` can also be set in the paste file.
    """
    conf = deps.conf
    is_enabled = local_conf.get("enabled", "").lower() in ("1", "true", "yes", "on")
    if not is_enabled and "profiler" not in conf.list_all_sections():
        return lambda app: app
    # Imports an HTTP client and the trace back ends: only where tracing is enabled.
    from osprofiler import initializer, opts, web

    opts.set_defaults(conf)
    if conf.profiler.enabled:
        initializer.init_from_conf(
            conf=conf,
            context={},
            project="glance",
            service="api",
            host=deps.settings.server.bind_host,
        )
    elif not is_enabled:
        return lambda app: app
    found: Filter = web.WsgiMiddleware.factory(global_conf, **{**local_conf, "enabled": True})
    return found
