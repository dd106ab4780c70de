"""Every route of the Image API in one table.

A row says method, path, who answers and what body may come.  404, 405 with
Allow, and 501 fall out of the table; the OpenAPI document is made from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import routes

from glance_py.wire import schema

#: What body a request has: none (one is refused), JSON, bytes, or ignored.
NO_BODY, JSON, BYTES, IGNORED = "none", "json", "bytes", "ignored"

#: Methods that are known; another one is only looked at where a path is known.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """``action`` is controller.method; names in braces in ``path`` are its arguments.

    wire: a row that is not ``in_allow_header`` answers like any other, but Allow does not
    name it, and a path whose rows are all unlisted is not found by other methods.
    """

    method: str
    path: str
    action: str
    body: str = NO_BODY
    in_allow_header: bool = True


def _definition_routes(noun: str, create: str = "create") -> tuple[Route, ...]:
    """What can be asked of the objects, properties or tags of a metadata namespace."""
    everything, one = f"/metadefs/namespaces/{{namespace}}/{noun}", "/{name}"
    return (
        Route("GET", everything, f"metadef_{noun}.index"),
        Route("POST", everything, f"metadef_{noun}.{create}", JSON),
        Route("DELETE", everything, f"metadef_{noun}.clear"),
        Route("GET", everything + one, f"metadef_{noun}.show"),
        Route("PUT", everything + one, f"metadef_{noun}.update", JSON),
        Route("DELETE", everything + one, f"metadef_{noun}.delete"),
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/images", "images.index", IGNORED),
    Route("POST", "/images", "images.create", JSON),
    Route("GET", "/images/{image_id}", "images.show"),
    Route("PATCH", "/images/{image_id}", "images.update", JSON),
    Route("DELETE", "/images/{image_id}", "images.delete"),
    Route("GET", "/images/{image_id}/file", "image_data.download"),
    Route("PUT", "/images/{image_id}/file", "image_data.upload", BYTES),
    Route("PUT", "/images/{image_id}/stage", "image_data.stage", BYTES),
    Route("POST", "/images/{image_id}/import", "imports.create", JSON),
    Route("GET", "/images/{image_id}/tasks", "imports.tasks", in_allow_header=False),
    Route("POST", "/images/{image_id}/actions/deactivate", "actions.deactivate"),
    Route("POST", "/images/{image_id}/actions/reactivate", "actions.reactivate"),
    Route("GET", "/images/{image_id}/locations", "locations.index", in_allow_header=False),
    Route("POST", "/images/{image_id}/locations", "locations.create", JSON),
    Route("DELETE", "/stores/{store_id}/{image_id}", "stores.delete"),
    Route("PUT", "/images/{image_id}/tags/{tag}", "tags.update"),
    Route("DELETE", "/images/{image_id}/tags/{tag}", "tags.delete"),
    Route("GET", "/images/{image_id}/members", "members.index"),
    Route("POST", "/images/{image_id}/members", "members.create", JSON),
    Route("GET", "/images/{image_id}/members/{member_id}", "members.show"),
    Route("PUT", "/images/{image_id}/members/{member_id}", "members.update", JSON),
    Route("DELETE", "/images/{image_id}/members/{member_id}", "members.delete"),
    Route("GET", "/info/import", "info.import_methods"),
    Route("GET", "/ext/info/import", "imports.abilities"),
    Route("GET", "/info/stores", "info.stores"),
    Route("GET", "/info/stores/detail", "info.stores_detail"),
    Route("GET", "/info/usage", "info.usage", in_allow_header=False),
    Route("GET", "/tasks", "tasks.index"),
    Route("POST", "/tasks", "tasks.create", JSON),
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
    Route("GET", "/metadefs/namespaces", "metadef_namespaces.index", IGNORED),
    Route("POST", "/metadefs/namespaces", "metadef_namespaces.create", JSON),
    Route("GET", "/metadefs/namespaces/{namespace}", "metadef_namespaces.show"),
    Route("PUT", "/metadefs/namespaces/{namespace}", "metadef_namespaces.update", JSON),
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
        JSON,
    ),
    Route(
        "DELETE",
        "/metadefs/namespaces/{namespace}/resource_types/{name}",
        "metadef_resource_types.delete",
    ),
    *(Route("GET", f"/schemas/{name}", "schemas.show") for name in schema.NAMES),
)


class RouteTable:
    """The rows, ready to be matched; built once per process and read by all threads.

    Routes finds the path, one pattern per path whatever its methods, so that
    a wrong method is told from a wrong path by the same look-up.
    """

    def __init__(self, declared: Sequence[Route] = ROUTES) -> None:
        self._methods: dict[str, dict[str, Route]] = {}
        for each in declared:
            self._methods.setdefault(each.path, {})[each.method] = each
        self._mapper = routes.Mapper()
        for path in self._methods:
            self._mapper.connect(path)
        self._mapper.create_regs()

    def match(self, path: str) -> tuple[Mapping[str, str], Mapping[str, Route]] | None:
        """Variables of ``path`` and its row for each method; None for an unknown path."""
        found = self._mapper.routematch(path)
        if not found:
            return None
        variables, route = found
        return variables, self._methods[route.routepath]
