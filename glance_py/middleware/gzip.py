"""Compressed answers for clients that ask for them.

Image data is left alone: it is large, mostly incompressible, and its length
and checksum are promised in headers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import webob


class GzipMiddleware:
    """Compresses JSON and text when the request accepts gzip (RFC 9110, 12.5.3)."""

    def __init__(self, app: Callable) -> None:
        self.app = app

    @classmethod
    def factory(cls, global_conf: dict, **local_conf: str) -> Callable:
        """Paste filter factory."""
        return cls

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):
            return self.app(environ, start_response)
        request = webob.Request(environ)
        if not request.accept_encoding.acceptable_offers(["gzip"]):
            return self.app(environ, start_response)
        response = request.get_response(self.app)
        if response.content_type != "application/octet-stream" and response.content_length:
            response.encode_content("gzip")
            response.vary = (*(response.vary or ()), "Accept-Encoding")
        return response(environ, start_response)
