"""The JSON of metadata definitions: namespaces, objects, properties, tags and resource types.

The nested forms share JSON Schema definitions, which each document has at its top.
"""

from __future__ import annotations

from glance_py.domain.json_types import JsonDocument, JsonObject
from glance_py.domain.metadef import VISIBILITIES
from glance_py.wire.field import BOOLEAN, STRING, Field, Resource, choice, string

_TYPE = {
    "type": "string",
    "enum": ["array", "boolean", "integer", "number", "object", "string", None],
}
_COUNT = {"$ref": "#/definitions/positiveInteger"}
_COUNT_FROM_ZERO = {"$ref": "#/definitions/positiveIntegerDefault0"}
_PROPERTIES = {"$ref": "#/definitions/property"}
_STRINGS = {"$ref": "#/definitions/stringArray"}
_DATE = {"type": "string", "format": "date-time"}

#: Characters of a name.
MAX_NAME_LENGTH = 80
_NAME = string(MAX_NAME_LENGTH)

_NUMBERS: JsonObject = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {
        "allOf": [{"$ref": "#/definitions/positiveInteger"}, {"default": 0}],
    },
}
_STRING_ARRAY: JsonObject = {
    "type": "array",
    "items": {"type": "string"},
    "uniqueItems": True,
}

#: The keys of a property, which is a JSON schema of its own.
_PROPERTY_FIELDS = (
    Field("name", _NAME),
    Field("title", STRING),
    Field("type", _TYPE),
    Field("description", STRING),
    Field("operators", {"type": "array", "items": {"type": "string"}}),
    Field("readonly", BOOLEAN),
    Field("required", _STRINGS),
    Field("default", {}),
    Field("enum", {"type": "array"}),
    Field("items", {"type": "object", "properties": {"type": _TYPE, "enum": {"type": "array"}}}),
    Field("minimum", {"type": "number"}),
    Field("maximum", {"type": "number"}),
    Field("minLength", _COUNT_FROM_ZERO),
    Field("maxLength", _COUNT),
    Field("minItems", _COUNT_FROM_ZERO),
    Field("maxItems", _COUNT),
    Field("uniqueItems", {"type": "boolean", "default": False}),
    Field("additionalItems", BOOLEAN),
    Field("pattern", {"type": "string", "format": "regex"}),
)

_PROPERTY_MAP: JsonObject = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {field.name: field.document() for field in _PROPERTY_FIELDS},
        "required": ["title", "type"],
    },
}

_DEFINITIONS = {**_NUMBERS, "property": _PROPERTY_MAP, "stringArray": _STRING_ARRAY}
_PROPERTY_DEFINITIONS = {**_NUMBERS, "stringArray": {**_STRING_ARRAY, "minItems": 1}}

_TIME_FIELDS = (
    Field(
        "created_at",
        _DATE,
        "When it was made, UTC.",
        read_only=True,
        source="created_at",
        sort=True,
    ),
    Field(
        "updated_at",
        _DATE,
        "When it was last changed, UTC.",
        read_only=True,
        source="updated_at",
        sort=True,
    ),
)
_LINK_FIELDS = (
    Field("self", STRING, "Path of this document.", read_only=True),
    Field("schema", STRING, "Path of the schema of this document.", read_only=True),
)


def _list_of(**properties: JsonObject) -> JsonDocument:
    """The schema of a list of objects with these keys."""
    return {"type": "array", "items": {"type": "object", "properties": properties}}


NAMESPACE = Resource(
    "namespace",
    (
        Field("namespace", _NAME, "Name of the namespace; unique.", source="name", sort=True),
        Field("display_name", _NAME, "Name for people.", source="display_name", sort=True),
        Field(
            "description",
            string(500),
            "What the namespace is for.",
            source="description",
            sort=True,
        ),
        Field(
            "visibility",
            choice(VISIBILITIES),
            "Whether other projects see the namespace.",
            source="visibility",
            sort=True,
        ),
        Field(
            "protected",
            BOOLEAN,
            "A protected namespace cannot be deleted.",
            source="protected",
            sort=True,
        ),
        Field("owner", string(255), "Project that owns the namespace.", source="owner", sort=True),
        Field("properties", _PROPERTIES),
        Field(
            "objects",
            _list_of(name=STRING, description=STRING, properties=_PROPERTIES, required=_STRINGS),
        ),
        Field("tags", _list_of(name=STRING)),
        Field(
            "resource_type_associations",
            _list_of(name=STRING, prefix=STRING, properties_target=STRING),
        ),
        *_TIME_FIELDS,
        *_LINK_FIELDS,
    ),
    additional=False,
    required=("namespace",),
    definitions=_DEFINITIONS,
)

OBJECT = Resource(
    "object",
    (
        Field("name", _NAME, "Name of the object; unique in its namespace.", source="name"),
        Field("description", STRING, "What the object describes.", source="description"),
        Field("properties", _PROPERTIES),
        Field("required", _STRINGS, source="required"),
        *_TIME_FIELDS,
        *_LINK_FIELDS,
    ),
    additional=False,
    required=("name",),
    definitions=_DEFINITIONS,
)

PROPERTY = Resource(
    "property",
    _PROPERTY_FIELDS,
    additional=False,
    required=("type", "title", "name"),
    definitions=_PROPERTY_DEFINITIONS,
)

#: A property in an object whose key is its name, so that the name may be missing.
PROPERTY_BY_NAME = Resource(
    "property",
    _PROPERTY_FIELDS,
    additional=False,
    required=("type", "title"),
    definitions=_PROPERTY_DEFINITIONS,
)

TAG = Resource(
    "tag",
    (
        Field("name", _NAME, "The tag; unique in its namespace.", source="name", sort=True),
        *_TIME_FIELDS,
    ),
    additional=False,
    required=("name",),
)

RESOURCE_TYPE = Resource(
    "resource_type_association",
    (
        Field("name", _NAME, "Kind of resource that the namespace applies to.", source="name"),
        Field(
            "prefix",
            _NAME,
            "Put before the names of properties on such a resource.",
            source="prefix",
        ),
        Field(
            "properties_target",
            _NAME,
            "Where on such a resource the properties belong.",
            source="properties_target",
        ),
        *_TIME_FIELDS,
    ),
    additional=False,
    required=("name",),
)

#: The body of a request that creates several tags.
TAGS: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "required": ["tags"],
    "properties": {
        "tags": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name"],
                "properties": {"name": _NAME},
            },
        }
    },
}
