"""PATCH requests to a Change.

Both media types of Image API v2 are read into the same operations.  The whole
list is read and checked before the image is looked at; then the operations are
played on it in order, and what has changed in the end is the Change.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from glance_py.domain import errors
from glance_py.domain.change import ImageChange, RejectedChange
from glance_py.domain.image import DIGEST_FIELDS, Image, Location
from glance_py.wire import load
from glance_py.wire.load import ImageLoader, is_reserved, parse_json
from glance_py.wire.locations import LocationDraft

V21 = "application/openstack-images-v2.1-json-patch"
V20 = "application/openstack-images-v2.0-json-patch"

#: Media types of a PATCH, as the Accept-Patch header (RFC 5789) names them.
MEDIA_TYPES = (V20, V21)

_OPERATIONS = ("add", "replace", "remove")

#: Operations of one PATCH, each location of a new list counting as one.  They are read before it
#: is known what the caller may do.
MAX_OPERATIONS = 10_000

#: wire: computed, yet a PATCH may write a custom property of this name; the computed value
#: hides it once there is one.
_SHADOWED = frozenset({"stores"})

#: A tilde that begins no escape (RFC 6901, section 3).
_BAD_ESCAPE = re.compile("~(?![01])")

#: How many parts the path of an operation on locations has.
_LOCATION_DEPTH = {"add": 2, "insert": 2, "replace": 1, "remove": 2}


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One step: ``op`` is add, insert (must be new), replace or remove.

    ``position`` is the second part of a path into the locations, ``error`` why
    the value cannot be kept; it counts when its turn comes.
    """

    op: str
    name: str
    position: str = ""
    value: Any = None
    error: errors.GlanceError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LocationRules:
    """What the configuration says about locations in a PATCH.

    allowed
        Whether clients may touch them at all (``show_multiple_locations``).
    algorithm
        ``hashing_algorithm``: the only one that validation data may name.
    sort_locations
        Sorts locations as answers show them, since clients count in answers.
    """

    allowed: bool
    algorithm: str
    sort_locations: Callable[[Sequence[Location]], Sequence[Location]]


class PatchLoader:
    """Reads PATCH bodies; compiled once per process."""

    def __init__(self, loader: ImageLoader) -> None:
        self._loader = loader
        self._read_only = (loader.read_only | {"id"}) - _SHADOWED

    def operations(self, media_type: str, body: bytes) -> list[Operation]:
        """The operations in ``body``, checked as far as that goes without the image.

        :raises errors.Invalid: wrong shape, path or value.
        :raises errors.Forbidden: a read-only or reserved name.
        :raises errors.LimitExceeded: more than MAX_OPERATIONS.
        """
        document = parse_json(body)
        if not isinstance(document, list):
            raise errors.Invalid("Request body must be a JSON array of operation objects.")
        if _count_items(document) > MAX_OPERATIONS:
            raise errors.LimitExceeded(
                f"A PATCH cannot hold more than {MAX_OPERATIONS} operations or locations."
            )
        read = _read_v21 if media_type == V21 else _read_v20
        return [self._operation(*read(item)) for item in document]

    def _operation(self, op: str, path: object, item: dict[str, Any]) -> Operation:
        name, *rest = _pointer_parts(path)
        if len(rest) + 1 != (_LOCATION_DEPTH[op] if name == "locations" else 1):
            raise errors.Invalid(f"Invalid JSON pointer for this resource: '{path}'")
        if name in self._read_only:
            raise errors.ReadOnlyAttribute(name)
        if is_reserved(name):
            raise errors.ReservedAttribute(name)
        if name == "image_id":
            # wire: the name of a column of properties. A new image may have it.
            raise (
                errors.ReservedAttribute(name)
                if op == "remove"
                else errors.NotFound(f"Attribute '{name}' cannot be changed.")
            )
        position = rest[0] if rest else ""
        if op == "remove":
            if name in self._loader.required:
                raise errors.Invalid(f"Property {name} is required and may not be removed.")
            return Operation(op, name, position)
        if "value" not in item:
            raise errors.Invalid(f'Operation "{op}" requires a member named "value".')
        value = item["value"]
        self._loader.check("" if name in _SHADOWED else name, [value] if rest else value)
        try:
            return Operation(op, name, position, self._to_domain(name, value))
        except errors.Invalid as error:
            return Operation(op, name, position, value, error)

    def _to_domain(self, name: str, value: Any) -> Any:
        if name in _SHADOWED:
            load.check_storable(name, value)
            return value
        if name == "owner" and value == "":
            return None  # wire: a PATCH takes the owner away; a new image keeps what it was given.
        return value if name == "locations" else self._loader.to_domain(name, value)


def _count_items(document: list[Any]) -> int:
    """How many operations there are, and how many items their values hold."""
    return len(document) + sum(
        len(item["value"])
        for item in document
        if isinstance(item, dict) and isinstance(item.get("value"), list)
    )


def _read_v21(item: object) -> tuple[str, object, dict[str, Any]]:
    """``{"op": ..., "path": ..., "value": ...}``, as in RFC 6902."""
    if not isinstance(item, dict):
        raise errors.Invalid("Operations must be JSON objects.")
    op = item.get("op")
    if op not in _OPERATIONS:
        raise errors.Invalid(f"The op of an operation must be one of {', '.join(_OPERATIONS)}.")
    if "path" not in item:
        raise errors.Invalid(f'Operation "{op}" requires a member named "path".')
    return op, item["path"], item


def _read_v20(item: object) -> tuple[str, object, dict[str, Any]]:
    """``{"add": path, "value": ...}``, the form before RFC 6902 was finished."""
    if not isinstance(item, dict):
        raise errors.Invalid("Operations must be JSON objects.")
    named = [op for op in _OPERATIONS if op in item]
    if len(named) != 1:
        raise errors.Invalid(
            f"Operations must contain exactly one member of {', '.join(_OPERATIONS)}."
        )
    op = named[0]
    return ("insert" if op == "add" else op), item[op], item


def _pointer_parts(path: object) -> list[str]:
    """The parts of a JSON pointer (RFC 6901), blanks around them dropped.

    wire: a second slash at the beginning is tolerated.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise errors.Invalid(f'Pointer `{path}` does not start with "/".')
    inner = path[1:]
    if "//" in inner:
        raise errors.Invalid(f'Pointer `{path}` contains adjacent "/".')
    if inner.endswith("/"):
        raise errors.Invalid(f'Pointer `{path}` ends with "/".')
    return [_unescape(part.strip(), path) for part in inner.removeprefix("/").split("/")]


def _unescape(part: str, path: str) -> str:
    if _BAD_ESCAPE.search(part):
        raise errors.Invalid(f'Pointer `{path}` contains "~" not part of a recognized escape.')
    return part.replace("~1", "/").replace("~0", "~")


def apply(
    image: Image, operations: list[Operation], loader: ImageLoader, rules: LocationRules
) -> ImageChange:
    """What ``operations`` change in ``image``; empty when they change nothing.

    An RejectedChange when a property exists that must not or the other way round, or
    the image's state, its database or the configuration forbids a step.
    """
    applier = _PatchApplier(image, loader, rules)
    for operation in operations:
        try:
            applier.apply_operation(operation)
        except errors.GlanceError as error:
            return applier.rejected_change(operation, error)
    return applier.change()


class _PatchApplier:
    """Operations, one after the other, on an image that they leave as it is."""

    def __init__(self, image: Image, loader: ImageLoader, rules: LocationRules) -> None:
        self._image = image
        self._writable = loader.writable
        self._rules = rules
        self._change = ImageChange()
        self._draft: LocationDraft | None = None

    def apply_operation(self, operation: Operation) -> None:
        """:raises errors.GlanceError: this cannot be done to the image as it is by now."""
        if operation.error is not None:
            raise operation.error
        if operation.name == "locations":
            self._apply_location_operation(operation)
        elif operation.name in self._writable:
            _set_field(self._image, self._change, operation)
            if operation.name in ("disk_format", "container_format"):
                self._update_image(**{operation.name: operation.value})
        else:
            _set_property(self._image, self._change, operation)

    def _apply_location_operation(self, operation: Operation) -> None:
        if self._draft is None:
            self._draft = _draft_of(self._image, self._rules)
        _apply_to_draft(self._draft, operation)
        if self._image.status == "queued":
            # With digests of its own; those of refused data are not its.
            self._update_image(status="active", **dict.fromkeys(DIGEST_FIELDS))

    def _update_image(self, **fields: Any) -> None:
        self._image = dataclasses.replace(self._image, **fields)
        if self._draft is not None:
            self._draft.image = self._image

    def change(self) -> ImageChange:
        """What the steps so far change."""
        if self._draft is not None:
            self._draft.apply_to(self._change)
        return self._change

    def rejected_change(self, operation: Operation, error: errors.GlanceError) -> ImageChange:
        """The same with what ``operation``, to which there is an error, would have touched."""
        change = self.change()
        if operation.name == "locations":
            if operation.op == "remove":
                change.remove_locations += (Location(""),)
            else:
                change.add_locations += (Location(""),)
        elif operation.name in self._writable:
            change.fields[operation.name] = operation.value
        else:
            change.set_properties[operation.name] = ""
        changes = {each.name: getattr(change, each.name) for each in dataclasses.fields(change)}
        return RejectedChange(**changes, error=error)


def _set_field(image: Image, change: ImageChange, operation: Operation) -> None:
    if operation.op == "remove":
        raise errors.Forbidden(f"Property {operation.name} may not be removed.")
    if operation.op == "insert":
        raise errors.Conflict(f"Property {operation.name} already present.")
    if operation.name == "tags":
        change.tags = operation.value
        return
    if operation.name in ("disk_format", "container_format"):
        if image.status != "queued":
            raise errors.Forbidden(
                f"Attribute {operation.name} can only be replaced for a queued image."
            )
        change.expected = frozenset({"queued"})
    change.fields[operation.name] = operation.value


def _set_property(image: Image, change: ImageChange, operation: Operation) -> None:
    name = operation.name
    exists = name in change.set_properties or (
        name in image.properties and name not in change.remove_properties
    )
    if operation.op == "insert" and exists:
        raise errors.Conflict(f"Property {name} already present.")
    if operation.op in ("replace", "remove") and not exists:
        raise errors.Conflict(f"Property {name} does not exist.")
    if operation.op == "remove":
        change.set_properties.pop(name, None)
        if name in image.properties:
            change.remove_properties.add(name)
    else:
        change.set_properties[name] = operation.value
        change.remove_properties.discard(name)


def _draft_of(image: Image, rules: LocationRules) -> LocationDraft:
    if not rules.allowed:
        raise errors.Forbidden("It's not allowed to change the locations of an image.")
    return LocationDraft(image, rules.sort_locations(image.locations), rules.algorithm)


def _apply_to_draft(draft: LocationDraft, operation: Operation) -> None:
    if operation.op == "replace":
        draft.replace(operation.value)
    elif operation.op == "remove":
        draft.remove(operation.position)
    else:
        draft.add(operation.position, operation.value)
