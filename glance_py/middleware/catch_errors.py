"""The outermost middleware: a request id for every request, an answer for every error.

Filters in front of the router (keystonemiddleware, filters of operators) may raise, and may log
before the caller is known.  Therefore the request id is chosen here, before any filter runs: the
answer carries it, and so does every line that the thread logs until its next request
(``tests/unit/middleware/test_catch_errors.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oslo_context.context import generate_request_id

from glance_py.context import request_log_fields, set_current
from glance_py.http import faults
from glance_py.http.request import REQUEST_ID, Request
from glance_py.settings import ApiSettings

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

_HEADER = "x-openstack-request-id"


class CatchErrors:
    """Wraps the whole pipeline.

    The id of a request is the one in the header ``X-Openstack-Request-Id``, unless that has more
    than ``max_request_id_length`` characters.

    An exception becomes the answer that :mod:`glance_py.http.faults` has for it, 500 when it is
    not known there.  An exception after ``start_response`` was called is passed to the server.
    """

    def __init__(self, app: WSGIApplication, settings: ApiSettings) -> None:
        self.app = app
        self._max_request_id_length = settings.max_request_id_length

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id = environ[REQUEST_ID] = self._request_id(environ)
        # The caller is not known yet.  Without this, log lines would name the caller of the
        # previous request of this thread.
        set_current(request_log_fields(request_id))
        started = False

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            nonlocal started
            started = True
            headers.append((_HEADER, request_id))
            return start_response(status, headers, exc_info)

        try:
            return self.app(environ, start)
        except Exception as error:
            if started:
                raise
            body: Iterable[bytes] = faults.response(error, Request(environ))(environ, start)
            return body

    def _request_id(self, environ: WSGIEnvironment) -> str:
        given: str | None = environ.get("HTTP_X_OPENSTACK_REQUEST_ID")
        if not given or len(given) > self._max_request_id_length:
            new_id: str = generate_request_id()
            return new_id
        return given if given.startswith("req-") else f"req-{given}"
