"""The JSON of an image: every key, its type, whether a client may write it, how lists filter by it.

A new field is declared here, in ``domain/image.py`` and in ``db/tables.py``.  The formats come from
the configuration, and further properties from the operator's ``schema-image.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from glance_py.domain.image import STATUSES, VISIBILITIES
from glance_py.domain.json_types import JsonDocument, JsonObject
from glance_py.settings import FormatSettings
from glance_py.wire.field import (
    BOOLEAN,
    INTEGER,
    STRING,
    UUID,
    Field,
    Resource,
    choice,
    nullable,
    string,
)

#: Image API v2: keys that no client may write, in a new image or a PATCH.
RESERVED_NAMES = frozenset({"location", "deleted", "deleted_at"})

LOCATION_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "url": string(255),
        "metadata": {"type": "object"},
        "validation_data": {
            "type": "object",
            "writeOnly": True,
            "additionalProperties": False,
            "properties": {
                "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                "os_hash_algo": string(64),
                "os_hash_value": string(128),
            },
            "required": ["os_hash_algo", "os_hash_value"],
        },
    },
    "required": ["url", "metadata"],
}


class SchemaConflict(ValueError):
    """``schema-image.json`` cannot be used: the service does not start."""


def _writable_fields(formats: FormatSettings) -> tuple[Field, ...]:
    """The fields that a client may set."""
    return (
        Field(
            "id",
            UUID,
            "Identifier of the image; chosen by the service unless given.",
            source="id",
            filter="text",
            sort=True,
        ),
        Field(
            "name",
            nullable(string(255)),
            "Name for people; need not be unique.",
            source="name",
            filter="text",
            sort=True,
        ),
        Field(
            "visibility",
            choice(VISIBILITIES),
            "Which projects can use the image.",
            source="visibility",
        ),
        Field(
            "protected",
            BOOLEAN,
            "A protected image cannot be deleted.",
            source="protected",
            filter="flag",
        ),
        Field(
            "os_hidden",
            BOOLEAN,
            "A hidden image is left out of lists by default.",
            source="os_hidden",
        ),
        Field(
            "owner",
            nullable(string(255)),
            "Project that owns the image.",
            source="owner",
            filter="exact",
        ),
        Field(
            "container_format",
            nullable(choice(formats.container_formats)),
            "Format of the container around the disk.",
            source="container_format",
            filter="text",
            sort=True,
        ),
        Field(
            "disk_format",
            nullable(choice(formats.disk_formats)),
            "Format of the disk.",
            source="disk_format",
            filter="text",
            sort=True,
        ),
        Field(
            "tags",
            {"type": "array", "items": string(255)},
            "Words to find the image by.",
            source="tags",
        ),
        Field(
            "min_ram",
            INTEGER,
            "Memory a server needs to boot the image, in MB.",
            source="min_ram",
            filter="number",
        ),
        Field(
            "min_disk",
            INTEGER,
            "Disk space a server needs to boot the image, in GB.",
            source="min_disk",
            filter="number",
        ),
        Field(
            "locations",
            {"type": "array", "items": LOCATION_SCHEMA},
            "Addresses of the copies of the data, where the service shows them.",
        ),
    )


def _computed_fields() -> tuple[Field, ...]:
    """The fields that only the service sets."""

    def computed(
        name: str,
        schema: JsonObject,
        description: str,
        *,
        source: str | None = None,
        filter: str | None = None,
        sort: bool = False,
    ) -> Field:
        return Field(name, schema, description, True, source, filter, sort)

    return (
        computed(
            "status",
            choice(STATUSES),
            "State of the image.",
            source="status",
            filter="text",
            sort=True,
        ),
        computed(
            "size",
            nullable(INTEGER),
            "Size of the data in bytes.",
            source="size",
            filter="number",
            sort=True,
        ),
        computed(
            "virtual_size",
            nullable(INTEGER),
            "Size of the disk inside, in bytes.",
            source="virtual_size",
            filter="number",
        ),
        computed(
            "checksum",
            nullable(string(32)),
            "MD5 digest of the data, hexadecimal.",
            source="checksum",
            filter="exact",
        ),
        computed(
            "os_hash_algo",
            nullable(string(64)),
            "Algorithm of os_hash_value.",
            source="os_hash_algo",
            filter="exact",
        ),
        computed(
            "os_hash_value",
            nullable(string(128)),
            "Digest of the data, hexadecimal.",
            source="os_hash_value",
            filter="exact",
        ),
        computed(
            "created_at",
            STRING,
            "When the image was registered, UTC.",
            source="created_at",
            filter="time",
            sort=True,
        ),
        computed(
            "updated_at",
            STRING,
            "When the image was last changed, UTC.",
            source="updated_at",
            filter="time",
            sort=True,
        ),
        computed("direct_url", STRING, "Address of the data in its store, where shown."),
        computed("stores", STRING, "Stores that hold the data, separated by commas."),
        computed("self", STRING, "Path of this image."),
        computed("file", STRING, "Path of the image's data."),
        computed("schema", STRING, "Path of the schema of this document."),
    )


def image_resource(formats: FormatSettings, schema_file: str | None = None) -> Resource:
    """The image as one configuration declares it.

    :param schema_file: the path of the operator's ``schema-image.json``, None without one.
    :raises SchemaConflict: the file is unusable or redefines a field.
    """
    fields = (*_writable_fields(formats), *_computed_fields())
    extra, required = load_custom_properties(schema_file, fields) if schema_file else ((), ())
    return Resource(
        name="image",
        fields=(*fields, *extra),
        additional=dict(STRING),
        links=(("self", "{self}"), ("enclosure", "{file}"), ("describedby", "{schema}")),
        required=required,
    )


def load_custom_properties(
    path: str, base: Sequence[Field]
) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """The custom properties that the operator declares, and the names of the required ones.

    Two forms of the file are in use: ``{name: schema}``, and an object with ``properties`` and
    ``required``.

    :param path: of a file in JSON.
    :param base: the fields of the API.
    :raises SchemaConflict: it is not JSON of that shape, or redefines a base field.
    """
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError) as exc:
        raise SchemaConflict(f"{path} cannot be read as JSON: {exc}") from exc
    properties, required = document, []
    if isinstance(document, dict) and "properties" in document:
        properties, required = document["properties"], document.get("required", [])
    if not isinstance(properties, dict) or not all(
        isinstance(schema, dict) for schema in properties.values()
    ):
        raise SchemaConflict(f"{path} must hold an object of property names and schemas.")
    known = {field.name: field for field in base}
    extra = []
    for name, schema in properties.items():
        if name not in known:
            _check_schema(path, name, schema)
            extra.append(Field(name, schema, is_base=False))
        elif dict(known[name].schema) != _without_annotations(schema):
            raise SchemaConflict(f"{path} gives the image property '{name}' another definition.")
    defined = known.keys() | properties.keys()
    if not isinstance(required, list) or any(
        not isinstance(name, str) or name not in defined for name in required
    ):
        raise SchemaConflict(
            f"{path}: required must be a list of properties that are defined, "
            f"and says {required!r}."
        )
    return tuple(extra), tuple(required)


def _check_schema(path: str, name: str, schema: JsonObject) -> None:
    """:raises SchemaConflict: this is no JSON Schema (draft 4)."""
    import jsonschema

    try:
        jsonschema.Draft4Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise SchemaConflict(
            f"{path}: the schema of the property '{name}' is not valid: {error.message}"
        ) from None


def _without_annotations(schema: JsonObject) -> JsonDocument:
    return {
        key: value
        for key, value in schema.items()
        if key not in ("description", "readOnly", "is_base")
    }
