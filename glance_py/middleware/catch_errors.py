"""The outermost middleware: a request id for every request, an answer for every error.

What is in front of the router (keystonemiddleware, filters of the operator's
own) may raise, and may log before anybody knows who asks.  So the id is chosen
here, before any filter runs: the answer carries it, and so does every line
that the thread logs until its next request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from oslo_context.context import generate_request_id

from glance_py.context import request_log_fields, set_current
from glance_py.http import faults
from glance_py.http.request import REQUEST_ID, Request

_HEADER = "x-openstack-request-id"


class CatchErrors:
    """Wraps the whole pipeline.

    The id is the one that the caller sent in ``X-Openstack-Request-Id``, unless that has more
    than ``max_request_id_length`` characters.

    An exception becomes the answer that :mod:`glance_py.http.faults` has for it, 500 when it was
    not foreseen.  Once the application has begun to answer, the exception is the server's.
    """

    def __init__(self, app: Callable, conf: Any) -> None:
        self.app = app
        self._max_request_id_length = conf.max_request_id_length

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        request_id = environ[REQUEST_ID] = self._request_id(environ)
        # Nobody is known yet.  Without this, lines would name the caller of the previous request.
        set_current(request_log_fields(request_id))
        started = False

        def start(status: str, headers: list, exc_info: Any = None) -> Any:
            nonlocal started
            started = True
            headers.append((_HEADER, request_id))
            return start_response(status, headers, exc_info)

        try:
            return self.app(environ, start)
        except Exception as error:
            if started:
                raise
            return faults.response(error, Request(environ))(environ, start)

    def _request_id(self, environ: dict) -> str:
        given = environ.get("HTTP_X_OPENSTACK_REQUEST_ID")
        if not given or len(given) > self._max_request_id_length:
            return generate_request_id()
        return given if given.startswith("req-") else f"req-{given}"
