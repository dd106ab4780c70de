"""Metadata definitions as consumers of notifications know them.

Every payload has all of its keys; what is not there, or says nothing, is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glance_py.domain.metadef import (
    Association,
    Definition,
    Namespace,
    Object,
    Property,
    plain_schema,
)
from glance_py.notifications.payloads import deletion_fields, time_text

#: What a payload tells of a property; what else its schema may say is left out.
_SCHEMA_KEYS = (
    "type",
    "title",
    "description",
    "default",
    "minimum",
    "maximum",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "confidential",
    "items",
    "uniqueItems",
    "minItems",
    "maxItems",
    "additionalItems",
)


def namespace_payload(
    namespace: Namespace, old: str | None = None, deleted: bool = False
) -> dict[str, object]:
    """A namespace without its contents.

    :param old: its name before the change.
    """
    return {
        "namespace": namespace.name,
        "namespace_old": namespace.name if old is None else old,
        "display_name": namespace.display_name,
        "protected": namespace.protected,
        "visibility": namespace.visibility,
        "owner": namespace.owner,
        "description": namespace.description,
        "created_at": time_text(namespace.created_at),
        "updated_at": time_text(namespace.updated_at),
        **deletion_fields(deleted),
    }


def definition_payload(
    namespace: Namespace, definition: Definition, old: str | None = None, deleted: bool = False
) -> dict[str, object]:
    """Something that lies in a namespace.

    :param old: its name before the change.
    """
    payload = {
        "namespace": namespace.name,
        "name": definition.name,
        "name_old": definition.name if old is None else old,
        **_definition_fields(definition),
    }
    if not isinstance(definition, Property):
        payload["created_at"] = time_text(definition.created_at or namespace.created_at)
        payload["updated_at"] = time_text(definition.updated_at or namespace.updated_at)
    return {**payload, **deletion_fields(deleted)}


def _definition_fields(definition: Definition) -> dict[str, object]:
    if isinstance(definition, Property):
        return _schema(definition.schema)
    if isinstance(definition, Object):
        return {
            "properties": [
                {"name": name, **_schema(schema)}
                for name, schema in (definition.properties or {}).items()
            ],
            "required": definition.required,
            "description": definition.description,
        }
    if isinstance(definition, Association):
        return {"prefix": definition.prefix, "properties_target": definition.properties_target}
    return {}


def _schema(schema: Mapping[str, Any]) -> dict[str, object]:
    schema_values = plain_schema(schema)
    # wire: zero and false are told as null, too.
    return {key: schema_values.get(key) or None for key in _SCHEMA_KEYS}
