"""The versions of the Image API that a deployment offers, and the version that a request names.

Requests of every offered version are served by the same application under /v2: a minor version
says what a deployment can do and changes nothing.  Only path and Accept header are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Self
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import webob

from glance_py.middleware.factory_deps import FactoryDependencies, Filter, needs_dependencies
from glance_py.settings import Settings

#: Prefix of an Accept header that names a version.
_MEDIA_TYPE_PREFIX = "application/vnd.openstack.images-"

BASE_VERSIONS = ("2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.9", "2.15", "2.17")
MULTI_STORE_VERSIONS = ("2.8", "2.10", "2.11", "2.12", "2.13")
CACHE_VERSIONS = ("2.14", "2.16", "2.18")


def enabled_versions(settings: Settings) -> list[str]:
    """The versions that this deployment offers, the newest first, such as "2.17".

    Several stores (``enabled_backends``) and an image cache (``image_cache_dir``) add versions.
    """
    versions = list(BASE_VERSIONS)
    if settings.stores.enabled_backends:
        versions += MULTI_STORE_VERSIONS
    if settings.cache.image_cache_dir:
        versions += CACHE_VERSIONS
    return sorted(versions, key=lambda version: int(version.split(".")[1]), reverse=True)


class Versions:
    """Serves the version document: status 200 at /versions, 300 at other paths.

    :param versions: the newest first, such as "2.17".
    :param public_endpoint: URL that links begin with; None for the URL of the request.
    """

    def __init__(self, versions: Sequence[str], public_endpoint: str | None = None) -> None:
        self.versions = versions
        self.public_endpoint = (public_endpoint or "").rstrip("/")

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The document of this deployment."""
        return cls(enabled_versions(settings), settings.api.public_endpoint)

    @classmethod
    @needs_dependencies
    def factory(
        cls, deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
    ) -> WSGIApplication:
        """Paste app factory."""
        return cls.from_settings(deps.settings)

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse, status: int | None = None
    ) -> Iterable[bytes]:
        request = webob.Request(environ)
        if status is None:
            status = 200 if _first_segment(environ["PATH_INFO"]) == "versions" else 300
        base: str = self.public_endpoint or request.application_url
        body = self.document(base)
        response = webob.Response(
            body,
            status=status,
            content_type="application/json",
            charset="",
        )
        chunks: Iterable[bytes] = response(environ, start_response)
        return chunks

    def document(self, base: str) -> bytes:
        """The JSON document with links under ``base``, a URL without a slash at its end."""
        links = [{"rel": "self", "href": f"{base}/v2/"}]
        return json.dumps(
            {
                "versions": [
                    {"id": f"v{version}", "status": "SUPPORTED" if n else "CURRENT", "links": links}
                    for n, version in enumerate(self.versions)
                ]
            }
        ).encode()


class VersionNegotiationFilter:
    """Rewrites /v2.N to /v2; answers requests without an offered version with ``document``."""

    def __init__(self, app: WSGIApplication, document: Versions) -> None:
        self.app = app
        self.document = document
        self.accepted = {"v2"} | {f"v{version}" for version in document.versions}

    @classmethod
    @needs_dependencies
    def factory(
        cls, deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
    ) -> Filter:
        """Paste filter factory."""
        return lambda app: cls(app, Versions.from_settings(deps.settings))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if "/." in path:
            path = environ["PATH_INFO"] = remove_dot_segments(path)
        accept = environ.get("HTTP_ACCEPT", "")
        named = accept.startswith(_MEDIA_TYPE_PREFIX)
        if not named and path.startswith("/v2/") and path[4:5] != "/":
            return self.app(environ, start_response)

        first = _first_segment(path)
        if first == "versions":
            return self.document(environ, start_response, 200)
        if named:
            # wire: the header replaces the version in the path, it does not confirm it.
            version, rest = accept[len(_MEDIA_TYPE_PREFIX) :], path
        else:
            version, rest = first, path.lstrip("/")[len(first) :]
        if version not in self.accepted:
            return self.document(environ, start_response, 300)
        rest = rest.lstrip("/")
        environ["PATH_INFO"] = f"/v2/{rest}" if rest or path.endswith("/") else "/v2"
        return self.app(environ, start_response)


def remove_dot_segments(path: str) -> str:
    """``path`` with its segments ``.`` and ``..`` resolved (RFC 3986, 5.2.4).

    Not all WSGI servers do that.
    """
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _first_segment(path: str) -> str:
    return path.lstrip("/").partition("/")[0]
