"""PATCH requests to an ImageChange.

Both media types of Image API v2 are loaded into the same operations.  The whole list is loaded and
checked before the image is read; then the operations are applied to it in order, and the difference
that results is the ImageChange.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

from glance_py.domain import errors
from glance_py.domain.change import ImageChange, RejectedChange
from glance_py.domain.image import DIGEST_FIELDS, Image, ImageStatus, Location
from glance_py.domain.json_types import CheckedObject, CheckedValue
from glance_py.wire import load, media_types
from glance_py.wire.load import ImageLoader, is_reserved, parse_json
from glance_py.wire.locations import LocationDraft

_OPERATIONS = ("add", "replace", "remove")

#: Operations of one PATCH; each location of a new list counts as one.  They are loaded before the
#: rights of the caller are known.
MAX_OPERATIONS = 10_000

#: wire: computed fields of which a PATCH may write a custom property of the same name, which is
#: shown until the computed value exists.
_SHADOWED = frozenset({"stores"})

#: A tilde that begins no escape (RFC 6901, section 3).
_BAD_ESCAPE = re.compile("~(?![01])")

#: Number of parts in the path of an operation on locations.
_LOCATION_DEPTH = {"add": 2, "insert": 2, "replace": 1, "remove": 2}


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a PATCH.

    op
        add, insert (the property must be new), replace or remove.
    position
        The second part of a path into the locations, empty otherwise.
    error
        Why the value cannot be recorded; raised when the operation is applied.
    """

    op: str
    name: str
    position: str = ""
    value: CheckedValue = None
    error: errors.GlanceError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LocationRules:
    """What the configuration says about locations in a PATCH.

    allowed
        False when clients may not change them (``show_multiple_locations``).
    algorithm
        ``hashing_algorithm``: the only one that validation data may name.
    sort_locations
        Sorts locations into the order of responses, from which clients take an index.
    """

    allowed: bool
    algorithm: str
    sort_locations: Callable[[Sequence[Location]], Sequence[Location]]


class PatchLoader:
    """Loads bodies of PATCH requests; made once per process."""

    def __init__(self, loader: ImageLoader) -> None:
        self._loader = loader
        self._read_only = (loader.read_only | {"id"}) - _SHADOWED

    def operations(self, media_type: str, body: bytes) -> list[Operation]:
        """Load the operations in ``body`` and check what does not depend on the image.

        :raises errors.Invalid: the form, a path or a value is wrong.
        :raises errors.Forbidden: an operation has a read-only or reserved name.
        :raises errors.LimitExceeded: there are more than MAX_OPERATIONS.
        """
        document = parse_json(body)
        if not isinstance(document, list):
            raise errors.Invalid("Request body must be a JSON array of operation objects.")
        if _count_items(document) > MAX_OPERATIONS:
            raise errors.LimitExceeded(
                f"A PATCH cannot hold more than {MAX_OPERATIONS} operations or locations."
            )
        load_item = _load_v21 if media_type == media_types.PATCH_V21 else _load_v20
        return [self._operation(*load_item(item)) for item in document]

    def _operation(self, op: str, path: object, item: CheckedObject) -> Operation:
        name, *rest = _pointer_parts(path)
        if len(rest) + 1 != (_LOCATION_DEPTH[op] if name == "locations" else 1):
            raise errors.Invalid(f"Invalid JSON pointer for this resource: '{path}'")
        if name in self._read_only:
            raise errors.ReadOnlyAttribute(name)
        if is_reserved(name):
            raise errors.ReservedAttribute(name)
        if name == "image_id":
            # wire: the name of a column of properties; only a new image may have such a property.
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

    def _to_domain(self, name: str, value: CheckedValue) -> CheckedValue:
        if name in _SHADOWED:
            load.check_storable(name, value)
            return value
        if name == "owner" and value == "":
            return None  # wire: an empty owner means none in a PATCH, but not in a new image.
        return value if name == "locations" else self._loader.to_domain(name, value)


def _count_items(document: list[object]) -> int:
    """The number of operations and of the items of their values."""
    return len(document) + sum(
        len(item["value"])
        for item in document
        if isinstance(item, dict) and isinstance(item.get("value"), list)
    )


def _load_v21(item: object) -> tuple[str, object, CheckedObject]:
    """The op, path and document of ``{"op": ..., "path": ..., "value": ...}`` (RFC 6902)."""
    if not isinstance(item, dict):
        raise errors.Invalid("Operations must be JSON objects.")
    op = item.get("op")
    if op not in _OPERATIONS:
        raise errors.Invalid(f"The op of an operation must be one of {', '.join(_OPERATIONS)}.")
    if "path" not in item:
        raise errors.Invalid(f'Operation "{op}" requires a member named "path".')
    return op, item["path"], item


def _load_v20(item: object) -> tuple[str, object, CheckedObject]:
    """The same of ``{"add": path, "value": ...}``, the form of a draft of RFC 6902."""
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
    """The parts of a JSON pointer (RFC 6901), without blanks around them.

    wire: a second slash at the beginning is allowed.

    :raises errors.Invalid: it is no pointer.
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
    """The difference that ``operations`` make to ``image``; empty when they make none.

    It is a RejectedChange when a property exists that must not or the other way round, or when
    the status of the image, the bounds of the database or the configuration forbid an operation.
    """
    applier = _PatchApplier(image, loader, rules)
    for operation in operations:
        try:
            applier.apply_operation(operation)
        except errors.GlanceError as error:
            return applier.rejected_change(operation, error)
    return applier.change()


class _PatchApplier:
    """Collects the change that operations make to an image, which stays as it is."""

    def __init__(self, image: Image, loader: ImageLoader, rules: LocationRules) -> None:
        self._image = image
        self._writable = loader.writable
        self._rules = rules
        self._collected = _Collected()
        self._draft: LocationDraft | None = None

    def apply_operation(self, operation: Operation) -> None:
        """:raises errors.GlanceError: the operation is not possible after those before it."""
        if operation.error is not None:
            raise operation.error
        if operation.name == "locations":
            self._apply_location_operation(operation)
        elif operation.name in self._writable:
            _set_field(self._image, self._collected, operation)
            if operation.name in ("disk_format", "container_format"):
                self._update_image(**{operation.name: operation.value})
        else:
            _set_property(self._image, self._collected, operation)

    def _apply_location_operation(self, operation: Operation) -> None:
        if self._draft is None:
            self._draft = _draft_of(self._image, self._rules)
        _apply_to_draft(self._draft, operation)
        if self._image.status == ImageStatus.QUEUED:
            # The new location has digests of its own; those of refused data do not apply.
            self._update_image(status=ImageStatus.ACTIVE, **dict.fromkeys(DIGEST_FIELDS))

    def _update_image(self, **fields: CheckedValue) -> None:
        self._image = dataclasses.replace(self._image, **fields)
        if self._draft is not None:
            self._draft.image = self._image

    def change(self) -> ImageChange:
        """The change that the operations so far make."""
        change = self._collected.change()
        return change if self._draft is None else self._draft.apply_to(change)

    def rejected_change(self, operation: Operation, error: errors.GlanceError) -> ImageChange:
        """The same with the fields that ``operation``, which failed with ``error``, would change.

        The layers ask for the rights to all of them before they raise the error.
        """
        change = self.change()
        if operation.name == "locations":
            name = "remove_locations" if operation.op == "remove" else "add_locations"
            change = change.evolve(**{name: (*getattr(change, name), Location(""))})
        elif operation.name in self._writable:
            change = change.evolve(fields={**change.fields, operation.name: operation.value})
        else:
            change = change.evolve(set_properties={**change.set_properties, operation.name: ""})
        changes = {each.name: getattr(change, each.name) for each in dataclasses.fields(change)}
        return RejectedChange(**changes, error=error)


@dataclasses.dataclass(slots=True)
class _Collected:
    """The fields of the change that operations on other attributes than locations make."""

    fields: dict[str, CheckedValue] = dataclasses.field(default_factory=dict)
    set_properties: dict[str, str] = dataclasses.field(default_factory=dict)
    remove_properties: set[str] = dataclasses.field(default_factory=set)
    tags: list[str] | None = None
    expected: frozenset[str] | None = None

    def change(self) -> ImageChange:
        return ImageChange(
            fields=self.fields,
            set_properties=self.set_properties,
            remove_properties=frozenset(self.remove_properties),
            tags=self.tags,
            expected=self.expected,
        )


def _set_field(image: Image, change: _Collected, operation: Operation) -> None:
    if operation.op == "remove":
        raise errors.Forbidden(f"Property {operation.name} may not be removed.")
    if operation.op == "insert":
        raise errors.Conflict(f"Property {operation.name} already present.")
    if operation.name == "tags":
        change.tags = operation.value
        return
    if operation.name in ("disk_format", "container_format"):
        if image.status != ImageStatus.QUEUED:
            raise errors.Forbidden(
                f"Attribute {operation.name} can only be replaced for a queued image."
            )
        change.expected = frozenset({ImageStatus.QUEUED})
    change.fields[operation.name] = operation.value


def _set_property(image: Image, change: _Collected, operation: Operation) -> None:
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
