"""Requests about metadata definitions to domain objects.

Judges form only.  The checks are made at their first use, since most processes
never write a definition and the library for JSON schemas is large.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.metadef import (
    Association,
    Definition,
    Kind,
    Namespace,
    Object,
    Property,
    Tag,
)
from glance_py.wire import metadef
from glance_py.wire.field import Resource
from glance_py.wire.json_schema import SchemaCheck, compile_schema
from glance_py.wire.load import check_storable, parse_object

_NAME_LENGTH = 80

#: Names that nobody may write, declared or not.
_TIME_NAMES = frozenset({"created_at", "updated_at"})

_RESOURCES = {
    each.name: each
    for each in (
        metadef.NAMESPACE,
        metadef.OBJECT,
        metadef.PROPERTY,
        metadef.TAG,
        metadef.RESOURCE_TYPE,
    )
}

_check_tags = compile_schema(metadef.TAGS)

_TRUE_STRINGS = frozenset({"1", "t", "true", "on", "y", "yes"})


def _schema(resource: Resource, required: tuple[str, ...] | None = None) -> dict[str, Any]:
    """JSON schema of what a client may write of a resource."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {f.name: f.document() for f in resource if not f.read_only},
        "required": list(resource.required if required is None else required),
        "additionalProperties": False,
    }
    if resource.definitions:
        schema["definitions"] = dict(resource.definitions)
    return schema


@functools.cache
def _resource_check(name: str) -> SchemaCheck:
    return compile_schema(_schema(_RESOURCES[name]))


@functools.cache
def _check_schema() -> SchemaCheck:
    """Of a property that stands under its name."""
    return compile_schema(_schema(metadef.PROPERTY_BY_NAME))


def _read_only(resource: Resource) -> frozenset[str]:
    return _TIME_NAMES | {field.name for field in resource if field.read_only}


def _load_document(body: bytes, resource: Resource) -> dict[str, Any]:
    """A request body that fits ``resource``.

    wire: names that only the service writes are refused before anything else.
    """
    document = parse_object(body)
    for name in sorted(_read_only(resource) & document.keys()):
        raise errors.ReadOnlyAttribute(name)
    _raise_if_invalid(_resource_check(resource.name)(document), f"The {resource.name}")
    return document


def _raise_if_invalid(problem: str | None, what: str) -> None:
    if problem is not None:
        raise errors.Invalid(f"{what} {problem}.")


# --- What lies in a namespace ----------------------------------------------------------------


def load_object(body: bytes) -> Object:
    """:raises Invalid, ReadOnlyAttribute: it is not an object as Image API v2 has it."""
    return _object(_load_document(body, metadef.OBJECT))


def load_property(body: bytes) -> Property:
    """:raises Invalid, ReadOnlyAttribute: it is not a property as Image API v2 has it."""
    document = _load_document(body, metadef.PROPERTY)
    return _property(document["name"], document)


def load_tag(body: bytes) -> Tag:
    """:raises Invalid, ReadOnlyAttribute: it is not a tag as Image API v2 has it."""
    return _tag(_load_document(body, metadef.TAG))


def load_tag_name(name: str) -> Tag:
    """A tag that was given in the path of a request.

    :raises errors.Invalid: too long.
    """
    return _tag({"name": _name("tag", name)})


def load_tags(body: bytes) -> list[Tag]:
    """:raises errors.Invalid: it is not ``{"tags": [{"name": ...}]}``."""
    document = parse_object(body)
    _raise_if_invalid(_check_tags(document), "The document")
    return [_tag(each) for each in document["tags"]]


def load_append(header: str | None) -> bool:
    """Does the header X-Openstack-Append ask to keep what is there?"""
    return header is not None and header.strip().lower() in _TRUE_STRINGS


def load_association(body: bytes) -> Association:
    """:raises Invalid, ReadOnlyAttribute: it is not an association as Image API v2 has it."""
    return _association(_load_document(body, metadef.RESOURCE_TYPE))


def _name(noun: str, name: str) -> str:
    if len(name) > _NAME_LENGTH:
        raise errors.Invalid(
            f"The name of a {noun} cannot be longer than {_NAME_LENGTH} characters."
        )
    check_storable(f"The name of a {noun}", name)
    return name


def _text(document: Mapping[str, Any], key: str) -> Any:
    value = document.get(key)
    if value is not None:
        check_storable(key, value)
    return value


def _object(document: Mapping[str, Any]) -> Object:
    properties = document.get("properties")
    for name, schema in (properties or {}).items():
        _require_schema(name, schema)
    required = document.get("required")
    for name in required or ():
        check_storable("required", name)
        if not name or "," in name:
            raise errors.Invalid(f"The required property {name!r} must have a name without commas.")
    return Object(
        _name("object", document["name"]),
        None,
        None,
        _text(document, "description"),
        required,
        properties,
    )


def _property(name: str, schema: dict[str, Any]) -> Property:
    # wire: inside a namespace a property may say this, too.
    described = {key: value for key, value in schema.items() if key != "confidential"}
    _require_schema(name, described)
    if not isinstance(schema.get("confidential", False), bool):
        raise errors.Invalid(f"The property {name} is confidential (true) or not (false).")
    return Property(_name("property", name), schema=schema)


def _require_schema(name: str, schema: Mapping[str, Any]) -> None:
    _raise_if_invalid(_check_schema()(schema), f"The property {name}")
    _require_readable(name, schema)
    for key in ("minimum", "maximum"):
        if abs(schema.get(key, 0)) >= 2**63:
            raise errors.Invalid(f"The {key} of the property {name} does not fit into 64 bits.")


def _require_readable(name: str, schema: Mapping[str, Any]) -> None:
    """Refuse what the schema of properties allows, but other services on this database cannot read.

    :raises errors.Invalid: choices that are no texts, items of no type, a list of required names.
    """
    items = schema.get("items", {"type": "string"})
    for each in (schema, items):
        if not all(isinstance(choice, str | None) for choice in each.get("enum", ())):
            raise errors.Invalid(f"The property {name} has an enum with something else than texts.")
    if "type" not in items or items.keys() - {"type", "enum"}:
        raise errors.Invalid(f"The items of the property {name} take a type and an enum.")
    if "required" in schema:
        raise errors.Invalid(f"The property {name} cannot say what is required.")


def _tag(document: Mapping[str, Any]) -> Tag:
    return Tag(_name("tag", document["name"]))


def _association(document: Mapping[str, Any]) -> Association:
    return Association(
        _name("resource type", document["name"]),
        None,
        None,
        _text(document, "prefix"),
        _text(document, "properties_target"),
    )


# --- Namespaces ------------------------------------------------------------------------------


def load_namespace(ctx: Caller, body: bytes) -> Namespace:
    """The namespace that a request describes, with its contents, the caller's by default.

    :raises errors.Invalid, errors.ReadOnlyAttribute: it is not one as Image API v2 has it.
    """
    document = _load_document(body, metadef.NAMESPACE)
    return _namespace(document, document.get("owner", ctx.project_id))


def load_namespace_document(document: Any, owner: str) -> Namespace:
    """The namespace that a file describes, with its contents.

    :param owner: the owner when the file names none.
    :raises errors.Invalid: naming the key that is wrong.
    """
    _raise_if_invalid(_resource_check(metadef.NAMESPACE.name)(document), "The namespace")
    return _namespace(document, document.get("owner") or owner)


def _namespace(document: Mapping[str, Any], owner: str | None) -> Namespace:
    if owner is not None:
        check_storable("owner", owner)
    return Namespace(
        _name("namespace", document["namespace"]),
        owner,
        _text(document, "display_name"),
        _text(document, "description"),
        document.get("visibility", "private"),
        document.get("protected", False),
        contents={
            kind: load(document[key])
            for kind, (key, load) in _CONTENT_LOADERS.items()
            if key in document
        },
    )


def _list_reader(resource: Resource, load: Callable[[Mapping[str, Any]], Definition]):
    """A function that reads a list of nested things.

    What only the service writes is ignored here, so that an answer of the
    service can be sent as a request.
    """
    ignored = _read_only(resource)

    def read(documents: list[dict[str, Any]]) -> list[Definition]:
        found = []
        for number, document in enumerate(documents):
            writable = {key: value for key, value in document.items() if key not in ignored}
            name = writable.get("name", f"number {number}")
            _raise_if_invalid(
                _resource_check(resource.name)(writable), f"The {resource.name} {name}"
            )
            found.append(load(writable))
        return found

    return read


def _properties(table: Mapping[str, dict[str, Any]]) -> list[Definition]:
    return [_property(name, schema) for name, schema in table.items()]


#: Under which key the contents of a namespace stand, and how they are read.
_CONTENT_LOADERS: dict[Kind, tuple[str, Callable[[Any], list[Definition]]]] = {
    Association: ("resource_type_associations", _list_reader(metadef.RESOURCE_TYPE, _association)),
    Object: ("objects", _list_reader(metadef.OBJECT, _object)),
    Tag: ("tags", _list_reader(metadef.TAG, _tag)),
    Property: ("properties", _properties),
}
