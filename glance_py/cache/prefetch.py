"""Fetches queued images into the cache, one after the other.

The queue is a directory of marker files: it survives restarts.  An image that cannot be fetched
stays in the queue and is tried again after RETRY_INTERVAL; one that does not exist is removed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from glance_py.cache.image_cache import ImageCache
from glance_py.domain import errors
from glance_py.domain.image import Image, ImageStatus
from glance_store_py.process import PerProcess, start_thread

LOG = logging.getLogger(__name__)

#: Seconds until an image that could not be fetched is tried again.
RETRY_INTERVAL = 300.0


class Prefetcher:
    """Fetches in at most one thread per process, started when an image is queued.

    :param get_image: the image with an id; raises errors.NotFound when there is none.
    """

    def __init__(self, cache: ImageCache, get_image: Callable[[str], Image]) -> None:
        self._cache = cache
        self._get_image = get_image
        self._wakeup = threading.Event()
        self._thread = PerProcess(lambda: start_thread("cache prefetch", self._run))
        cache.on_enqueue(self.wake)

    def wake(self) -> None:
        """Have the thread look at the queue.  Returns at once."""
        self._wakeup.set()
        self._thread.get()

    def resume(self) -> None:
        """Fetch what was queued before this process started."""
        if self._cache.queued():
            self.wake()

    def _run(self) -> None:
        while True:
            self._wakeup.wait(RETRY_INTERVAL)
            self._wakeup.clear()
            try:
                self.run()
            except Exception:
                LOG.exception("Fetching queued images failed; will try again")

    def run(self) -> tuple[int, int]:
        """Try each queued image once; returns how many were fetched, and how many were not."""
        fetched = failed = 0
        for image_id in self._cache.queued():
            if self._fetch(image_id):
                fetched += 1
                self._cache.dequeue(image_id)
            else:
                failed += 1
        return fetched, failed

    def _fetch(self, image_id: str) -> bool:
        try:
            image = self._get_image(image_id)
        except errors.NotFound:
            LOG.warning("The queued image %s does not exist; it is not cached", image_id)
            self._cache.dequeue(image_id)
            return False
        except errors.GlanceError as error:
            LOG.warning("The queued image %s cannot be looked up: %s", image_id, error)
            return False
        if image.status != ImageStatus.ACTIVE:
            LOG.warning(
                "The queued image %s is %s, not active; it stays in the queue",
                image_id,
                image.status,
            )
            return False
        return self._cache.fetch(image)
