"""The application at the end of the pipeline: from a WSGI request to a controller.

Built once per process.  Decides whether path, method and body belong together
and turns what goes wrong into a response; everything else is the controllers'.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import webob
from webob import exc

from glance_py.domain import errors
from glance_py.http import faults
from glance_py.http.controllers import controllers
from glance_py.http.request import Request
from glance_py.http.routes import METHODS, NO_BODY, ROUTES, Route, RouteTable
from glance_py.wire.field import Resource
from glance_py.wire.image import image_resource

_SLASHES = re.compile("//+")


class API:
    """The Image API v2 as a WSGI application.

    :param gateway: has ``images`` and ``members``, the operations of
        :mod:`glance_py.domain.ports`.
    :param conf: ConfigOpts.
    :param stores: the stores by id (``glance_store_py.stores.Stores``).
    :param enforcer: answers ``check(ctx, rule, target)``.
    :param image_schema: the image as declared; by default as ``conf`` and the
        operator's ``schema-image.json`` have it.
    :param limits: answers ``usage(ctx)`` with what the project uses of its
        limits; None when the operator sets none.
    :param cache: the image cache (``glance_py.cache.image_cache.ImageCache``);
        None when this node has none.
    """

    def __init__(
        self,
        gateway,
        conf,
        stores,
        enforcer,
        image_schema: Resource | None = None,
        limits=None,
        cache=None,
    ) -> None:
        self._routes = RouteTable()
        image_schema = image_schema or image_resource(conf)
        built = controllers(gateway, conf, stores, enforcer, image_schema, limits, cache)
        self._actions: dict[Route, Callable[..., webob.Response]] = {}
        for route in ROUTES:
            controller, _, method = route.action.partition(".")
            self._actions[route] = getattr(built[controller], method)

    def __call__(self, environ: dict[str, Any], start_response) -> Iterable[bytes]:
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
        route, variables = self._match(request)
        context = request.context
        if context.read_only and route.method != "GET":
            raise errors.Forbidden("Read-only access: this needs authentication.")
        if route.body == NO_BODY and request.has_body:
            raise errors.Invalid("A body is not expected with this request.")
        return self._actions[route](request, **variables)

    def _match(self, request: Request) -> tuple[Route, Mapping[str, str]]:
        path = _path(request.environ)
        method = request.environ["REQUEST_METHOD"]
        found = self._routes.match(path)
        if found is None:
            if method not in METHODS:
                raise exc.HTTPNotImplemented(explanation=f"The method {method} is not known here.")
            raise errors.NotFound("The resource could not be found.")
        variables, routes = found
        route = routes.get(method)
        if route is None:
            raise _not_allowed(method, routes)
        return route, variables


def _not_allowed(method: str, routes: Mapping[str, Route]) -> Exception:
    allowed = sorted(each for each, route in routes.items() if route.in_allow_header)
    if not allowed:
        return errors.NotFound("The resource could not be found.")
    return exc.HTTPMethodNotAllowed(
        explanation=f"The method {method} is not allowed for this resource.",
        headers={"Allow": ", ".join(allowed)},
    )


def _path(environ: dict[str, Any]) -> str:
    """The path below the application, repeated slashes taken as one.

    wire: it stays the way WSGI hands it over, one character for each byte of UTF-8
    (PEP 3333).  So are the tags that clients of Glance have put into databases by
    this way, and by it they look for them.

    :raises errors.Invalid: it is not UTF-8 (RFC 3987).
    """
    path = environ.get("PATH_INFO") or "/"
    try:
        if not path.isascii():
            path.encode("latin-1").decode()
    except UnicodeError:
        raise errors.Invalid("The path of the request is not UTF-8.") from None
    return _SLASHES.sub("/", path) if "//" in path else path
