"""What a controller sees of a request, and the answers it gives."""

from __future__ import annotations

import webob

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.http.body import CHUNK_SIZE, body_chunks, is_chunked

#: Bytes of JSON that one request may hold: 128 properties of 64 KiB, and twice that.
MAX_JSON_BODY = 16 * 1024 * 1024

#: Where the id of a request stands in the WSGI environment: the name that oslo.middleware uses.
REQUEST_ID = "openstack.request_id"


class Request(webob.BaseRequest):
    """A WSGI request whose caller is known."""

    @property
    def context(self) -> RequestContext:
        """The caller, as the context filter in front of the application found it.

        :raises errors.NotAuthenticated: there is no such filter in the pipeline.
        """
        try:
            return self.environ["glance.context"]
        except KeyError:
            raise errors.NotAuthenticated() from None

    @property
    def has_body(self) -> bool:
        """Does a body come with this request?

        wire: one of unknown length does not count where none is expected anyway.
        """
        length = self.environ.get("CONTENT_LENGTH") or "0"
        return length != "0" or (
            self.method in ("POST", "PUT", "PATCH") and is_chunked(self.environ)
        )

    def read_json_body(self) -> bytes:
        """The body of a request that carries JSON, read whole.

        wire: a document has a Content-Length; without one it counts as missing.

        :raises errors.Invalid: none, or shorter than announced.
        :raises errors.LimitExceeded: larger than any document of this API.
        """
        length = self.environ.get("CONTENT_LENGTH") or "0"
        if is_chunked(self.environ) or not length.isascii() or not length.isdigit():
            raise errors.Invalid("Body expected in request, with its Content-Length.")
        if len(length) > 9 or int(length) > MAX_JSON_BODY:
            raise errors.LimitExceeded(f"A request cannot be larger than {MAX_JSON_BODY} bytes.")
        return b"".join(body_chunks(self.environ, CHUNK_SIZE))


def json_response(
    body: bytes, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> webob.Response:
    """A response with ready-made JSON."""
    return webob.Response(
        status=status,
        app_iter=[body],
        headerlist=[
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            *headers,
        ],
    )


def accepted(status: int = 202) -> webob.Response:
    """It is going to happen.

    wire: there is nothing to read, and it is called HTML.
    """
    return webob.Response(
        status=status,
        app_iter=[],
        headerlist=[("Content-Type", "text/html; charset=UTF-8"), ("Content-Length", "0")],
    )


def no_content() -> webob.Response:
    """Done, and nothing to say."""
    return webob.Response(status=204, headerlist=[], app_iter=[])
