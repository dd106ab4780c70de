"""Data that is to be removed, as the records know it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Protocol

from glance_py.domain.image import Location


@dataclasses.dataclass(frozen=True, slots=True)
class PendingData:
    """Bytes that are to be removed: of which image, in which state that is, and where."""

    image_id: str
    image_status: str
    location: Location


class PendingRepository(Protocol):
    """The DAL for data that is to be removed: nothing is forgotten before it is gone.

    ``restore`` raises ImageNotFound when there is no such deleted image, and
    CorruptImageData when its data is gone or going.
    """

    def find(
        self, seconds: float, after: int = 0, limit: int = 100, orphaned: bool = False
    ) -> Sequence[PendingData]:
        """What has been waiting for ``seconds``, from row ``after`` on.

        ``orphaned``: only what belongs to no image that waits for the scrubber.
        """

    def add(self, image_id: str, location: Location) -> None:
        """Data that was never recorded could not be removed; it is to be removed later."""

    def begin_removal(self, locations: Collection[Location]) -> Sequence[int]:
        """From now on ``restore`` leaves these locations alone: their data may be removed.

        The ids of those that are still to be removed; of others it must not be.
        """

    def cancel_removal(self, locations: Collection[Location]) -> None:
        """The data at these locations was not removed, and ``restore`` may have it."""

    def mark_deleted(self, locations: Collection[Location]) -> None:
        """The data at these locations is gone."""

    def unmark(self, locations: Collection[Location]) -> None:
        """The data at these locations stays after all."""

    def complete_deletion(self, image_id: str) -> bool:
        """Call an image deleted when nothing of it is left; False when something is."""

    def restore(self, image_id: str, status: str, was: str = "pending_delete") -> None:
        """Undo the deletion of an image, which left it in state ``was``."""

    def is_shared(self, image_id: str, url: str) -> bool:
        """Does another image have its data at this address?"""

    def statuses_at(self, image_id: str, url: str) -> Collection[str]:
        """Of the image's own locations with this address: active, pending_delete, or both."""

    def any_exist(self, ids: Collection[str]) -> bool:
        """Is one of these the id of an image whose data may be there?"""
