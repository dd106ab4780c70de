"""Every route of the Image API in one table, and the Routes mapper that is made of it.

A route says method, path, which controller method answers and what body a request may have.  A new
route is an entry here, a method of a controller, and an operation of a port.  404, 405 with Allow,
and 501 follow from the table, and the OpenAPI document is made from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from wsgiref.types import WSGIEnvironment

import routes
from webob import exc

from glance_py.domain import errors
from glance_py.wire import schema
from glance_py.wire.media_types import BodyKind

#: Known methods.  An unknown one is answered 501 where the path is unknown, 405 where it is known.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One method of one path.

    path
        Below ``/v2``; names in braces are arguments of the controller method.
    action
        ``controller.method``, a key of ``controllers`` and a method of that controller.
    in_allow_header
        wire: False for a route that answers like any other but is not named in Allow; a path
        with no other routes is not found by other methods.
    defaults
        Further arguments of the controller method.
    """

    method: str
    path: str
    action: str
    body: BodyKind = BodyKind.NONE
    in_allow_header: bool = True
    defaults: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _definition_routes(noun: str, create: str = "create") -> tuple[Route, ...]:
    """The routes of the objects, properties or tags of a metadata namespace.

    :param create: the name of the action that answers POST on the collection.
    """
    everything, one = f"/metadefs/namespaces/{{namespace}}/{noun}", "/{name}"
    return (
        Route("GET", everything, f"metadef_{noun}.index"),
        Route("POST", everything, f"metadef_{noun}.{create}", BodyKind.JSON),
        Route("DELETE", everything, f"metadef_{noun}.clear"),
        Route("GET", everything + one, f"metadef_{noun}.show"),
        Route("PUT", everything + one, f"metadef_{noun}.update", BodyKind.JSON),
        Route("DELETE", everything + one, f"metadef_{noun}.delete"),
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/images", "images.index", BodyKind.IGNORED),
    Route("POST", "/images", "images.create", BodyKind.JSON),
    Route("GET", "/images/{image_id}", "images.show"),
    Route("PATCH", "/images/{image_id}", "images.update", BodyKind.JSON),
    Route("DELETE", "/images/{image_id}", "images.delete"),
    Route("GET", "/images/{image_id}/file", "image_data.download"),
    Route("PUT", "/images/{image_id}/file", "image_data.upload", BodyKind.BYTES),
    Route("PUT", "/images/{image_id}/stage", "image_data.stage", BodyKind.BYTES),
    Route("POST", "/images/{image_id}/import", "imports.create", BodyKind.JSON),
    Route("GET", "/images/{image_id}/tasks", "imports.tasks", in_allow_header=False),
    Route("POST", "/images/{image_id}/actions/deactivate", "actions.deactivate"),
    Route("POST", "/images/{image_id}/actions/reactivate", "actions.reactivate"),
    Route("GET", "/images/{image_id}/locations", "locations.index", in_allow_header=False),
    Route("POST", "/images/{image_id}/locations", "locations.create", BodyKind.JSON),
    Route("DELETE", "/stores/{store_id}/{image_id}", "stores.delete"),
    Route("PUT", "/images/{image_id}/tags/{tag}", "tags.update"),
    Route("DELETE", "/images/{image_id}/tags/{tag}", "tags.delete"),
    Route("GET", "/images/{image_id}/members", "members.index"),
    Route("POST", "/images/{image_id}/members", "members.create", BodyKind.JSON),
    Route("GET", "/images/{image_id}/members/{member_id}", "members.show"),
    Route("PUT", "/images/{image_id}/members/{member_id}", "members.update", BodyKind.JSON),
    Route("DELETE", "/images/{image_id}/members/{member_id}", "members.delete"),
    Route("GET", "/info/import", "info.import_methods"),
    Route("GET", "/ext/info/import", "imports.abilities"),
    Route("GET", "/info/stores", "info.stores"),
    Route("GET", "/info/stores/detail", "info.stores_detail"),
    Route("GET", "/info/usage", "info.usage", in_allow_header=False),
    Route("GET", "/tasks", "tasks.index"),
    Route("POST", "/tasks", "tasks.create", BodyKind.JSON),
    Route("GET", "/tasks/{task_id}", "tasks.show"),
    Route("DELETE", "/tasks/{task_id}", "tasks.delete"),
    Route("GET", "/cache", "cache.index"),
    Route("DELETE", "/cache", "cache.clear"),
    Route("POST", "/cache/clean", "cache.clean"),
    Route("POST", "/cache/prune", "cache.prune"),
    Route("GET", "/cache/nodes/{image_id}", "cache.nodes"),
    Route("PUT", "/cache/{image_id}", "cache.queue"),
    Route("DELETE", "/cache/{image_id}", "cache.delete"),
    Route("GET", "/metadefs/resource_types", "metadef_resource_types.known"),
    Route("GET", "/metadefs/namespaces", "metadef_namespaces.index", BodyKind.IGNORED),
    Route("POST", "/metadefs/namespaces", "metadef_namespaces.create", BodyKind.JSON),
    Route("GET", "/metadefs/namespaces/{namespace}", "metadef_namespaces.show"),
    Route("PUT", "/metadefs/namespaces/{namespace}", "metadef_namespaces.update", BodyKind.JSON),
    Route("DELETE", "/metadefs/namespaces/{namespace}", "metadef_namespaces.delete"),
    *_definition_routes("objects"),
    *_definition_routes("properties"),
    *_definition_routes("tags", create="create_all"),
    Route("POST", "/metadefs/namespaces/{namespace}/tags/{name}", "metadef_tags.create"),
    Route("GET", "/metadefs/namespaces/{namespace}/resource_types", "metadef_resource_types.index"),
    Route(
        "POST",
        "/metadefs/namespaces/{namespace}/resource_types",
        "metadef_resource_types.create",
        BodyKind.JSON,
    ),
    Route(
        "DELETE",
        "/metadefs/namespaces/{namespace}/resource_types/{name}",
        "metadef_resource_types.delete",
    ),
    *(
        Route("GET", f"/schemas/{name}", "schemas.show", defaults={"document": name})
        for name in schema.NAMES
    ),
)


class RouteTable:
    """Finds the route of a request; made once per process and read by all threads.

    The mapper of Routes has one entry for each route, with the method as its condition, and
    behind the routes of a path one that takes all other methods: it is answered 405.
    """

    def __init__(self, declared: Sequence[Route] = ROUTES) -> None:
        self._mapper = routes.Mapper(controller_scan=None, register=False)
        self._declared: dict[routes.Route, Route] = {}
        self._allowed: dict[routes.Route, Sequence[str]] = {}
        by_path: dict[str, list[Route]] = {}
        for each in declared:
            by_path.setdefault(each.path, []).append(each)
        for path, of_path in by_path.items():
            for each in of_path:
                conditions = {"method": [each.method]}
                connected = self._connect(path, conditions=conditions, **each.defaults)
                self._declared[connected] = each
            allowed = sorted(each.method for each in of_path if each.in_allow_header)
            self._allowed[self._connect(path)] = allowed
        self._mapper.create_regs()

    def _connect(self, path: str, **options: object) -> routes.Route:
        self._mapper.connect(path, **options)
        return self._mapper.matchlist[-1]

    def match(self, path: str, environ: WSGIEnvironment) -> tuple[Route, Mapping[str, str]]:
        """The route of a request, and the arguments of its controller method besides the request.

        :param path: the path below ``/v2``; ``environ`` gives the method.
        :raises errors.NotFound: the path is not in the table.
        :raises exc.HTTPMethodNotAllowed: the path has no such method; with the Allow header.
        :raises exc.HTTPNotImplemented: both are unknown.
        """
        found = self._mapper.routematch(path, environ)
        if not found:
            raise _unknown_path(environ["REQUEST_METHOD"])
        variables, matched = found
        route = self._declared.get(matched)
        if route is None:
            raise _not_allowed(environ["REQUEST_METHOD"], self._allowed[matched])
        return route, variables


def _unknown_path(method: str) -> Exception:
    if method not in METHODS:
        return exc.HTTPNotImplemented(explanation=f"The method {method} is not known here.")
    return errors.NotFound("The resource could not be found.")


def _not_allowed(method: str, allowed: Sequence[str]) -> Exception:
    if not allowed:
        return errors.NotFound("The resource could not be found.")
    return exc.HTTPMethodNotAllowed(
        explanation=f"The method {method} is not allowed for this resource.",
        headers={"Allow": ", ".join(allowed)},
    )
