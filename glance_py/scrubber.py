"""Removal of the data of deleted images.

That is data that ``delayed_delete`` keeps for a time, and data that could not be removed together
with its image; the database lists it as pending.  Several scrubbers may run at the same time, and
each may be killed at any moment; none touches data of images that are not deleted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from oslo_log import log as logging

from glance_py.domain import errors
from glance_py.domain.image import ImageStatus
from glance_py.domain.ports import PendingData, PendingRepository
from glance_py.layers.data_deletion import DataDeleter
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)

#: The number of locations that are read from the database at once.
PAGE_SIZE = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class ScrubResult:
    """The number of copies of one image that were removed and left, and why some were left."""

    image_id: str
    removed: int
    left: int
    reason: str = ""


class Scrubber:
    """Removes pending data.

    :param threads: so many images are processed at the same time.
    """

    def __init__(self, stores: Stores, pending: PendingRepository, threads: int = 1) -> None:
        self._pending = pending
        self._deleter = DataDeleter(stores, pending)
        self._threads = threads

    def scrub(self, seconds: float, orphaned: bool = False) -> Iterator[ScrubResult]:
        """Remove data that has been pending for ``seconds``; yields a result for each image.

        :param orphaned: remove only data that delayed_delete does not keep.
        """
        with contextlib.ExitStack() as stack:
            each: Callable[..., Iterator[ScrubResult]] = map
            if self._threads > 1:
                # Not for one thread: at its exit Python waits for the threads of a pool.
                each = stack.enter_context(
                    ThreadPoolExecutor(self._threads, thread_name_prefix="scrubber")
                ).map
            after = 0
            while found := self._pending.find(seconds, after, PAGE_SIZE, orphaned):
                after = found[-1].location.id or 0
                yield from each(self._scrub_image, _group_by_image(found))

    def _scrub_image(self, found: Sequence[PendingData]) -> ScrubResult:
        """Remove the pending data of one image."""
        image_id, reason = found[0].image_id, ""
        # First the record, so that the image cannot be restored without its data.
        locations = [each.location for each in found]
        pending = set(self._pending.begin_removal(locations))
        locations = [location for location in locations if location.id in pending]
        try:
            removed = self._deleter.delete(image_id, locations)
            if removed < len(locations):
                reason = "The store failed; its error is in the log."
        except errors.ImageInUse as error:
            removed, reason = 0, str(error)
            self._pending.cancel_removal(
                [location for location in locations if location in error.kept]
            )
        if found[0].image_status == ImageStatus.PENDING_DELETE:
            self._pending.complete_deletion(image_id)
        return ScrubResult(image_id, removed, len(locations) - removed, reason)

    def restore(self, image_id: str) -> None:
        """Undo the deletion of an image whose data delayed_delete has kept.

        :raises errors.Conflict: no image in the status pending_delete has this id.
        :raises errors.CorruptImageData: its data is removed, or is being removed.
        """
        try:
            self._pending.restore(image_id, ImageStatus.ACTIVE)
        except errors.ImageNotFound:
            raise errors.Conflict(
                f"Image {image_id} is not restored: there is no image with this id in the status "
                "pending_delete. Only an image that was deleted under delayed_delete comes back, "
                "until a scrubber has removed its data."
            ) from None


def _group_by_image(found: Sequence[PendingData]) -> Iterator[list[PendingData]]:
    """Lists of the data of one image each."""
    by_id = sorted(found, key=lambda each: each.image_id)
    for _, group in itertools.groupby(by_id, key=lambda each: each.image_id):
        yield list(group)
