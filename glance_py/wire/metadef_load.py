"""Loaders: JSON of requests about metadata definitions to objects of the domain.

They check the form alone.  The checks are compiled when they are first used, because most
processes never write a definition, and importing the library for JSON schemas takes long.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.integers import MAX_INT64
from glance_py.domain.json_types import CheckedObject, CheckedValue, JsonDocument
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

#: Keys that no client may write, whether the resource has them or not.
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


def _schema(resource: Resource) -> JsonDocument:
    """The JSON Schema of what a client may write of a resource."""
    schema: JsonDocument = {
        "type": "object",
        "properties": {f.name: f.document() for f in resource if not f.read_only},
        "required": list(resource.required),
        "additionalProperties": False,
    }
    if resource.definitions:
        schema["definitions"] = dict(resource.definitions)
    return schema


@functools.cache
def _resource_check(name: str) -> SchemaCheck:
    return compile_schema(_schema(_RESOURCES[name]))


@functools.cache
def _property_check() -> SchemaCheck:
    """Checks a property in an object whose key is its name."""
    return compile_schema(_schema(metadef.PROPERTY_BY_NAME))


def _read_only(resource: Resource) -> frozenset[str]:
    return _TIME_NAMES | {field.name for field in resource if field.read_only}


def _load_document(body: bytes, resource: Resource) -> CheckedObject:
    """A request body that is valid for ``resource``.

    wire: keys that only the service writes are refused before anything else.
    """
    document = parse_object(body)
    for name in sorted(_read_only(resource) & document.keys()):
        raise errors.ReadOnlyAttribute(name)
    _raise_if_invalid(_resource_check(resource.name)(document), f"The {resource.name}")
    return document


def _raise_if_invalid(problem: str | None, what: str) -> None:
    if problem is not None:
        raise errors.Invalid(f"{what} {problem}.")


# --- The contents of a namespace -------------------------------------------------------------


def load_object(body: bytes) -> Object:
    """Load an object.

    :raises errors.Invalid: it is not valid.
    :raises errors.ReadOnlyAttribute: it has a key that only the service writes.
    """
    return _object(_load_document(body, metadef.OBJECT))


def load_property(body: bytes) -> Property:
    """Load a property; errors as of :func:`load_object`."""
    document = _load_document(body, metadef.PROPERTY)
    return _property(document["name"], dict(document))


def load_tag(body: bytes) -> Tag:
    """Load a tag; errors as of :func:`load_object`."""
    return _tag(_load_document(body, metadef.TAG))


def load_tag_name(name: str) -> Tag:
    """Load a tag of which the path of a request has the name.

    :raises errors.Invalid: the name is too long, or some database cannot hold it.
    """
    return _tag({"name": _name("tag", name)})


def load_tags(body: bytes) -> list[Tag]:
    """Load a list of tags.

    :raises errors.Invalid: the body is not ``{"tags": [{"name": ...}]}``.
    """
    document = parse_object(body)
    _raise_if_invalid(_check_tags(document), "The document")
    return [_tag(each) for each in document["tags"]]


def load_append(header: str | None) -> bool:
    """True when the header X-Openstack-Append asks to keep the tags of the namespace."""
    return header is not None and header.strip().lower() in _TRUE_STRINGS


def load_association(body: bytes) -> Association:
    """Load an association; errors as of :func:`load_object`."""
    return _association(_load_document(body, metadef.RESOURCE_TYPE))


def _name(noun: str, name: str) -> str:
    if len(name) > metadef.MAX_NAME_LENGTH:
        raise errors.Invalid(
            f"The name of a {noun} cannot be longer than {metadef.MAX_NAME_LENGTH} characters."
        )
    check_storable(f"The name of a {noun}", name)
    return name


def _text(document: CheckedObject, key: str) -> str | None:
    value: str | None = document.get(key)
    if value is not None:
        check_storable(key, value)
    return value


def _object(document: CheckedObject) -> Object:
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


def _property(name: str, schema: dict[str, CheckedValue]) -> Property:
    # wire: a property of a namespace may have the key "confidential", which a schema has not.
    described = {key: value for key, value in schema.items() if key != "confidential"}
    _require_schema(name, described)
    if not isinstance(schema.get("confidential", False), bool):
        raise errors.Invalid(f"The property {name} is confidential (true) or not (false).")
    return Property(_name("property", name), schema=schema)


def _require_schema(name: str, schema: CheckedObject) -> None:
    _raise_if_invalid(_property_check()(schema), f"The property {name}")
    _require_readable(name, schema)
    for key in ("minimum", "maximum"):
        if abs(schema.get(key, 0)) > MAX_INT64:
            raise errors.Invalid(f"The {key} of the property {name} does not fit into 64 bits.")


def _require_readable(name: str, schema: CheckedObject) -> None:
    """Refuse schemas that other services on the same database cannot read.

    :raises errors.Invalid: a choice is no text, the items have no type, or names are required.
    """
    items = schema.get("items", {"type": "string"})
    for each in (schema, items):
        if not all(isinstance(choice, str | None) for choice in each.get("enum", ())):
            raise errors.Invalid(f"The property {name} has an enum with something else than texts.")
    if "type" not in items or items.keys() - {"type", "enum"}:
        raise errors.Invalid(f"The items of the property {name} take a type and an enum.")
    if "required" in schema:
        raise errors.Invalid(f"The property {name} cannot say what is required.")


def _tag(document: CheckedObject) -> Tag:
    return Tag(_name("tag", document["name"]))


def _association(document: CheckedObject) -> Association:
    return Association(
        _name("resource type", document["name"]),
        None,
        None,
        _text(document, "prefix"),
        _text(document, "properties_target"),
    )


# --- Namespaces ------------------------------------------------------------------------------


def load_namespace(ctx: Caller, body: bytes) -> Namespace:
    """Load a namespace with its contents; by default the caller owns it.

    :raises errors.Invalid: it is not valid.
    :raises errors.ReadOnlyAttribute: it has a key that only the service writes.
    """
    document = _load_document(body, metadef.NAMESPACE)
    return _namespace(document, document.get("owner", ctx.project_id))


def load_namespace_document(document: CheckedValue, owner: str) -> Namespace:
    """Load a namespace of a file, with its contents.

    :param document: the decoded JSON of the file.
    :param owner: the owner when the file names none.
    :raises errors.Invalid: it is not valid; the message names the key.
    """
    _raise_if_invalid(_resource_check(metadef.NAMESPACE.name)(document), "The namespace")
    return _namespace(document, document.get("owner") or owner)


def _namespace(document: CheckedObject, owner: str | None) -> Namespace:
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


def _list_loader(
    resource: Resource, load: Callable[[CheckedObject], Definition]
) -> Callable[[list[CheckedObject]], list[Definition]]:
    """A function that loads a list of definitions inside a namespace.

    wire: keys that only the service writes are ignored here, so that a client can send a
    response of the service as a request.
    """
    ignored = _read_only(resource)

    def load_all(documents: list[CheckedObject]) -> list[Definition]:
        found = []
        for number, document in enumerate(documents):
            writable = {key: value for key, value in document.items() if key not in ignored}
            name = writable.get("name", f"number {number}")
            _raise_if_invalid(
                _resource_check(resource.name)(writable), f"The {resource.name} {name}"
            )
            found.append(load(writable))
        return found

    return load_all


def _properties(table: Mapping[str, dict[str, CheckedValue]]) -> list[Definition]:
    return [_property(name, schema) for name, schema in table.items()]


#: The key of each kind of contents in a namespace, and the function that loads them.
_CONTENT_LOADERS: Mapping[Kind, tuple[str, Callable[[CheckedValue], list[Definition]]]] = {
    Association: ("resource_type_associations", _list_loader(metadef.RESOURCE_TYPE, _association)),
    Object: ("objects", _list_loader(metadef.OBJECT, _object)),
    Tag: ("tags", _list_loader(metadef.TAG, _tag)),
    Property: ("properties", _properties),
}
