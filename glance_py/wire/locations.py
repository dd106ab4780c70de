"""Changes of an image's locations, as a PATCH may ask for them.

Decides what the state of the image allows and what the client's list means.
Whether an address can be used, how large the data is and that the image becomes
active by it, is found out by the layer that knows the stores.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Hashable, Iterable
from typing import Any

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location, check_formats
from glance_py.domain.registration import Registration
from glance_py.wire import load
from glance_py.wire.json_schema import compile_schema

#: The body of a request to register data; other keys are ignored.
REGISTRATION = {
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": {"type": "string"},
        "validation_data": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "os_hash_algo": {"type": "string", "enum": ["sha1", "sha256", "sha512", "md5"]},
                "os_hash_value": {"type": "string", "maxLength": 128},
            },
        },
    },
}

_check_registration = compile_schema(REGISTRATION)


def load_registration(body: bytes) -> Registration:
    """The body of POST /v2/images/{image_id}/locations.

    :raises errors.Invalid: it has another form.
    """
    document = load.parse_object(body)
    problem = _check_registration(document)
    if problem is not None:
        raise errors.Invalid(f"The request body {problem}.")
    load.check_storable("url", document["url"])
    data = document.get("validation_data") or {}
    if len(data) == 1:
        raise errors.Invalid("os_hash_algo and os_hash_value come together.")
    value = data.get("os_hash_value")
    return Registration(
        document["url"], data.get("os_hash_algo"), None if value is None else value.lower()
    )


class LocationDraft:
    """The locations of an image while operations are played on them."""

    def __init__(self, image: Image, locations: Iterable[Location], algorithm: str) -> None:
        #: The image as it is by now; what stands before in a request may change it.
        self.image = image
        self._algorithm = algorithm
        # A queued image has no data, whatever was refused there.
        self._current = [] if image.status == "queued" else list(locations)
        self._original = {location.id: location for location in self._current}
        self._identities = {_identity(location) for location in self._current}
        self._digests: dict[str, str] = {}
        self._missing: tuple[Location, ...] = ()

    def add(self, position: str, value: dict[str, Any]) -> None:
        """Record another copy; ``position`` is ``-`` or a number, the last by default."""
        if position != "-" and not position.isdecimal():
            raise errors.Invalid("Invalid position for adding a location.")
        self._require("active", "queued")
        location = _location(value)
        identity = _identity(location)
        if identity in self._identities:
            raise errors.Invalid("The image has this location already.")
        self._verify(value.get("validation_data"))
        self._current.insert(self._index(position, len(self._current)), location)
        self._identities.add(identity)

    def remove(self, position: str) -> None:
        """Forget one copy and its data, never the last.

        wire: that a place does not exist is told only to those who may remove.
        """
        self._require("active")
        if position != "-" and not position.isdecimal():
            raise errors.Invalid("Invalid position for removing a location.")
        if len(self._current) == 1:
            raise errors.Forbidden("Cannot delete the last location of an image.")
        index = self._index(position, len(self._current) - 1)
        if 0 <= index < len(self._current):
            self._identities.discard(_identity(self._current.pop(index)))
        else:
            self._missing = (Location(""),)

    def _index(self, position: str, last: int) -> int:
        """Where ``position`` is in the list: ``-`` is ``last``, what is beyond it is its length.

        Digits are counted first, since Python refuses to convert thousands of them.
        """
        if position == "-":
            return last
        digits = position.lstrip("0") or "0"
        return len(self._current) if len(digits) > 9 else min(int(digits), len(self._current))

    def replace(self, values: list[dict[str, Any]]) -> None:
        """The whole list: new metadata for the same addresses, or the first copies."""
        if not values:
            raise errors.Forbidden("Cannot set locations to empty list.")
        self._require("active", "queued")
        given = [_location(value) for value in values]
        identities = {_identity(location) for location in given}
        if len(identities) < len(given):
            raise errors.Invalid("The same location is given twice.")
        if self._current and sorted(x.url for x in self._current) != sorted(x.url for x in given):
            raise errors.Invalid("Original locations is not empty; remove them first.")
        for value in values:
            self._verify(value.get("validation_data"))
        unmatched: dict[str, collections.deque[Location]] = {}
        for old in self._current:
            unmatched.setdefault(old.url, collections.deque()).append(old)
        for location in given:
            if unmatched.get(location.url):
                old = unmatched[location.url].popleft()
                location.id, location.status = old.id, old.status
        self._current, self._identities = given, identities

    def _require(self, *states: str) -> None:
        if self.image.status not in states:
            raise errors.Conflict(f"Locations cannot be changed in status {self.image.status}.")
        if self.image.status == "queued":
            check_formats(self.image)

    def _verify(self, data: dict[str, str] | None) -> None:
        """Digests of data that the service will not read itself.

        :raises errors.Conflict: other than the known ones, or of no use here.
        """
        if not data:
            return
        if data["os_hash_algo"] != self._algorithm:
            raise errors.Conflict(f"os_hash_algo must be {self._algorithm}.")
        _check_digest("os_hash_value", data["os_hash_value"], self._algorithm)
        if "checksum" in data:
            _check_digest("checksum", data["checksum"], "md5")
        for name, value in data.items():
            known = self._digests.get(name)
            queued = self.image.status == "queued"
            if known is None and not queued:
                known = getattr(self.image, name)
            if known is None:
                if not queued:
                    raise errors.Conflict(f"{name} can only be set while the image is queued.")
                self._digests[name] = value
            elif known != value:
                raise errors.Conflict(f"{name} is already set with a different value.")

    def apply_to(self, change: ImageChange) -> None:
        """Say in ``change`` how the list differs from before."""
        kept = {location.id for location in self._current if location.id is not None}
        change.add_locations = tuple(x for x in self._current if x.id is None)
        change.location_indexes = tuple(
            index for index, location in enumerate(self._current) if location.id is None
        )
        change.remove_locations = self._missing + tuple(
            location for key, location in self._original.items() if key not in kept
        )
        change.update_locations = tuple(
            location
            for location in self._current
            if location.id is not None and location.metadata != self._original[location.id].metadata
        )
        change.fields.update(self._digests)


def _location(value: dict[str, Any]) -> Location:
    """wire: the answer repeats what it does not understand, and the digests."""
    extra = {key: value[key] for key in value.keys() - {"url", "metadata", "status"}}
    return Location(value["url"], value["metadata"], extra=extra)


def _identity(location: Location) -> Hashable:
    """Equal for copies that have the same address and the same metadata."""
    return location.url, _hashable(location.metadata)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, dict):
        return frozenset((key, _hashable(each)) for key, each in value.items())
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return value


def _check_digest(name: str, value: str, algorithm: str) -> None:
    try:
        size = len(bytes.fromhex(value))
    except ValueError:
        raise errors.Conflict(f"{name} is not hexadecimal.") from None
    if size != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise errors.Conflict(f"{name} has the wrong length for {algorithm}.")
