"""An OpenAPI 3.1 document of the API, made from the declared resources and routes.

OpenAPI 3.1 schemas are JSON Schema, so the documents under /v2/schemas are used
as they are; nothing is described twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

from glance_py.domain.image import VISIBILITIES
from glance_py.wire import metadef, patch
from glance_py.wire.field import Resource
from glance_py.wire.member import MEMBER
from glance_py.wire.query import FIXED_PARAMETERS
from glance_py.wire.task import TASK

_VARIABLE = re.compile(r"{(\w+)}")

#: What a PATCH carries; other requests with JSON carry their resource.
_PATCH = {
    media_type: {"schema": {"type": "array", "items": {"type": "object"}}}
    for media_type in patch.MEDIA_TYPES
}

#: What a request carries where the name of the controller does not say it.
_RESOURCE_NAMES = {
    f"metadef_{collection}.{operation}": resource.name
    for collection, resource in (
        ("namespaces", metadef.NAMESPACE),
        ("objects", metadef.OBJECT),
        ("properties", metadef.PROPERTY),
        ("tags", metadef.TAG),
        ("resource_types", metadef.RESOURCE_TYPE),
    )
    for operation in ("create", "update")
}


class OpenAPIRoute(Protocol):
    """A row of the route table."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def action(self) -> str: ...

    @property
    def body(self) -> str: ...


def openapi(version: str, image: Resource, routes: Iterable[OpenAPIRoute]) -> dict[str, Any]:
    """The document.

    :param version: of the Image API, such as ``2.18``.
    :param routes: the route table; ``body`` is none, json, bytes or ignored.
    """
    resources = (
        image,
        MEMBER,
        TASK,
        metadef.NAMESPACE,
        metadef.OBJECT,
        metadef.PROPERTY,
        metadef.TAG,
        metadef.RESOURCE_TYPE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, image)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Image service", "version": version},
        "servers": [{"url": "/v2"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {each.name: each.document() for each in resources},
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
            },
        },
    }


def _operation(route: OpenAPIRoute, image: Resource) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _VARIABLE.findall(route.path)
    ]
    if route.action == "images.index":
        parameters += _list_parameters(image)
    operation: dict[str, Any] = {
        "operationId": route.action if route.action != "schemas.show" else f"schemas:{route.path}",
        "parameters": parameters,
        "responses": {"default": {"description": "Success, or an error that explains itself."}},
    }
    content = _content(route)
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _content(route: OpenAPIRoute) -> dict[str, Any]:
    if route.body == "bytes":
        return {"application/octet-stream": {}}
    if route.body != "json":
        return {}
    if route.method == "PATCH":
        return _PATCH
    if route.action == "metadef_tags.create_all":
        return {"application/json": {"schema": metadef.TAGS}}
    name = _RESOURCE_NAMES.get(route.action) or route.action.partition(".")[0].removesuffix("s")
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _list_parameters(image: Resource) -> list[dict[str, Any]]:
    schemas: dict[str, dict[str, Any]] = {
        name: {"type": "string"} for name in sorted(FIXED_PARAMETERS)
    }
    schemas["limit"] = {"type": "integer", "minimum": 0}
    schemas["visibility"] = {"type": "string", "enum": [*VISIBILITIES, "all"]}
    schemas.update((field.name, {"type": "string"}) for field in image if field.filter)
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]
