"""Compresses answers for clients that ask for it.

Image data is not compressed: the headers of a download give its length and its checksum.
"""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import webob

from glance_py.middleware.factory_deps import Filter


class GzipMiddleware:
    """Compresses JSON and text when the request accepts gzip (RFC 9110, 12.5.3)."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    @classmethod
    def factory(cls, global_conf: dict[str, str], **local_conf: str) -> Filter:
        """Paste filter factory."""
        return cls

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):
            return self.app(environ, start_response)
        request = webob.Request(environ)
        if not request.accept_encoding.acceptable_offers(["gzip"]):
            return self.app(environ, start_response)
        response = request.get_response(self.app)
        if response.content_type != "application/octet-stream" and response.content_length:
            response.encode_content("gzip")
            response.vary = (*(response.vary or ()), "Accept-Encoding")
        body: Iterable[bytes] = response(environ, start_response)
        return body
