"""The WSGI pipeline from a paste file.

Reads the file, builds the pipeline of the configured flavor and names file and section when
something in it is wrong.  Paste files written for Glance name factories of Glance; the factories of
this service take their place (``FACTORY_ALIASES``).
"""

from __future__ import annotations

import configparser
import logging
import os
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import resources
from typing import Any, Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oslo_config import cfg
from paste.deploy import loadwsgi

from glance_py.middleware import factory_deps
from glance_py.middleware.factory_deps import FactoryDependencies, Filter, needs_dependencies
from glance_py.settings import PasteSettings

LOG = logging.getLogger(__name__)

#: Names of factories in existing paste files -> the factory of this service that is called.
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
    # Filters of libraries, called only when they are configured.
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


class PasteLoader(Protocol):
    """What a composite factory of Paste gets: loads other sections of the same file."""

    def get_app(
        self, name: str | None = None, global_conf: Mapping[str, str] | None = None
    ) -> WSGIApplication:
        """The application of the section ``name``."""

    def get_filter(
        self, name: str | None = None, global_conf: Mapping[str, str] | None = None
    ) -> Filter:
        """The filter of the section ``name``."""


def load(deps: FactoryDependencies, program: str = API) -> WSGIApplication:
    """Build the application that ``[paste_deploy] flavor`` names.

    :param program: API or REGISTRY.
    :raises PipelineError: the file is missing or something in it is wrong.
    """
    flavor = deps.settings.paste.flavor
    name = f"{program}-{flavor}" if flavor else program
    path = find_paste_file(deps.conf, program)
    try:
        loader = _Loader(path, deps)
    except Exception as error:
        raise PipelineError(f"{path}: {error}") from error
    return loader.get_app(name)


def find_paste_file(conf: cfg.ConfigOpts, program: str = API) -> str:
    """Absolute path of the paste file.

    ``[paste_deploy] config_file``, else the last configuration file's name with ``-paste.ini`` for
    ``.conf``, else the file that ships with the service.

    :raises PipelineError: the file that config_file names does not exist.
    """
    named = PasteSettings.from_conf(conf).config_file
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


def root_app_factory(
    loader: PasteLoader, global_conf: Mapping[str, str], /, **local_conf: str
) -> WSGIApplication:
    """Paste composite factory: applications by the longest matching path prefix.

    :param local_conf: path prefix -> name of the section of its application.
    """
    return URLMap(
        {path: loader.get_app(name, global_conf=global_conf) for path, name in local_conf.items()}
    )


@needs_dependencies
def pipeline_factory(
    deps: FactoryDependencies,
    loader: PasteLoader,
    global_conf: Mapping[str, str],
    /,
    **local_conf: str,
) -> WSGIApplication:
    """Paste composite factory: the filters, then the application, of the configured flavor.

    :param local_conf: flavor, ``default`` for none -> names of filters and of an application,
        separated by spaces.
    :raises LookupError: there is no pipeline for the flavor.  Falling back to the default would
        serve requests without authentication.
    """
    flavor = deps.settings.paste.flavor or "default"
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
    """Calls the application with the longest path prefix that matches; 404 when none does.

    :param apps: path prefix, ``/`` for all paths -> application.
    """

    def __init__(self, apps: Mapping[str, WSGIApplication]) -> None:
        by_prefix = {path.rstrip("/"): app for path, app in apps.items()}
        self.fallback = by_prefix.pop("", None)
        self.apps = sorted(by_prefix.items(), key=lambda item: len(item[0]), reverse=True)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
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
    """(section, option, factory) of each line that names a factory of FACTORY_ALIASES."""
    for section in parser.sections():
        for option, value in parser.items(section, raw=True):
            if option.startswith("paste.") and value.strip() in FACTORY_ALIASES:
                yield section, option, value.strip()


class _Loader(loadwsgi.ConfigLoader):
    """Loads a paste file; gives ``deps`` to the factories of this service, and no others.

    Factories of FACTORY_ALIASES are replaced.  What a section refers to in another file
    (``use = config:other.ini``) is loaded in the same way.
    """

    def __init__(self, filename: str, deps: FactoryDependencies) -> None:
        super().__init__(filename)
        self._deps = deps
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

    def get_app(
        self, name: str | None = None, global_conf: Mapping[str, str] | None = None
    ) -> WSGIApplication:
        app: WSGIApplication = self._translate_errors(super().get_app, name, global_conf)
        return app

    def get_filter(
        self, name: str | None = None, global_conf: Mapping[str, str] | None = None
    ) -> Filter:
        found: Filter = self._translate_errors(super().get_filter, name, global_conf)
        return found

    # The types of contexts are those of PasteDeploy, which declares none.
    def get_context(
        self,
        object_type: Any,
        name: str | None = None,
        global_conf: Mapping[str, str] | None = None,
    ) -> Any:
        """A section of this file or, by URI, of another one; its factory bound to ``deps``."""
        if name is not None and name.lower().startswith("config:"):
            return self._context_of_other_file(object_type, name, global_conf)
        context = super().get_context(object_type, name, global_conf)
        if context.object is not None:
            context.object = factory_deps.bind(context.object, self._deps)
        return context

    def _context_of_other_file(
        self, object_type: Any, uri: str, global_conf: Mapping[str, str] | None
    ) -> Any:
        location, _, section = uri.partition("#")
        path = urllib.parse.unquote(location.partition(":")[2])
        loader = _Loader(os.path.join(os.path.dirname(self.filename), path), self._deps)
        if global_conf:
            loader.update_defaults(global_conf, overwrite=False)
        return loader.get_context(object_type, section or "main", global_conf)

    def _translate_errors(
        self, get: Callable[..., Any], name: str | None, global_conf: Mapping[str, str] | None
    ) -> Any:
        try:
            return get(name, global_conf=global_conf)
        except PipelineError:
            raise
        except (
            LookupError, ImportError, AttributeError, TypeError, ValueError, OSError,
            configparser.Error,
        ) as error:  # fmt: skip
            raise PipelineError(
                f"{self.filename}: section {name!r}: {error or type(error).__name__}"
            ) from error
