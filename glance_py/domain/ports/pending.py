"""Data that is to be deleted from stores, as the DAL records it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Protocol

from glance_py.domain.image import Location


@dataclasses.dataclass(frozen=True, slots=True)
class PendingData:
    """Data that is to be deleted: its image, the status of the image, and the location."""

    image_id: str
    image_status: str
    location: Location


class PendingRepository(Protocol):
    """The DAL for data that is to be deleted.  A row is kept until its data is deleted."""

    def find(
        self, seconds: float, after: int = 0, limit: int = 100, orphaned: bool = False
    ) -> Sequence[PendingData]:
        """At most ``limit`` rows that are older than ``seconds``, from row ``after`` on.

        :param orphaned: only rows of images that the scrubber does not delete.
        """

    def add(self, image_id: str, location: Location) -> None:
        """Record data that no location names and that could not be deleted."""

    def begin_removal(self, locations: Collection[Location]) -> Sequence[int]:
        """Keep ``restore`` from restoring these locations, whose data will be deleted.

        :returns: the ids of the locations whose data may be deleted.
        """

    def cancel_removal(self, locations: Collection[Location]) -> None:
        """Undo :meth:`begin_removal`: the data was not deleted."""

    def mark_deleted(self, locations: Collection[Location]) -> None:
        """Record that the data at these locations is deleted."""

    def unmark(self, locations: Collection[Location]) -> None:
        """Record that the data at these locations is not to be deleted."""

    def complete_deletion(self, image_id: str) -> bool:
        """Set an image to deleted; returns False when some of its data is left."""

    def restore(self, image_id: str, status: str, was: str = "pending_delete") -> None:
        """Undo the deletion of an image.

        :param status: the status that it gets.
        :param was: the status that its deletion set.
        :raises errors.ImageNotFound: there is no image in that status.
        :raises errors.CorruptImageData: its data is deleted or being deleted.
        """

    def is_shared(self, image_id: str, url: str) -> bool:
        """True when a location of another image has this URL."""

    def statuses_at(self, image_id: str, url: str) -> Collection[str]:
        """The statuses (active, pending_delete) of the image's locations with this URL."""

    def any_exist(self, ids: Collection[str]) -> bool:
        """True when one of these is the id of an image whose data may exist."""
