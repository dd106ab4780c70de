"""The request as controllers read it, and the responses that they make.

Controllers read a request through the properties of :class:`Request` (its own, and ``method``,
``path``, ``query_string`` and ``content_type`` of WebOb), never through its WSGI environment.
"""

from __future__ import annotations

from collections.abc import Iterator

import webob
from webob.request import BaseRequest

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.http.body import body_chunks, is_chunked
from glance_py.wire import media_types

#: Bytes of JSON that one request may hold: 128 properties of 64 KiB, and twice that.
MAX_JSON_BODY = 16 * 1024 * 1024

#: Key of the request id in the WSGI environment: the one that oslo.middleware uses.
REQUEST_ID = "openstack.request_id"

#: Key of the caller's RequestContext in the WSGI environment, set by the context filter.
CONTEXT_KEY = "glance.context"


class Request(BaseRequest):
    """A WSGI request with the caller that the pipeline authenticated."""

    @property
    def context(self) -> RequestContext:
        """The caller, as the context filter in front of the application found it.

        :raises errors.NotAuthenticated: the pipeline has no such filter.
        """
        try:
            context: RequestContext = self.environ[CONTEXT_KEY]
        except KeyError:
            raise errors.NotAuthenticated() from None
        return context

    @property
    def request_id(self) -> str | None:
        """The id of the request, ``req-`` and a UUID; None outside the pipeline."""
        request_id: str | None = self.environ.get(REQUEST_ID)
        return request_id

    def header(self, name: str) -> str | None:
        """The value of a header as WSGI has it, one character for each byte; None without it.

        ``BaseRequest.headers`` answers the same after five calls (tests/budget).
        """
        value: str | None = self.environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    @property
    def is_chunked(self) -> bool:
        """True when the body comes in chunks, without a known length."""
        return is_chunked(self.environ)

    @property
    def content_length_text(self) -> str | None:
        """The Content-Length as the client wrote it; None when it is missing or empty."""
        return self.environ.get("CONTENT_LENGTH") or None

    @property
    def has_body(self) -> bool:
        """True when the request carries a body.

        wire: a chunked body counts with POST, PUT and PATCH only.
        """
        return (self.content_length_text or "0") != "0" or (
            self.method in ("POST", "PUT", "PATCH") and self.is_chunked
        )

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in pieces of at most ``body.CHUNK_SIZE`` bytes.

        :raises errors.Invalid: see :func:`glance_py.http.body.body_chunks`.
        """
        return body_chunks(self.environ)

    def read_json_body(self) -> bytes:
        """Read the whole body of a request that carries JSON.

        wire: a document has a Content-Length; without one it counts as missing.

        :raises errors.Invalid: there is none, or it is shorter than announced.
        :raises errors.LimitExceeded: it is larger than MAX_JSON_BODY.
        """
        length = self.content_length_text or "0"
        if self.is_chunked or not length.isascii() or not length.isdigit():
            raise errors.Invalid("Body expected in request, with its Content-Length.")
        if len(length) > 9 or int(length) > MAX_JSON_BODY:
            raise errors.LimitExceeded(f"A request cannot be larger than {MAX_JSON_BODY} bytes.")
        return b"".join(self.chunks())


def json_response(
    body: bytes, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> webob.Response:
    """A response with ``body``, which is encoded JSON already."""
    return webob.Response(
        status=status,
        app_iter=[body],
        headerlist=[
            ("Content-Type", media_types.JSON),
            ("Content-Length", str(len(body))),
            *headers,
        ],
    )


def accepted(status: int = 202) -> webob.Response:
    """A response without content for work that goes on after it.

    wire: it has the Content-Type text/html and a Content-Length of 0.
    """
    return webob.Response(
        status=status,
        app_iter=[],
        headerlist=[("Content-Type", "text/html; charset=UTF-8"), ("Content-Length", "0")],
    )


def no_content() -> webob.Response:
    """A response 204 without headers of its own."""
    return webob.Response(status=204, headerlist=[], app_iter=[])
