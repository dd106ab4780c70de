"""Removing the data of images that were deleted, when its time has come.

Works on what the records call pending: data kept by ``delayed_delete``, and
data that could not be removed when its image was.  May be stopped at any moment
and run in several places; it decides nothing about images that are not deleted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from oslo_log import log as logging

from glance_py.domain import errors
from glance_py.domain.ports import PendingData, PendingRepository
from glance_py.layers.data_deletion import DataDeleter

LOG = logging.getLogger(__name__)

#: Locations that are looked at together.
PAGE_SIZE = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class ScrubResult:
    """What was done about one image: copies removed and left, and what speaks against those."""

    image_id: str
    removed: int
    left: int
    reason: str = ""


class Scrubber:
    """Removes pending data.

    :param stores: where the data is.
    :param threads: images that are worked on at the same time.
    """

    def __init__(self, stores, pending: PendingRepository, threads: int = 1) -> None:
        self._pending = pending
        self._deleter = DataDeleter(stores, pending)
        self._threads = threads

    def scrub(self, seconds: float, orphaned: bool = False) -> Iterator[ScrubResult]:
        """Remove data that has been pending for ``seconds``; tells of each image.

        :param orphaned: only data that is not kept by delayed_delete.
        """
        with contextlib.ExitStack() as stack:
            each: Callable[..., Iterator[ScrubResult]] = map
            if self._threads > 1:
                # Not for one: Python waits for a pool's threads at exit, however long.
                each = stack.enter_context(
                    ThreadPoolExecutor(self._threads, thread_name_prefix="scrubber")
                ).map
            after = 0
            while found := self._pending.find(seconds, after, PAGE_SIZE, orphaned):
                after = found[-1].location.id or 0
                yield from each(self._scrub_image, _group_by_image(found))

    def _scrub_image(self, found: Sequence[PendingData]) -> ScrubResult:
        image_id, reason = found[0].image_id, ""
        # First the record: whoever restores the image must not get one without its data.
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
        if found[0].image_status == "pending_delete":
            self._pending.complete_deletion(image_id)
        return ScrubResult(image_id, removed, len(locations) - removed, reason)

    def restore(self, image_id: str) -> None:
        """Bring an image back whose data was kept by delayed_delete.

        :raises errors.Conflict: there is no such image, or it is not pending_delete.
        :raises errors.CorruptImageData: its data is gone, or is being removed.
        """
        try:
            self._pending.restore(image_id, "active")
        except errors.ImageNotFound:
            raise errors.Conflict(
                f"Image {image_id} is not restored: there is no image with this id in the status "
                "pending_delete. Only an image that was deleted under delayed_delete comes back, "
                "until a scrubber has removed its data."
            ) from None


def _group_by_image(found: Sequence[PendingData]) -> Iterator[list[PendingData]]:
    by_id = sorted(found, key=lambda each: each.image_id)
    for _, group in itertools.groupby(by_id, key=lambda each: each.image_id):
        yield list(group)
