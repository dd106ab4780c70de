"""The WSGI pipeline from a paste file.

Reads the file, picks the pipeline of the flavor and names file and section
when something in it is wrong.  What the parts do is not its concern; where the
parts come from is: paste files that operators already have name the factories
of the original service, and those names lead to ours.
"""

from __future__ import annotations

import configparser
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import Any

from paste.deploy import loadwsgi

from glance_py.middleware import factory_deps

LOG = logging.getLogger(__name__)

#: Factories as existing paste files name them, and who does that work here.
FACTORY_ALIASES = {
    "glance.api:root_app_factory": "glance_py.pipeline:root_app_factory",
    "glance.api:pipeline_factory": "glance_py.pipeline:pipeline_factory",
    "glance.api.versions:create_resource": "glance_py.middleware.versions:Versions.factory",
    "glance.api.v2.router:API.factory": "glance_py.app:api_factory",
    "glance.registry.api:API.factory": "glance_py.app:api_factory",
    "glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory": "glance_py.middleware.versions:VersionNegotiationFilter.factory",
    "glance.api.middleware.context:ContextMiddleware.factory": "glance_py.middleware.context:ContextMiddleware.factory",
    "glance.api.middleware.context:UnauthenticatedContextMiddleware.factory": "glance_py.middleware.context:UnauthenticatedContextMiddleware.factory",
    "glance.api.middleware.gzip:GzipMiddleware.factory": "glance_py.middleware.gzip:GzipMiddleware.factory",
    "glance.api.middleware.cache:CacheFilter.factory": "glance_py.middleware.cache:CacheFilter.factory",
    "glance.api.middleware.cache_manage:CacheManageFilter.factory": "glance_py.middleware.cache_manage:CacheManageFilter.factory",
    "keystonemiddleware.auth_token:filter_factory": "glance_py.middleware.keystone:AuthToken.factory",
    # The libraries' own filters, asked only when they have something to do.
    "oslo_middleware.cors:filter_factory": "glance_py.middleware.oslo:Cors.factory",
    "oslo_middleware:CORS.factory": "glance_py.middleware.oslo:Cors.factory",
    "oslo_middleware:Healthcheck.app_factory": "glance_py.middleware.oslo:healthcheck",
    "oslo_middleware:HTTPProxyToWSGI.factory": "glance_py.middleware.oslo:http_proxy_to_wsgi",
    "osprofiler.web:WsgiMiddleware.factory": "glance_py.middleware.oslo:osprofiler",
}


#: The programs that have a pipeline.
API, REGISTRY = "glance-api", "glance-registry"


class PipelineError(Exception):
    """The paste file cannot be used; the text names file and section."""


def load(conf: Any, program: str = API) -> Callable:
    """Build the application that ``[paste_deploy] flavor`` names.

    :param program: API or REGISTRY.
    :raises PipelineError: the file is missing or something in it is wrong.
    """
    flavor = conf.paste_deploy.flavor
    name = f"{program}-{flavor}" if flavor else program
    path = find_paste_file(conf, program)
    try:
        loader = _Loader(path)
    except Exception as error:
        raise PipelineError(f"{path}: {error}") from error
    return loader.get_app(name)


def find_paste_file(conf: Any, program: str = API) -> str:
    """Path of the paste file.

    ``[paste_deploy] config_file``, else the last configuration file's name with
    ``-paste.ini`` for ``.conf``, else the file that ships with the service.

    :raises PipelineError: the file that config_file names does not exist.
    """
    named = conf.paste_deploy.config_file
    if named:
        path = conf.find_file(named)
        if path is None:
            raise PipelineError(f"[paste_deploy] config_file: there is no file {named!r}.")
        return os.path.abspath(path)
    if conf.config_file:
        beside = os.path.basename(conf.config_file[-1]).removesuffix(".conf") + "-paste.ini"
        path = conf.find_file(beside)
        if path is not None:
            return os.path.abspath(path)
    return str(resources.files("glance_py") / "etc" / f"{program}-paste.ini")


def root_app_factory(loader: Any, global_conf: dict, **local_conf: str) -> Callable:
    """Paste composite factory: applications by the longest matching path prefix."""
    return URLMap(
        {path: loader.get_app(name, global_conf=global_conf) for path, name in local_conf.items()}
    )


def pipeline_factory(loader: Any, global_conf: dict, **local_conf: str) -> Callable:
    """Paste composite factory: the filters, then the application, of the configured flavor.

    ``default`` is the pipeline without a flavor.

    :raises LookupError: there is no pipeline for the flavor.  Falling back to
        the default would open the service to everybody.
    """
    flavor = factory_deps.current().conf.paste_deploy.flavor or "default"
    if flavor not in local_conf:
        raise LookupError(
            f"there is no pipeline for the flavor {flavor!r}; "
            f"known are {', '.join(sorted(local_conf))}"
        )
    *filters, name = local_conf[flavor].split()
    app = loader.get_app(name, global_conf=global_conf)
    for each in reversed(filters):
        app = loader.get_filter(each, global_conf=global_conf)(app)
    return app


class URLMap:
    """Passes a request to the application with the longest matching prefix."""

    def __init__(self, apps: dict[str, Callable]) -> None:
        apps = {path.rstrip("/"): app for path, app in apps.items()}
        self.fallback = apps.pop("", None)
        self.apps = sorted(apps.items(), key=lambda item: len(item[0]), reverse=True)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for prefix, app in self.apps:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
                environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
                environ["PATH_INFO"] = path[len(prefix) :]
                return app(environ, start_response)
        if self.fallback is None:
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        return self.fallback(environ, start_response)


def aliased_factories(parser: configparser.RawConfigParser) -> Iterator[tuple[str, str, str]]:
    """(section, option, factory) of each line whose factory has another one here."""
    for section in parser.sections():
        for option, value in parser.items(section, raw=True):
            if option.startswith("paste.") and value.strip() in FACTORY_ALIASES:
                yield section, option, value.strip()


class _Loader(loadwsgi.ConfigLoader):
    """A paste file's loader that knows old names and says where an error is."""

    def __init__(self, filename: str) -> None:
        super().__init__(filename)
        for section, option, old in aliased_factories(self.parser):
            self.parser.set(section, option, FACTORY_ALIASES[old])
            if old.startswith("glance."):
                LOG.warning(
                    "%s: [%s] names a factory of the original service. It is understood; "
                    "the line to write is: %s = %s",
                    filename,
                    section,
                    option,
                    FACTORY_ALIASES[old],
                )

    def get_app(self, name: str | None = None, global_conf: dict | None = None) -> Callable:
        return self._translate_errors(super().get_app, name, global_conf)

    def get_filter(self, name: str | None = None, global_conf: dict | None = None) -> Callable:
        return self._translate_errors(super().get_filter, name, global_conf)

    def _translate_errors(
        self, get: Callable, name: str | None, global_conf: dict | None
    ) -> Callable:
        try:
            return get(name, global_conf=global_conf)
        except PipelineError:
            raise
        except (LookupError, ImportError, AttributeError, TypeError, ValueError) as error:
            raise PipelineError(
                f"{self.filename}: section {name!r}: {error or type(error).__name__}"
            ) from error
