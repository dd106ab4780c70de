"""What shall differ in an image, as a value.

Layers look at a change before it is applied; the DAL applies it whole or not
at all.  Only what is named changes, so two callers who change different things
at the same time both succeed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Self

from glance_py.domain.claim import ClaimRelease, ClaimRequest
from glance_py.domain.errors import GlanceError
from glance_py.domain.image import DIGEST_FIELDS, Image, Location
from glance_py.domain.quota import QuotaReservation


@dataclasses.dataclass(slots=True)
class ImageChange:
    """A description of an update.

    fields
        Columns of the image row to set, by name (``name``, ``status`` ...).
    set_properties, remove_properties
        Custom properties to write and to drop.
    tags
        The whole new list of tags, or None to leave it; ``add_tags`` and
        ``remove_tags`` touch single ones without reading the others.
    add_locations, remove_locations, update_locations
        Copies of the data to record, forget (by ``Location.id``; None: a copy
        that does not exist, which the layers refuse) or rewrite
        (metadata and status, found by ``Location.id``).
    location_indexes
        Where each of ``add_locations`` is put into the list of the answer, in
        this order; empty: at the end.  Readers later find them at the end.
    expected
        The states in which the image must be for the change to happen; the
        DAL compares and sets in one statement and raises Conflict otherwise.
    acquire
        The claim that is taken in the same transaction; the answer's ``grant`` tells the
        generation.  Raises ImageBusy, or ImportActive, when somebody else works on the image.
    holder
        The change happens only while this holder has the claim of the image; otherwise
        ClaimLost is raised.  Every change that an attempt makes names its holder.
    release
        How ``holder`` gives the claim back in the same transaction, None when it keeps it.
    reservation
        The room that the project must have for it.
    """

    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    set_properties: dict[str, str] = dataclasses.field(default_factory=dict)
    remove_properties: set[str] = dataclasses.field(default_factory=set)
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
        """A guarded transition to ``to``, with other fields set along with it."""
        states = {expected} if isinstance(expected, str) else expected
        return cls(fields={"status": to, **fields}, expected=frozenset(states))

    def clear_data(self, image: Image) -> None:
        """Data is on its way to a queued image: what data that was refused left there, goes."""
        self.remove_locations = (*self.remove_locations, *image.locations)
        self.fields = {**without_data(image), **self.fields}

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


@dataclasses.dataclass(slots=True)
class RejectedChange(ImageChange):
    """What somebody asked for and cannot have: ``error`` says why.

    It is judged like any other change as far as rights go, so that the error,
    which tells about the image, is told only to those who may change it.
    """

    error: GlanceError = dataclasses.field(default_factory=GlanceError)


def without_data(image: Image) -> dict[str, None]:
    """The fields to set when data is on its way to a queued image.

    A queued image has the digests of data that was refused, if there was any.
    """
    if image.checksum is None and image.os_hash_value is None:
        return {}
    return dict.fromkeys(DIGEST_FIELDS)
