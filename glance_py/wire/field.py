"""Declarations of the JSON of a resource: fields, and resources made of them.

The checks of requests, the serialisers, filters, sort keys, schema documents and the OpenAPI
document are derived from these declarations.  This module knows no particular resource and no
HTTP.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from glance_py.domain.json_types import JsonDocument, JsonObject

#: wire: the pattern of an id as the schema documents show it.
_UUID_PATTERN = (
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
)

#: JSON Schemas that several fields share.
STRING: JsonObject = {"type": "string"}
BOOLEAN: JsonObject = {"type": "boolean"}
INTEGER: JsonObject = {"type": "integer"}
UUID: JsonObject = {"type": "string", "pattern": _UUID_PATTERN}


def string(max_length: int) -> JsonDocument:
    """The schema of a string of at most ``max_length`` characters."""
    return {"type": "string", "maxLength": max_length}


def choice(values: Iterable[str]) -> JsonDocument:
    """The schema of a string that is one of ``values``."""
    return {"type": "string", "enum": list(values)}


def nullable(schema: JsonObject) -> JsonDocument:
    """The same schema, which allows null, too."""
    widened = {**schema, "type": ["null", schema["type"]]}
    choices = schema.get("enum")
    if isinstance(choices, list):
        widened["enum"] = [None, *choices]
    return widened


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One key of a resource.

    schema
        JSON Schema of the value, without annotations.
    read_only
        True when only the service sets it.
    source
        The attribute of the domain object that has the value; None when the value is computed
        or not shown.
    filter
        How a list may be filtered by it: "text" (``in:`` and ``eq:`` allowed), "exact",
        "number", "time" or "flag"; None when it may not.
    sort
        True when a list may be sorted by it.
    is_base
        False for custom properties that the operator declared.
    """

    name: str
    schema: JsonObject
    description: str = ""
    read_only: bool = False
    source: str | None = None
    filter: str | None = None
    sort: bool = False
    is_base: bool = True

    def document(self) -> JsonDocument:
        """The field as a schema document contains it."""
        document = dict(self.schema)
        if self.read_only:
            document["readOnly"] = True
        if self.description:
            document["description"] = self.description
        if not self.is_base:
            document["is_base"] = False
        return document


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """A noun of the API: its fields, and the rest of its schema document.

    additional
        ``additionalProperties`` of the document: the schema of keys that are not declared;
        False forbids them, None leaves it out.
    links
        Pairs of ``rel`` and ``href``.
    links, required, definitions
        As in the schema document, which leaves out empty ones.
    """

    name: str
    fields: Sequence[Field]
    additional: JsonObject | bool | None = None
    links: Sequence[tuple[str, str]] = ()
    required: Sequence[str] = ()
    definitions: JsonObject | None = None

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def document(self) -> JsonDocument:
        """The schema document of one item, as Image API v2 serves it."""
        document: JsonDocument = {
            "name": self.name,
            "properties": {field.name: field.document() for field in self.fields},
        }
        if self.additional is not None:
            document["additionalProperties"] = self.additional
        if self.links:
            document["links"] = [{"rel": rel, "href": href} for rel, href in self.links]
        if self.required:
            document["required"] = list(self.required)
        if self.definitions:
            document["definitions"] = dict(self.definitions)
        return document

    def collection(self, name: str, *, paged: bool = True, keyed: bool = False) -> JsonDocument:
        """The schema document of a list of these items.

        :param paged: the list has the links first and next.
        :param keyed: the list is an object with the names of the items as keys, not an array.
        """
        item = self.document()
        definitions = item.pop("definitions", None)
        items: JsonDocument = (
            {"type": "object", "additionalProperties": item}
            if keyed
            else {"type": "array", "items": item}
        )
        rels = ("first", "next") if paged else ()
        document: JsonDocument = {
            "name": name,
            "properties": {
                name: items,
                **{rel: dict(STRING) for rel in rels},
                "schema": dict(STRING),
            },
            "links": [
                *({"rel": rel, "href": f"{{{rel}}}"} for rel in rels),
                {"rel": "describedby", "href": "{schema}"},
            ],
        }
        if definitions:
            document["definitions"] = definitions
        return document
