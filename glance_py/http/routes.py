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
class Row:
    """``action`` is controller.method; names in braces in ``path`` are its arguments.

    wire: a row that is not ``listed`` answers like any other, but Allow does not
    name it, and a path whose rows are all unlisted is not found by other methods.
    """

    method: str
    path: str
    action: str
    body: str = NO_BODY
    listed: bool = True


def _contents(noun: str, create: str = "create") -> tuple[Row, ...]:
    """What can be asked of the objects, properties or tags of a metadata namespace."""
    everything, one = f"/metadefs/namespaces/{{namespace}}/{noun}", "/{name}"
    return (
        Row("GET", everything, f"metadef_{noun}.index"),
        Row("POST", everything, f"metadef_{noun}.{create}", JSON),
        Row("DELETE", everything, f"metadef_{noun}.clear"),
        Row("GET", everything + one, f"metadef_{noun}.show"),
        Row("PUT", everything + one, f"metadef_{noun}.update", JSON),
        Row("DELETE", everything + one, f"metadef_{noun}.delete"),
    )


ROWS: tuple[Row, ...] = (
    Row("GET", "/images", "images.index", IGNORED),
    Row("POST", "/images", "images.create", JSON),
    Row("GET", "/images/{image_id}", "images.show"),
    Row("PATCH", "/images/{image_id}", "images.update", JSON),
    Row("DELETE", "/images/{image_id}", "images.delete"),
    Row("GET", "/images/{image_id}/file", "image_data.download"),
    Row("PUT", "/images/{image_id}/file", "image_data.upload", BYTES),
    Row("PUT", "/images/{image_id}/stage", "image_data.stage", BYTES),
    Row("POST", "/images/{image_id}/import", "imports.create", JSON),
    Row("GET", "/images/{image_id}/tasks", "imports.tasks", listed=False),
    Row("POST", "/images/{image_id}/actions/deactivate", "actions.deactivate"),
    Row("POST", "/images/{image_id}/actions/reactivate", "actions.reactivate"),
    Row("GET", "/images/{image_id}/locations", "locations.index", listed=False),
    Row("POST", "/images/{image_id}/locations", "locations.create", JSON),
    Row("DELETE", "/stores/{store_id}/{image_id}", "stores.delete"),
    Row("PUT", "/images/{image_id}/tags/{tag}", "tags.update"),
    Row("DELETE", "/images/{image_id}/tags/{tag}", "tags.delete"),
    Row("GET", "/images/{image_id}/members", "members.index"),
    Row("POST", "/images/{image_id}/members", "members.create", JSON),
    Row("GET", "/images/{image_id}/members/{member_id}", "members.show"),
    Row("PUT", "/images/{image_id}/members/{member_id}", "members.update", JSON),
    Row("DELETE", "/images/{image_id}/members/{member_id}", "members.delete"),
    Row("GET", "/info/import", "info.import_methods"),
    Row("GET", "/ext/info/import", "imports.abilities"),
    Row("GET", "/info/stores", "info.stores"),
    Row("GET", "/info/stores/detail", "info.stores_detail"),
    Row("GET", "/info/usage", "info.usage", listed=False),
    Row("GET", "/tasks", "tasks.index"),
    Row("POST", "/tasks", "tasks.create", JSON),
    Row("GET", "/tasks/{task_id}", "tasks.show"),
    Row("DELETE", "/tasks/{task_id}", "tasks.delete"),
    Row("GET", "/cache", "cache.index"),
    Row("DELETE", "/cache", "cache.clear"),
    Row("POST", "/cache/clean", "cache.clean"),
    Row("POST", "/cache/prune", "cache.prune"),
    Row("GET", "/cache/nodes/{image_id}", "cache.nodes"),
    Row("PUT", "/cache/{image_id}", "cache.queue"),
    Row("DELETE", "/cache/{image_id}", "cache.delete"),
    Row("GET", "/metadefs/resource_types", "metadef_resource_types.known"),
    Row("GET", "/metadefs/namespaces", "metadef_namespaces.index", IGNORED),
    Row("POST", "/metadefs/namespaces", "metadef_namespaces.create", JSON),
    Row("GET", "/metadefs/namespaces/{namespace}", "metadef_namespaces.show"),
    Row("PUT", "/metadefs/namespaces/{namespace}", "metadef_namespaces.update", JSON),
    Row("DELETE", "/metadefs/namespaces/{namespace}", "metadef_namespaces.delete"),
    *_contents("objects"),
    *_contents("properties"),
    *_contents("tags", create="create_all"),
    Row("POST", "/metadefs/namespaces/{namespace}/tags/{name}", "metadef_tags.create"),
    Row("GET", "/metadefs/namespaces/{namespace}/resource_types", "metadef_resource_types.index"),
    Row(
        "POST",
        "/metadefs/namespaces/{namespace}/resource_types",
        "metadef_resource_types.create",
        JSON,
    ),
    Row(
        "DELETE",
        "/metadefs/namespaces/{namespace}/resource_types/{name}",
        "metadef_resource_types.delete",
    ),
    *(Row("GET", f"/schemas/{name}", "schemas.show") for name in schema.NAMES),
)


class Table:
    """The rows, ready to be matched; built once per process and read by all threads.

    Routes finds the path, one pattern per path whatever its methods, so that
    a wrong method is told from a wrong path by the same look-up.
    """

    def __init__(self, rows: Sequence[Row] = ROWS) -> None:
        self._methods: dict[str, dict[str, Row]] = {}
        for row in rows:
            self._methods.setdefault(row.path, {})[row.method] = row
        self._mapper = routes.Mapper()
        for path in self._methods:
            self._mapper.connect(path)
        self._mapper.create_regs()

    def match(self, path: str) -> tuple[Mapping[str, str], Mapping[str, Row]] | None:
        """Variables of ``path`` and its row for each method; None for an unknown path."""
        found = self._mapper.routematch(path)
        if not found:
            return None
        variables, route = found
        return variables, self._methods[route.routepath]
