"""Errors to responses: which error has which status, and the one body of all errors.

An error is looked up in ``STATUS`` by its class, then by its base classes.  An error that is not
in the table is a defect of the service: it is logged with its traceback, and the client is told
the request id and nothing else, with status 500.
"""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import webob
from webob import exc
from webob.acceptparse import create_accept_header
from webob.request import BaseRequest
from webob.util import html_escape

from glance_py.domain import errors
from glance_py.http.request import REQUEST_ID
from glance_py.wire import media_types

LOG = logging.getLogger(__name__)

STATUS: Mapping[type[errors.GlanceError], type[exc.WSGIHTTPException]] = {
    errors.Invalid: exc.HTTPBadRequest,
    errors.NotAuthenticated: exc.HTTPUnauthorized,
    errors.Forbidden: exc.HTTPForbidden,
    errors.NotFound: exc.HTTPNotFound,
    errors.Conflict: exc.HTTPConflict,
    errors.LimitExceeded: exc.HTTPRequestEntityTooLarge,
    errors.UnsupportedMediaType: exc.HTTPUnsupportedMediaType,
    errors.ImageDeletedDuringUpload: exc.HTTPGone,
    errors.StoreReadOnly: exc.HTTPGone,
    errors.StoreUnavailable: exc.HTTPServiceUnavailable,
    errors.CorruptImageData: exc.HTTPInternalServerError,
    errors.PeerUnreachable: exc.HTTPGatewayTimeout,
    errors.PeerFailed: exc.HTTPBadGateway,
    errors.PeerRefused: exc.HTTPBadGateway,
    errors.SourceFailed: exc.HTTPBadGateway,
    errors.DatabaseUnavailable: exc.HTTPServiceUnavailable,
    errors.IdentityUnavailable: exc.HTTPServiceUnavailable,
    errors.RangeNotSatisfiable: exc.HTTPRequestRangeNotSatisfiable,
}

#: Seconds after which a client may try again, for errors that usually pass.
RETRY_AFTER = 5
_TRANSIENT = (errors.DatabaseUnavailable, errors.IdentityUnavailable)

#: Headers of an error that the body decides.
_BODY_HEADERS = frozenset({"content-type", "content-length"})

_BREAK = re.compile("<br.*?>", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile("<!--|-->")
_TAG = re.compile("<.*?>", re.DOTALL)

_HTML = "text/html"
_TEXT = "text/plain"


def status_class(error: type[BaseException]) -> type[exc.WSGIHTTPException] | None:
    """The HTTP error for a class of errors; None for one that is not in ``STATUS``."""
    for each in error.__mro__:
        if each in STATUS:
            return STATUS[each]
    return None


def response(error: Exception, request: BaseRequest) -> webob.Response:
    """The response for ``error``, with a body of the media type that the client accepts.

    wire: the answer to HEAD has the headers of an empty HTML page.

    :param request: of any filter in the pipeline, so that it need not be a ``Request`` of ours.
    """
    fault = _http_error(error, request)
    if fault.code < 400:
        # A filter of the operator's own may raise a redirect of WebOb.
        return fault
    media_type, body = _HTML, b""
    if request.method != "HEAD":
        media_type = _error_media_type(request.environ.get("HTTP_ACCEPT", ""))
        text = _Text(fault.status, fault.title, fault.explanation or "", fault.detail or "")
        body = _BODIES[media_type](text).encode()
    charset = "" if media_type == media_types.JSON else "; charset=UTF-8"
    return webob.Response(
        status=fault.status,
        app_iter=[body] if body else [],
        headerlist=[
            *(pair for pair in fault.headerlist if pair[0].lower() not in _BODY_HEADERS),
            ("Content-Type", f"{media_type}{charset}"),
            ("Content-Length", str(len(body))),
        ],
    )


@functools.lru_cache(maxsize=128)
def _error_media_type(accept: str) -> str:
    """The media type of an error for a client whose Accept header (RFC 9110, 12.5.1) is this."""
    offers = create_accept_header(accept).acceptable_offers([_HTML, media_types.JSON])
    return str(offers[0][0]) if offers else _TEXT


class _Text(NamedTuple):
    """The parts of the body of an error.

    status
        Code and reason phrase, such as ``404 Not Found``.
    title
        The reason phrase.
    explanation
        One sentence about this error.
    detail
        A second sentence; only errors that filters of the operator raise have one.
    """

    status: str
    title: str
    explanation: str
    detail: str


def _html(text: _Text) -> str:
    """wire: the page that WebOb makes of its errors."""
    return (
        f"<html>\n <head>\n  <title>{text.status}</title>\n </head>\n <body>\n"
        f"  <h1>{text.status}</h1>\n"
        f"  {html_escape(text.explanation)}<br /><br />\n{html_escape(text.detail)}\n\n\n"
        " </body>\n</html>"
    )


def _plain(text: _Text) -> str:
    """wire: the same as text on lines of its own; what looks like markup is dropped."""
    body = f"{text.explanation}<br /><br />\n{text.detail}\n\n"
    body = _BREAK.sub("\n", body.replace("\n", " ").replace("\r", ""))
    return f"{text.status}\n\n{_TAG.sub('', _COMMENT.sub('', body))}"


def _json(text: _Text) -> str:
    """wire: the sentence without the markup of the page."""
    return json.dumps({"message": text.explanation, "code": text.status, "title": text.title})


_BODIES: Mapping[str, Callable[[_Text], str]] = {
    _HTML: _html,
    _TEXT: _plain,
    media_types.JSON: _json,
}


def _http_error(error: Exception, request: BaseRequest) -> exc.WSGIHTTPException:
    """Status, explanation and headers for ``error``, as an HTTP error of WebOb."""
    if isinstance(error, exc.WSGIHTTPException):
        return error
    fault = status_class(type(error))
    if isinstance(error, errors.PeerRefused):
        # The answer of the other worker is the answer to the client.
        fault = _error_class(error.args[0])
    if fault is None:
        return _internal_error(error, request)
    answer = fault(explanation=str(error))
    if isinstance(error, _TRANSIENT) and not isinstance(error, errors.OutcomeUnknown):
        answer.headers["Retry-After"] = str(RETRY_AFTER)
    if answer.code >= 500:
        LOG.error("%s %s: %s", request.method, request.path, error)
    return answer


def _error_class(code: int) -> type[exc.WSGIHTTPException]:
    """The HTTP error with this status code; 502 where the code is not that of an error."""
    found = exc.status_map.get(code)
    return found if found is not None and code >= 400 else exc.HTTPBadGateway


def _internal_error(error: Exception, request: BaseRequest) -> exc.WSGIHTTPException:
    """Log an error that is not in ``STATUS`` and return a 500 that names the request id only."""
    LOG.error(
        "%s %s failed",
        request.method,
        request.path,
        exc_info=(type(error), error, error.__traceback__),
    )
    request_id = request.environ.get(REQUEST_ID)
    known_as = f" The request is {request_id}." if request_id else ""
    return exc.HTTPInternalServerError(
        explanation=f"The service could not do this because of an error of its own.{known_as}"
    )
