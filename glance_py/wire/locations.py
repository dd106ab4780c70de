"""Changes of the locations of an image, in a PATCH or in a request of their own.

This module checks the form, and what the status of the image allows.  The layers validate the
URLs, find the size of the data, and make the image active.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Hashable, Iterable

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, ImageStatus, Location, check_formats
from glance_py.domain.json_types import CheckedObject
from glance_py.domain.registration import Registration
from glance_py.wire import load
from glance_py.wire.json_schema import compile_schema

#: The body of a request to add a location; other keys are ignored.
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
    """Load the body of POST /v2/images/{image_id}/locations.

    :raises errors.Invalid: it does not have the form of ``REGISTRATION``.
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
    """The locations of an image while the operations of a PATCH are applied to them.

    :param image: the image; ``image`` is set again when an operation changes it.
    :param locations: in the order in which clients see them.
    :param algorithm: the only one that validation data may name (``hashing_algorithm``).
    """

    def __init__(self, image: Image, locations: Iterable[Location], algorithm: str) -> None:
        #: The image after the operations so far.
        self.image = image
        self._algorithm = algorithm
        # A queued image has no data; its locations are of data that was refused.
        self._current = [] if image.status == ImageStatus.QUEUED else list(locations)
        self._original = {location.id: location for location in self._current}
        self._identities = {_identity(location) for location in self._current}
        self._digests: dict[str, str] = {}
        self._missing: tuple[Location, ...] = ()

    def add(self, position: str, value: CheckedObject) -> None:
        """Add a location.

        :param position: ``-`` for the end, or its index; a larger index is the end.
        :param value: of the form ``LOCATION_SCHEMA``.
        :raises errors.Invalid: the position is none, or the image has this location already.
        :raises errors.Conflict: the status does not allow it, or the digests contradict others.
        """
        if position != "-" and not position.isdecimal():
            raise errors.Invalid("Invalid position for adding a location.")
        self._require(ImageStatus.ACTIVE, ImageStatus.QUEUED)
        location = _location(value)
        identity = _identity(location)
        if identity in self._identities:
            raise errors.Invalid("The image has this location already.")
        self._verify(value.get("validation_data"))
        self._current.insert(self._index(position, len(self._current)), location)
        self._identities.add(identity)

    def remove(self, position: str) -> None:
        """Remove one location, with its data.

        wire: the layers answer 404 for an index that does not exist, after the policies.

        :param position: ``-`` for the last one, or its index.
        :raises errors.Forbidden: it is the only one.
        :raises errors.Conflict: the status does not allow it.
        """
        self._require(ImageStatus.ACTIVE)
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
        """The index of ``position``: ``last`` for ``-``, at most the length of the list.

        Digits are counted first, since Python refuses to convert 4,300 of them and more.
        """
        if position == "-":
            return last
        digits = position.lstrip("0") or "0"
        return len(self._current) if len(digits) > 9 else min(int(digits), len(self._current))

    def replace(self, values: list[CheckedObject]) -> None:
        """Replace the whole list: other metadata for the same URLs, or the first locations.

        :raises errors.Forbidden: the new list is empty.
        :raises errors.Invalid: the URLs differ, or a location is given twice.
        :raises errors.Conflict: the status does not allow it, or the digests contradict others.
        """
        if not values:
            raise errors.Forbidden("Cannot set locations to empty list.")
        self._require(ImageStatus.ACTIVE, ImageStatus.QUEUED)
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

    def _require(self, *states: ImageStatus) -> None:
        if self.image.status not in states:
            raise errors.Conflict(f"Locations cannot be changed in status {self.image.status}.")
        if self.image.status == ImageStatus.QUEUED:
            check_formats(self.image)

    def _verify(self, data: dict[str, str] | None) -> None:
        """Check the digests of data that the service will not read itself.

        :raises errors.Conflict: they contradict known ones, or cannot be compared here.
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
            queued = self.image.status == ImageStatus.QUEUED
            if known is None and not queued:
                known = getattr(self.image, name)
            if known is None:
                if not queued:
                    raise errors.Conflict(f"{name} can only be set while the image is queued.")
                self._digests[name] = value
            elif known != value:
                raise errors.Conflict(f"{name} is already set with a different value.")

    def apply_to(self, change: ImageChange) -> ImageChange:
        """``change`` with the difference to the locations of the image."""
        kept = {location.id for location in self._current if location.id is not None}
        return change.evolve(
            fields={**change.fields, **self._digests},
            add_locations=tuple(x for x in self._current if x.id is None),
            location_indexes=tuple(
                index for index, location in enumerate(self._current) if location.id is None
            ),
            remove_locations=self._missing
            + tuple(location for key, location in self._original.items() if key not in kept),
            update_locations=tuple(
                location
                for location in self._current
                if location.id is not None
                and location.metadata != self._original[location.id].metadata
            ),
        )


def _location(value: CheckedObject) -> Location:
    """wire: the response repeats unknown keys of a new location, and its digests."""
    extra = {key: value[key] for key in value.keys() - {"url", "metadata", "status"}}
    return Location(value["url"], value["metadata"], extra=extra)


def _identity(location: Location) -> Hashable:
    """A key that is equal for locations with the same URL and the same metadata."""
    return location.url, _hashable(location.metadata)


def _hashable(value: object) -> Hashable:
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
