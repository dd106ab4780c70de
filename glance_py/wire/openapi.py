"""An OpenAPI 3.1 document of the API, made from the declared resources and routes.

OpenAPI 3.1 schemas are JSON Schema, so that the documents under /v2/schemas are parts of it as they
are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from glance_py.domain.image import VISIBILITIES
from glance_py.domain.json_types import JsonDocument, JsonObject
from glance_py.wire import media_types, metadef
from glance_py.wire.field import Resource
from glance_py.wire.media_types import BodyKind
from glance_py.wire.member import MEMBER
from glance_py.wire.query import FIXED_PARAMETERS
from glance_py.wire.task import TASK

_VARIABLE = re.compile(r"{(\w+)}")

#: The body of a PATCH; the body of other requests with JSON is their resource.
_PATCH: JsonObject = {
    media_type: {"schema": {"type": "array", "items": {"type": "object"}}}
    for media_type in media_types.PATCH
}

#: The resource in the body of a request, where it is not the name of the controller.
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
    """A route of the API; ``action`` is ``controller.method``."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def action(self) -> str: ...

    @property
    def body(self) -> BodyKind: ...


def openapi(version: str, image: Resource, routes: Iterable[OpenAPIRoute]) -> JsonDocument:
    """The OpenAPI document.

    :param version: of the Image API, such as ``2.18``.
    :param image: the image as the configuration declares it.
    :param routes: all routes of the API.
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
    paths: dict[str, JsonDocument] = {}
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


def _operation(route: OpenAPIRoute, image: Resource) -> JsonDocument:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _VARIABLE.findall(route.path)
    ]
    if route.action == "images.index":
        parameters += _list_parameters(image)
    operation: JsonDocument = {
        "operationId": route.action if route.action != "schemas.show" else f"schemas:{route.path}",
        "parameters": parameters,
        "responses": {"default": {"description": "Success, or an error that explains itself."}},
    }
    content = _content(route)
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _content(route: OpenAPIRoute) -> JsonDocument:
    if route.body is BodyKind.BYTES:
        return {media_types.OCTET_STREAM: {}}
    if route.body is not BodyKind.JSON:
        return {}
    if route.method == "PATCH":
        return dict(_PATCH)
    if route.action == "metadef_tags.create_all":
        return {media_types.JSON: {"schema": metadef.TAGS}}
    name = _RESOURCE_NAMES.get(route.action) or route.action.partition(".")[0].removesuffix("s")
    return {media_types.JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _list_parameters(image: Resource) -> list[JsonDocument]:
    schemas: dict[str, JsonDocument] = {
        name: {"type": "string"} for name in sorted(FIXED_PARAMETERS)
    }
    schemas["limit"] = {"type": "integer", "minimum": 0}
    schemas["visibility"] = {"type": "string", "enum": [*VISIBILITIES, "all"]}
    schemas.update((field.name, {"type": "string"}) for field in image if field.filter)
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]
