"""A change of an image, as a value.

Layers look at a change before it is applied; the DAL applies all of it or nothing.  What a
change does not name stays as it is, so that two callers that change different things at the same
time both succeed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Self

from glance_py.domain.claim import ClaimRelease, ClaimRequest
from glance_py.domain.errors import GlanceError
from glance_py.domain.image import DIGEST_FIELDS, Image, Location
from glance_py.domain.quota import QuotaReservation


@dataclasses.dataclass(frozen=True, slots=True)
class ImageChange:
    """A description of an update; :meth:`evolve` makes another one.

    fields
        Columns of the image row to set, by name (``name``, ``status`` ...).
    set_properties, remove_properties
        Custom properties to write and to remove.
    tags
        The whole new list of tags, or None to leave it; ``add_tags`` and ``remove_tags`` change
        single tags without reading the others.
    add_locations, remove_locations, update_locations
        Locations to record, to remove (by ``Location.id``; None is a location that does not
        exist, which the layers refuse) and to rewrite (metadata and status, by ``Location.id``).
    location_indexes
        The position of each of ``add_locations`` in the list of the answer, in the same order;
        empty is at the end.  Later answers have them at the end.
    expected
        The states in which the image must be; the DAL compares and sets in one statement, and
        raises StatusConflict for another state.
    acquire
        The claim that is taken in the same transaction; the answer's ``grant`` has the
        generation.  The DAL raises ImageBusy when the claim is held.
    holder
        The change is applied only while this holder has the claim of the image; otherwise the
        DAL raises ClaimLost.  Every change of an attempt names its holder.
    release
        How ``holder`` gives the claim back in the same transaction, None when it keeps it.
    reservation
        What the project may use of its quotas once the change is applied.
    """

    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    set_properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    remove_properties: frozenset[str] = frozenset()
    tags: list[str] | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    add_locations: tuple[Location, ...] = ()
    remove_locations: tuple[Location, ...] = ()
    update_locations: tuple[Location, ...] = ()
    location_indexes: tuple[int, ...] = ()
    expected: frozenset[str] | None = None
    reservation: QuotaReservation | None = None
    acquire: ClaimRequest | None = None
    holder: str | None = None
    release: ClaimRelease | None = None

    @classmethod
    def status(cls, to: str, expected: str | Iterable[str], **fields: object) -> ImageChange:
        """A change of the status to ``to`` if it is one of ``expected``, and of other fields."""
        states = {expected} if isinstance(expected, str) else expected
        return cls(fields={"status": to, **fields}, expected=frozenset(states))

    def evolve(self, **fields: Any) -> Self:
        """A copy of this change with other values of some fields."""
        return dataclasses.replace(self, **fields)

    def __bool__(self) -> bool:
        return bool(
            self.fields
            or self.set_properties
            or self.remove_properties
            or self.tags is not None
            or self.add_tags
            or self.remove_tags
            or self.add_locations
            or self.remove_locations
            or self.update_locations
            or self.acquire
            or self.release
        )

    def properties_after(self, properties: Mapping[str, str]) -> dict[str, str]:
        """The custom properties that result from applying this to ``properties``."""
        after = {k: v for k, v in properties.items() if k not in self.remove_properties}
        after.update(self.set_properties)
        return after

    def tags_after(self, tags: Iterable[str]) -> set[str]:
        """The set of tags that results from applying this to ``tags``."""
        after = set(tags if self.tags is None else self.tags)
        after.update(self.add_tags)
        after.difference_update(self.remove_tags)
        return after


@dataclasses.dataclass(frozen=True, slots=True)
class RejectedChange(ImageChange):
    """A change that cannot be applied and fails with ``error``.

    The caller's rights are checked as for any other change before the error is raised, because
    the error says something about the image.
    """

    error: GlanceError = dataclasses.field(default_factory=GlanceError)


def without_data(image: Image) -> dict[str, None]:
    """The fields to set when data is on its way to a queued image.

    A queued image has the digests of data that was refused, if there was any.
    """
    if image.checksum is None and image.os_hash_value is None:
        return {}
    return dict.fromkeys(DIGEST_FIELDS)
