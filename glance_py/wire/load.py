"""Loaders: JSON of requests about images and members to objects of the domain.

They check the form alone: types, bounds, and names that no client may write.  The layers check
ownership, quotas and policies.
"""

from __future__ import annotations

import re
import uuid

import orjson

from glance_py.domain import errors, property_names
from glance_py.domain.caller import Caller
from glance_py.domain.image import RESERVED_PREFIX, Image
from glance_py.domain.integers import MAX_INT32
from glance_py.domain.json_types import CheckedObject, CheckedValue
from glance_py.wire.field import INTEGER, Resource, string
from glance_py.wire.image import RESERVED_NAMES
from glance_py.wire.json_schema import SchemaCheck, compile_schema

#: wire: keys that a new image may have; their values are ignored.
_IGNORED = frozenset({"os_hash_algo", "os_hash_value"})

#: Characters of the name of a property, of a tag and of a project id.
_MAX_LENGTH = 255

#: Characters outside the Basic Multilingual Plane, which old MySQL tables cannot hold, and
#: NUL, which PostgreSQL cannot.
_UNSTORABLE = re.compile("[\x00\U00010000-\U0010ffff]")

#: Levels of arrays and objects in the JSON of a request.  No document of the API needs a dozen,
#: and orjson encodes no more than 254.
MAX_DEPTH = 100

_check_tag = compile_schema(string(_MAX_LENGTH))


def parse_json(body: bytes) -> object:
    """Decode the JSON of a request body (RFC 8259).

    :raises errors.Invalid: it is empty, not JSON in UTF-8, or nested deeper than MAX_DEPTH.
    """
    if not body:
        raise errors.Invalid("Body expected in request.")
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.Invalid("Malformed JSON in request body.") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(document)
    return document


def _check_depth(document: object) -> None:
    """:raises errors.Invalid: nested deeper than MAX_DEPTH."""
    level: list[CheckedValue] = [document] if isinstance(document, dict | list) else []
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


def parse_object(body: bytes) -> dict[str, CheckedValue]:
    """Decode a request body that must be a JSON object; its values are not checked yet.

    :raises errors.Invalid: it is no JSON object.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise errors.Invalid("The request body must be a JSON object.")
    return document


def check_storable(name: str, value: str) -> None:
    """Refuse characters that some database cannot hold.

    :param name: how the message names ``value``.
    :raises errors.Invalid: ``value`` has one.
    """
    if _UNSTORABLE.search(value):
        raise errors.Invalid(f"{name} cannot contain 4 byte unicode characters or NUL.")


class ImageLoader:
    """Checks and loads images, as a resource declares them; made once per process.

    required
        Names of keys that a new image must have.
    read_only
        Names of fields that only the service sets.
    base
        Names of the fields of the API; other keys are custom properties.
    writable
        Names of fields of the API that a client may set.
    """

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
        self._integers = frozenset(
            field.name for field in resource if field.schema is INTEGER and not field.read_only
        )

    def image(self, ctx: Caller, body: bytes) -> Image:
        """The new image that a request body describes; by default the caller owns it.

        :raises errors.Invalid: a value has the wrong type or is out of bounds.
        :raises errors.Forbidden: the body has a name that no client may write.
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

    def _check_document(self, document: CheckedObject) -> None:
        """Check all keys and values.

        wire: types come first, then read-only names, then reserved ones.
        """
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
            if len(name) > _MAX_LENGTH:
                raise errors.Invalid(
                    f"The name of a property cannot be longer than {_MAX_LENGTH} characters."
                )

    def check(self, name: str, value: object) -> None:
        """Check one value by the schema of its field.

        :raises errors.Invalid: it is not valid.
        """
        problem = self._checks.get(name, self._custom_check)(value)
        if problem is not None:
            raise errors.Invalid(f"The value of '{name}' {problem}.")

    def to_domain(self, name: str, value: CheckedValue) -> CheckedValue:
        """A value that :meth:`check` accepted, in the type that the domain has for it.

        :raises errors.Invalid: it is out of the bounds of the database.
        """
        if name in self._integers:
            return _bounded(name, value)
        if name == "tags":
            return _tags(value)
        if name not in self.base:
            check_storable("The name of a property", name)
            if not isinstance(value, str | None):
                value = orjson.dumps(value).decode()
        if isinstance(value, str):
            check_storable(name, value)
        return value


def is_reserved(name: str) -> bool:
    """Return True for the name of a property that no client may write, in any request."""
    if name.isascii() and name.isprintable():
        # Nearly all names are; for others the spelling is normalised, which takes longer.
        return name in RESERVED_NAMES or name.lower().startswith(RESERVED_PREFIX)
    return property_names.is_reserved(name)


def _bounded(name: str, value: float) -> int:
    if not 0 <= value <= MAX_INT32:
        raise errors.Invalid(f"'{name}' must lie between 0 and {MAX_INT32}.")
    return int(value)


def _tags(value: list[str]) -> list[str]:
    """wire: repeated tags count towards the quota, so that the repository drops them, later."""
    for tag in value:
        check_storable("A tag", tag)
    return list(value)


def load_tag(tag: str) -> str:
    """Check a tag in the path of a request.

    wire: characters of 4 bytes are not refused here, as they are in a list of tags.

    :raises errors.Invalid: it is longer than 255 characters, or has a NUL.
    """
    problem = _check_tag(tag)
    if problem is not None:
        raise errors.Invalid(f"The tag {problem}.")
    if "\x00" in tag:
        raise errors.Invalid("A tag cannot contain NUL.")
    return tag


def load_member(body: bytes) -> str | float:
    """The project id in the request that shares an image; :func:`project_id_text` is recorded.

    wire: it may be a number, and its length is checked by the database only.

    :raises errors.Invalid: it is missing, empty, or neither text nor number.
    """
    project = parse_object(body).get("member")
    if not project:
        raise errors.Invalid("The project to share the image with is not given.")
    if not isinstance(project, str | int | float):
        raise errors.Invalid("A project id must be a string.")
    check_storable("A project id", str(project))
    return project


def project_id_text(project: str | float) -> str:
    """The text that is recorded for a project id: 1 for true, 0 for false."""
    return str(int(project) if isinstance(project, bool) else project)


def load_member_status(body: bytes) -> CheckedValue:
    """The status in the request of a member; the layers check its value.

    :raises errors.Invalid: it is missing.
    """
    status = parse_object(body).get("status")
    if status is None:
        raise errors.Invalid("The status is not given.")
    return status
