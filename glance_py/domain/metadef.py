"""Metadata definitions as plain data: namespaces and what lies in them.

A namespace holds four kinds of named things: properties, objects (properties
that belong together), tags, and associations with the types of resources that
it applies to.  They differ in what they say, not in how they are asked for, so
a kind is simply its class.  JSON schemas are carried, never interpreted.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from glance_py.domain.integers import MAX_INT64

VISIBILITIES = ("public", "private")


@dataclasses.dataclass(slots=True)
class Definition:
    """A named thing of a namespace; the name is unique there among its kind.  Times are naive UTC.

    ``created_at`` is None as long as it is not recorded.
    """

    noun: ClassVar[str] = "definition"

    name: str
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


@dataclasses.dataclass(slots=True)
class Property(Definition):
    """What values a property of a resource may have, as a JSON schema."""

    noun: ClassVar[str] = "property"

    schema: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class Object(Definition):
    """Properties that belong together: schemas by name, and the names that must be there."""

    noun: ClassVar[str] = "object"

    description: str | None = None
    required: list[str] | None = None
    properties: dict[str, dict[str, Any]] | None = None


@dataclasses.dataclass(slots=True)
class Tag(Definition):
    """A word for resources."""

    noun: ClassVar[str] = "tag"


@dataclasses.dataclass(slots=True)
class ResourceType(Definition):
    """A type of resource that some namespace applies, or once applied, to."""

    noun: ClassVar[str] = "resource type"


@dataclasses.dataclass(slots=True)
class Association(Definition):
    """The namespace applies to the resource type ``name``.

    ``prefix`` stands before the names of properties on such a resource, and
    ``properties_target`` says where on it they belong.
    """

    noun: ClassVar[str] = "resource type association"

    prefix: str | None = None
    properties_target: str | None = None


Kind = type[Definition]
DefinitionT = TypeVar("DefinitionT", bound=Definition)

#: Everything that a namespace holds, in the order in which it is made.
KINDS: tuple[Kind, ...] = (Association, Object, Tag, Property)


@dataclasses.dataclass(slots=True)
class Namespace:
    """One namespace.

    contents
        What lies in it, by kind, as far as it was asked for or given.
    id
        The row of a namespace that was read from the database.
    owner
        A project; None only in a request that names none.
    """

    name: str
    owner: str | None
    display_name: str | None = None
    description: str | None = None
    visibility: str = "private"
    protected: bool = False
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    id: int | None = None
    contents: dict[Kind, list[Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """Which part of a list, in which order; ties are broken by age.

    ``marker`` is the name of the last thing before the part; ``limit`` None is all.
    """

    sort_key: str = "created_at"
    sort_dir: str = "desc"
    marker: str | None = None
    limit: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceQuery:
    """A page of namespaces: of one visibility, and applying to one of some resource types."""

    listing: Listing = Listing()
    visibility: str | None = None
    resource_types: tuple[str, ...] | None = None


@dataclasses.dataclass(slots=True)
class NamespacePage:
    """A page of namespaces with their associations.

    ``full``: as many rows were read as were asked for, so that another page may
    follow; layers may have taken namespaces out since.
    """

    namespaces: list[Namespace]
    full: bool = False


def plain_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a property as clients get it, whatever was recorded.

    wire: ``default`` is text, or null when it was an array or an object;
    ``minimum`` and ``maximum`` are whole numbers.
    """
    plain = dict(schema)
    if not isinstance(plain.get("default", ""), str):
        default = plain["default"]
        plain["default"] = None if isinstance(default, list | dict | None) else str(default)
    for key in ("minimum", "maximum"):
        # Larger ones stay as they are: no JSON parser reads them as whole numbers.
        if isinstance(plain.get(key), float) and abs(plain[key]) <= MAX_INT64:
            plain[key] = int(plain[key])
    return plain
