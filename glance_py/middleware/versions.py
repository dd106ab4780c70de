"""Which versions of the Image API there are, and which one a request means.

Any accepted version leads to the same application under /v2: a minor version
tells what a deployment can do, it does not switch anything.  This room looks
at path and Accept header only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import webob

from glance_py.middleware import factory_deps

#: An Accept header that starts so names a version.
_MEDIA_TYPE_PREFIX = "application/vnd.openstack.images-"

BASE_VERSIONS = ("2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.9", "2.15", "2.17")
MULTI_STORE_VERSIONS = ("2.8", "2.10", "2.11", "2.12", "2.13")
CACHE_VERSIONS = ("2.14", "2.16", "2.18")


def enabled_versions(conf: Any) -> list[str]:
    """The versions that this deployment offers, the newest first.

    Several stores (``enabled_backends``) and an image cache
    (``image_cache_dir``) bring versions of their own.
    """
    versions = list(BASE_VERSIONS)
    if conf.enabled_backends:
        versions += MULTI_STORE_VERSIONS
    if conf.image_cache_dir:
        versions += CACHE_VERSIONS
    return sorted(versions, key=lambda version: int(version.split(".")[1]), reverse=True)


class Versions:
    """The version document: 200 at /versions, 300 wherever no version was recognised."""

    def __init__(self, conf: Any) -> None:
        self.versions = enabled_versions(conf)
        self.public_endpoint = (conf.public_endpoint or "").rstrip("/")

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Versions:
        """Paste app factory."""
        return cls(factory_deps.current().conf)

    def __call__(
        self, environ: dict, start_response: Callable, status: int | None = None
    ) -> Iterable[bytes]:
        request = webob.Request(environ)
        if status is None:
            status = 200 if _first_segment(environ["PATH_INFO"]) == "versions" else 300
        body = self.document(self.public_endpoint or request.application_url)
        return webob.Response(
            body,
            status=status,
            content_type="application/json",
            charset="",
        )(environ, start_response)

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
    """Leads /v2.N to /v2 and everything without a known version to the document."""

    def __init__(self, app: Callable, conf: Any) -> None:
        self.app = app
        self.document = Versions(conf)
        self.accepted = {"v2"} | {f"v{version}" for version in enabled_versions(conf)}

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory."""
        conf = factory_deps.current().conf
        return lambda app: cls(app, conf)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
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

    Some servers do it before they call, others do not.
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
