"""Requests to domain objects: what a client sent is checked here and nowhere else.

Judges form only: types, bounds, and names that no client may write.  Who may
own what, how much fits and what the operator allows is decided by the layers.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import orjson

from glance_py.domain import errors, property_names
from glance_py.domain.caller import Caller
from glance_py.domain.image import RESERVED_PREFIX, Image
from glance_py.wire.field import Resource, string
from glance_py.wire.image import MAX_INTEGER, RESERVED_NAMES
from glance_py.wire.json_schema import SchemaCheck, compile_schema

#: wire: a new image may name these; what it says of them is ignored.
_IGNORED = frozenset({"os_hash_algo", "os_hash_value"})

_NAME_LENGTH = 255

#: Characters outside the Basic Multilingual Plane, which old MySQL tables cannot hold, and
#: NUL, which PostgreSQL cannot.
_UNSTORABLE = re.compile("[\x00\U00010000-\U0010ffff]")

#: How many arrays and objects may lie in each other in a request.  No document of the API needs
#: a dozen, and the serialiser ends at 254.
MAX_DEPTH = 100

_check_tag = compile_schema(string(255))


def parse_json(body: bytes) -> Any:
    """The JSON of a request body (RFC 8259).

    :raises errors.Invalid: empty, not UTF-8, not JSON, or nested deeper than MAX_DEPTH.
    """
    if not body:
        raise errors.Invalid("Body expected in request.")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.Invalid("Malformed JSON in request body.") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(document)
    return document


def _check_depth(document: object) -> None:
    """:raises errors.Invalid: nested deeper than MAX_DEPTH."""
    level: list[Any] = [document] if isinstance(document, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise errors.Invalid(f"The JSON of a request cannot be nested deeper than {MAX_DEPTH} levels.")


def parse_object(body: bytes) -> dict[str, Any]:
    """A request body that must be a JSON object.

    :raises errors.Invalid: it is not.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise errors.Invalid("The request body must be a JSON object.")
    return document


def check_storable(name: str, value: str) -> None:
    """Refuse characters that not every database can hold.

    :raises errors.Invalid: ``value`` has one; ``name`` says where it stood.
    """
    if _UNSTORABLE.search(value):
        raise errors.Invalid(f"{name} cannot contain 4 byte unicode characters or NUL.")


class ImageLoader:
    """Checks and reads images; compiled once per process from the declaration."""

    def __init__(self, resource: Resource) -> None:
        self._checks: dict[str, SchemaCheck] = {
            field.name: compile_schema(field.schema) for field in resource
        }
        self._custom_check: SchemaCheck = compile_schema(
            resource.additional if isinstance(resource.additional, dict) else {}
        )
        self.required = tuple(resource.required)
        self.read_only = frozenset(field.name for field in resource if field.read_only)
        self.base = frozenset(field.name for field in resource if field.is_base)
        self.writable = self.base - self.read_only

    def image(self, ctx: Caller, body: bytes) -> Image:
        """The new image that a request body describes, owned by the caller by default.

        :raises errors.Invalid: a value of the wrong type or out of bounds.
        :raises errors.Forbidden: a name that no client may write.
        """
        document = parse_object(body)
        self._check_document(document)
        tags = document.pop("tags", ())
        fields = {name: document.pop(name) for name in self.writable & document.keys()}
        for name in _IGNORED & document.keys():
            del document[name]
        values = {name: self.to_domain(name, value) for name, value in fields.items()}
        values.setdefault("id", str(uuid.uuid4()))
        values.setdefault("owner", ctx.project_id)
        return Image(
            **values,
            tags=self.to_domain("tags", tags),
            properties={name: self.to_domain(name, value) for name, value in document.items()},
        )

    def _check_document(self, document: dict[str, Any]) -> None:
        """wire: types come first, then read-only names, then reserved ones."""
        for name, value in document.items():
            self.check(name, value)
        for name in self.required:
            if name not in document:
                raise errors.Invalid(f"The image lacks '{name}', which is required.")
        for name in document:
            if name in self.read_only and name not in _IGNORED:
                raise errors.ReadOnlyAttribute(name)
        for name in document:
            if name == "locations" or is_reserved(name):
                raise errors.ReservedAttribute(name)
            if len(name) > _NAME_LENGTH:
                raise errors.Invalid(
                    f"The name of a property cannot be longer than {_NAME_LENGTH} characters."
                )

    def check(self, name: str, value: object) -> None:
        """Judge one value by the schema of its field.

        :raises errors.Invalid: it does not fit.
        """
        problem = self._checks.get(name, self._custom_check)(value)
        if problem is not None:
            raise errors.Invalid(f"The value of '{name}' {problem}.")

    def to_domain(self, name: str, value: Any) -> Any:
        """A checked value as the domain holds it.

        :raises errors.Invalid: out of the bounds of the database.
        """
        convert = _CONVERTERS.get(name)
        if convert is not None:
            return convert(name, value)
        if name not in self.base:
            check_storable("The name of a property", name)
            if not isinstance(value, str | None):
                value = orjson.dumps(value).decode()
        if isinstance(value, str):
            check_storable(name, value)
        return value


def is_reserved(name: str) -> bool:
    """Is this a name that no client may write, in any request?"""
    if name.isascii() and name.isprintable():
        # What nearly all names are; each property of each request passes here.
        return name in RESERVED_NAMES or name.lower().startswith(RESERVED_PREFIX)
    return property_names.is_reserved(name)


def _bounded(name: str, value: float) -> int:
    if not 0 <= value <= MAX_INTEGER:
        raise errors.Invalid(f"'{name}' must lie between 0 and {MAX_INTEGER}.")
    return int(value)


def _tags(name: str, value: list[str]) -> list[str]:
    """wire: repeated tags count towards the quota, so they are left for the DAL to drop."""
    for tag in value:
        check_storable("A tag", tag)
    return list(value)


_CONVERTERS: dict[str, Callable[[str, Any], Any]] = {
    "min_ram": _bounded,
    "min_disk": _bounded,
    "tags": _tags,
}


def load_tag(tag: str) -> str:
    """A tag that was given in the path of a request.

    wire: characters of 4 bytes are left to the database here; a list of tags may not have them.

    :raises errors.Invalid: too long, or with a NUL, which not every database can hold.
    """
    problem = _check_tag(tag)
    if problem is not None:
        raise errors.Invalid(f"The tag {problem}.")
    if "\x00" in tag:
        raise errors.Invalid("A tag cannot contain NUL.")
    return tag


def load_member(body: bytes) -> str | float:
    """The project id in the request that shares an image; :func:`stored_member` keeps it.

    wire: a number is taken for its text, and the database says how long a text may be.

    :raises errors.Invalid: none, empty, or neither text nor number.
    """
    project = parse_object(body).get("member")
    if not project:
        raise errors.Invalid("The project to share the image with is not given.")
    if not isinstance(project, str | int | float):
        raise errors.Invalid("A project id must be a string.")
    check_storable("A project id", str(project))
    return project


def project_id_text(project: str | float) -> str:
    """The text of a project id."""
    return str(int(project) if isinstance(project, bool) else project)


def load_member_status(body: bytes) -> Any:
    """The status in the request that answers a share, whatever it is.

    :raises errors.Invalid: none.
    """
    status = parse_object(body).get("status")
    if status is None:
        raise errors.Invalid("The status is not given.")
    return status
