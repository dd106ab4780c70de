"""Errors to responses: the only place that knows which error has which status.

An error is looked up by its class, then by the classes it is made from.  What
is in no table was not foreseen: it is logged with its traceback and answered
with 500 and the request id, nothing more.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping

from webob import exc
from webob.acceptparse import create_accept_header

from glance_py.domain import errors
from glance_py.http.request import REQUEST_ID

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

#: Seconds after which a client may try again, for what usually passes.
RETRY_AFTER = 5
_TRANSIENT = (errors.DatabaseUnavailable, errors.IdentityUnavailable)


def status_class(error: type[BaseException]) -> type[exc.WSGIHTTPException] | None:
    """The response for a class of errors; None when it was not foreseen."""
    for each in error.__mro__:
        if each in STATUS:
            return STATUS[each]
    return None


def response(error: Exception, request) -> exc.WSGIHTTPException:
    """The response for ``error``; text, HTML or JSON as the client accepts."""
    answer = _http_error(error, request)
    # The pages of some statuses (415 among them) leave out what was wrong.
    answer.body_template_obj = exc.WSGIHTTPException.body_template_obj
    answer.json_formatter = functools.partial(_json_body, answer)
    if answer.code >= 400 and request.method != "HEAD":
        _set_body(answer, request.environ)
    return answer


def _set_body(answer: exc.WSGIHTTPException, environ: dict) -> None:
    """Give ``answer`` the body that WebOb would, which looks at Accept anew for each."""
    media_type = _error_media_type(environ.get("HTTP_ACCEPT", ""))
    write = {"text/html": answer.html_body, "application/json": answer.json_body}.get(
        media_type, answer.plain_body
    )
    answer.headers["Content-Type"] = (
        media_type if media_type == "application/json" else f"{media_type}; charset=UTF-8"
    )
    answer.body = write(environ).encode()


@functools.lru_cache(maxsize=128)
def _error_media_type(accept: str) -> str:
    """The media type of an error for one who accepts this."""
    offers = create_accept_header(accept).acceptable_offers(["text/html", "application/json"])
    return str(offers[0][0]) if offers else "text/plain"


def _json_body(
    answer: exc.WSGIHTTPException, body: str, status: str, title: str, environ: dict
) -> dict[str, str]:
    """The JSON form of an error: the sentence itself, without the markup of the page."""
    return {"message": answer.explanation, "code": status, "title": title}


def _http_error(error: Exception, request) -> exc.WSGIHTTPException:
    if isinstance(error, exc.WSGIHTTPException):
        return error
    fault = status_class(type(error))
    if isinstance(error, errors.PeerRefused):
        # What the other worker answered is the answer.
        fault = exc.status_map.get(error.args[0], exc.HTTPBadGateway)
    if fault is None:
        return _internal_error(error, request)
    answer = fault(explanation=str(error))
    if isinstance(error, _TRANSIENT) and not isinstance(error, errors.OutcomeUnknown):
        answer.headers["Retry-After"] = str(RETRY_AFTER)
    if answer.code >= 500:
        LOG.error("%s %s: %s", request.method, request.path, error)
    return answer


def _internal_error(error: Exception, request) -> exc.WSGIHTTPException:
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
