"""Serialisers of metadata definitions.

wire: a document leaves out attributes that are None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from glance_py.domain.json_types import JsonDocument
from glance_py.domain.metadef import (
    Association,
    Definition,
    Kind,
    Namespace,
    Object,
    Property,
    ResourceType,
    Tag,
    plain_schema,
)
from glance_py.wire import metadef, paths
from glance_py.wire.dump import compile_attributes, dumps

_namespace_attributes = compile_attributes(metadef.NAMESPACE)
_attributes: dict[Kind, Callable[[object], Iterable[tuple[str, object]]]] = {
    Object: compile_attributes(metadef.OBJECT),
    Tag: compile_attributes(metadef.TAG),
    Association: compile_attributes(metadef.RESOURCE_TYPE),
}


def _without_none(attributes: Iterable[tuple[str, object]]) -> JsonDocument:
    return {name: value for name, value in attributes if value is not None}


# --- Documents -------------------------------------------------------------------------------


def property_document(found: Property) -> JsonDocument:
    """A property that belongs to no object."""
    return {**plain_schema(found.schema), "name": found.name}


def object_document(namespace: str, found: Object, prefix: str = "") -> JsonDocument:
    """An object.

    :param prefix: is put before the names of its properties.
    """
    document = _without_none(_attributes[Object](found))
    if found.properties is not None:
        document["properties"] = {
            prefix + name: plain_schema(schema) for name, schema in found.properties.items()
        }
    if prefix and found.required:
        document["required"] = [prefix + name for name in found.required]
    if found.created_at is not None:
        document["self"] = f"{paths.NAMESPACES}/{namespace}/objects/{found.name}"
        document["schema"] = f"{paths.METADEF_SCHEMAS}/object"
    return document


def definition_document(found: Definition) -> JsonDocument:
    """A tag or an association."""
    return _without_none(_attributes[type(found)](found))


def namespace_document(namespace: Namespace, resource_type: str = "") -> JsonDocument:
    """A namespace with those of its contents that were read.

    :param resource_type: the prefix of the association with this type is put before the names
        of properties; empty for none.
    """
    prefix = ""
    for association in namespace.contents.get(Association, ()):
        if association.name == resource_type:
            prefix = association.prefix or ""
    document = _without_none(_namespace_attributes(namespace))
    for kind, found in namespace.contents.items():
        if kind is Association:
            document["resource_type_associations"] = [definition_document(a) for a in found]
        elif kind is Object:
            document["objects"] = [object_document(namespace.name, o, prefix) for o in found]
        elif kind is Property:
            # wire: the schema has the name only when it was recorded with it.
            document["properties"] = {prefix + p.name: plain_schema(p.schema) for p in found}
        else:
            document["tags"] = _tag_names(found)
    document["self"] = f"{paths.NAMESPACES}/{namespace.name}"
    document["schema"] = f"{paths.METADEF_SCHEMAS}/namespace"
    return document


def _tag_names(tags: Iterable[Tag]) -> list[dict[str, str]]:
    return [{"name": tag.name} for tag in tags]


def file_document(namespace: Namespace) -> JsonDocument:
    """A namespace as a file of ``glance-manage db load_metadefs``, with unchanged schemas."""
    document: JsonDocument = {
        name: value
        for name, value in _without_none(_namespace_attributes(namespace)).items()
        if name not in ("created_at", "updated_at")
    }
    contents = namespace.contents
    if Association in contents:
        document["resource_type_associations"] = [
            _without_none(
                (("name", a.name), ("prefix", a.prefix), ("properties_target", a.properties_target))
            )
            for a in contents[Association]
        ]
    if Property in contents:
        document["properties"] = {p.name: p.schema for p in contents[Property]}
    if Object in contents:
        document["objects"] = [
            _without_none(
                (
                    ("name", o.name),
                    ("description", o.description),
                    ("required", o.required or None),
                    ("properties", o.properties),
                )
            )
            for o in contents[Object]
        ]
    if Tag in contents:
        document["tags"] = _tag_names(reversed(contents[Tag]))
    return document


# --- Bodies ----------------------------------------------------------------------------------


def dump_namespace(namespace: Namespace, resource_type: str = "") -> bytes:
    """The body that shows one namespace; see :func:`namespace_document`."""
    return dumps(namespace_document(namespace, resource_type))


def dump_namespaces(namespaces: Iterable[Namespace], first: str, next_page: str | None) -> bytes:
    """The body of a list of namespaces.

    :param first: the path of the first page.
    :param next_page: the path of the next page, None on the last one.
    """
    body: JsonDocument = {
        "namespaces": [namespace_document(each) for each in namespaces],
        "first": first,
        "schema": f"{paths.METADEF_SCHEMAS}/namespaces",
    }
    if next_page is not None:
        body["next"] = next_page
    return dumps(body)


def dump_object(namespace: Namespace, found: Object) -> bytes:
    """The body that shows one object."""
    return dumps(object_document(namespace.name, found))


def dump_objects(namespace: Namespace, objects: Iterable[Object]) -> bytes:
    """The body that lists objects.

    wire: the path of its schema lacks the first slash.
    """
    return dumps(
        {
            "objects": [object_document(namespace.name, each) for each in objects],
            "schema": f"{paths.METADEF_SCHEMAS}/objects".removeprefix("/"),
        }
    )


def dump_property(found: Property) -> bytes:
    """The body that shows one property."""
    return dumps(property_document(found))


def dump_properties(properties: Iterable[Property]) -> bytes:
    """The body that lists properties, by name."""
    return dumps({"properties": {each.name: plain_schema(each.schema) for each in properties}})


def dump_tags(tags: Iterable[Tag]) -> bytes:
    """The body that lists tags."""
    return dumps({"tags": _tag_names(tags)})


def dump_definition(found: Definition) -> bytes:
    """The body that shows one tag or one association."""
    return dumps(definition_document(found))


def dump_associations(associations: Iterable[Association]) -> bytes:
    """The body that lists the resource types of a namespace."""
    return dumps(
        {"resource_type_associations": [definition_document(each) for each in associations]}
    )


def dump_resource_types(types: Iterable[ResourceType]) -> bytes:
    """The body that lists all resource types."""
    return dumps(
        {
            "resource_types": [
                _without_none(
                    (
                        ("name", each.name),
                        ("created_at", each.created_at),
                        ("updated_at", each.updated_at),
                    )
                )
                for each in types
            ]
        }
    )
