"""The application at the end of the pipeline: it gives a request to the controller of its route.

It checks what the table of routes says of method, path and body, and makes responses of errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from wsgiref.types import StartResponse, WSGIEnvironment

import webob

from glance_py.domain import errors
from glance_py.http import faults
from glance_py.http.controllers import controllers
from glance_py.http.ports import Cache, Operations, PolicyEnforcer, ProjectLimits, StoreList
from glance_py.http.request import Request
from glance_py.http.routes import ROUTES, Route, RouteTable
from glance_py.settings import Settings
from glance_py.wire.field import Resource
from glance_py.wire.image import image_resource
from glance_py.wire.media_types import BodyKind

_SLASHES = re.compile("//+")


class API:
    """The Image API v2 as a WSGI application.

    :param operations: the outermost layers, see ``glance_py.gateway.Gateway``.
    :param image_schema: the image as it is declared; by default for ``settings``, with the
        operator's ``schema-image.json``.
    :param limits: None when the operator sets no limits in Keystone.
    :param cache: None when this host has no image cache.
    :raises RouteError: a route has no controller method.
    """

    def __init__(
        self,
        operations: Operations,
        settings: Settings,
        stores: StoreList,
        enforcer: PolicyEnforcer,
        image_schema: Resource | None = None,
        limits: ProjectLimits | None = None,
        cache: Cache | None = None,
    ) -> None:
        self._routes = RouteTable()
        image_schema = image_schema or image_resource(settings.formats, settings.schema_image_file)
        by_name = controllers(operations, settings, stores, enforcer, image_schema, limits, cache)
        self._actions = bind_actions(ROUTES, by_name)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = self._respond(request)
        except Exception as error:
            response = faults.response(error, request)
        return response(environ, start_response)

    def _respond(self, request: Request) -> webob.Response:
        if not request.environ.get("PATH_INFO"):
            return webob.Response(
                status=302,
                headerlist=[
                    ("Location", request.path_url + "/"),
                    ("Content-Type", "text/plain; charset=utf8"),
                    ("Content-Length", "0"),
                ],
            )
        route, variables = self._routes.match(_path(request.environ), request.environ)
        context = request.context
        if context.read_only and route.method != "GET":
            raise errors.Forbidden("Read-only access: this needs authentication.")
        if route.body is BodyKind.NONE and request.has_body:
            raise errors.Invalid("A body is not expected with this request.")
        return self._actions[route](request, **variables)


class RouteError(LookupError):
    """A route names a controller, or a method of it, that does not exist."""


def bind_actions(
    declared: Sequence[Route], controllers: Mapping[str, object]
) -> dict[Route, Callable[..., webob.Response]]:
    """The controller method of each route.

    :raises RouteError: there is none.
    """
    actions = {}
    for route in declared:
        controller, _, method = route.action.partition(".")
        action = getattr(controllers.get(controller), method, None)
        if action is None:
            raise RouteError(f"{route.method} {route.path}: there is no action {route.action}.")
        actions[route] = action
    return actions


def _path(environ: WSGIEnvironment) -> str:
    """The path below the application, with repeated slashes as one.

    wire: it keeps the form of WSGI, one character for each byte of UTF-8 (PEP 3333).  Databases
    hold the tags that clients of Glance set through a path in this form, and clients look for
    them by it.

    :raises errors.Invalid: it is not UTF-8 (RFC 3987).
    """
    path: str = environ.get("PATH_INFO") or "/"
    try:
        if not path.isascii():
            path.encode("latin-1").decode()
    except UnicodeError:
        raise errors.Invalid("The path of the request is not UTF-8.") from None
    return _SLASHES.sub("/", path) if "//" in path else path
