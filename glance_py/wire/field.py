"""How the JSON of a resource is declared: fields, and resources made of them.

Everything else in this package is derived from these declarations: request
validation, serialisers, filters, sort keys, schema documents and OpenAPI.  This
module knows no particular resource and no HTTP.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

UUID_PATTERN = (
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
)

#: JSON Schema fragments that several fields share.
STRING: Mapping[str, Any] = {"type": "string"}
BOOLEAN: Mapping[str, Any] = {"type": "boolean"}
INTEGER: Mapping[str, Any] = {"type": "integer"}
UUID: Mapping[str, Any] = {"type": "string", "pattern": UUID_PATTERN}


def string(max_length: int) -> dict[str, Any]:
    """A string of at most ``max_length`` characters."""
    return {"type": "string", "maxLength": max_length}


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema, null allowed."""
    widened = {**schema, "type": ["null", schema["type"]]}
    if "enum" in schema:
        widened["enum"] = [None, *schema["enum"]]
    return widened


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One key of a resource.

    schema
        JSON Schema of the value, without annotations.
    source
        The attribute of the domain object that is shown under this name; None
        when the value is computed or not shown.
    filter
        How a list may be filtered by it: "text" (``in:`` and ``eq:`` allowed),
        "exact", "number", "time" or "flag"; None when it may not.
    sort
        Whether a list may be sorted by it.
    is_base
        False for custom properties that the operator declared.
    """

    name: str
    schema: Mapping[str, Any]
    description: str = ""
    read_only: bool = False
    source: str | None = None
    filter: str | None = None
    sort: bool = False
    is_base: bool = True

    def document(self) -> dict[str, Any]:
        """The field as it stands in a schema document."""
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
    """A noun of the API: its fields and what a schema document says of it.

    additional
        Schema of keys that are not declared; False forbids them, None leaves
        them unmentioned.
    links, required, definitions
        As in the schema document; empty ones are left out.
    """

    name: str
    fields: Sequence[Field]
    additional: Mapping[str, Any] | bool | None = None
    links: Sequence[tuple[str, str]] = ()
    required: Sequence[str] = ()
    definitions: Mapping[str, Any] | None = None

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def document(self) -> dict[str, Any]:
        """The schema document of one item, as Image API v2 serves it."""
        document: dict[str, Any] = {
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

    def collection(self, name: str, *, paged: bool = True, keyed: bool = False) -> dict[str, Any]:
        """The schema document of a list of these items.

        ``paged`` lists have first and next; ``keyed`` ones are objects by name
        instead of arrays.
        """
        item = self.document()
        definitions = item.pop("definitions", None)
        items = (
            {"type": "object", "additionalProperties": item}
            if keyed
            else {"type": "array", "items": item}
        )
        rels = ("first", "next") if paged else ()
        document: dict[str, Any] = {
            "name": name,
            "properties": {
                name: items,
                **{rel: dict(STRING) for rel in rels},
                "schema": dict(STRING),
            },
            "links": [{"rel": rel, "href": f"{{{rel}}}"} for rel in rels]
            + [{"rel": "describedby", "href": "{schema}"}],
        }
        if definitions:
            document["definitions"] = definitions
        return document
