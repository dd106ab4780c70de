"""Fetches queued images into the cache, one after the other.

The queue is a directory of markers, so it survives restarts and has no limit
that matters.  An image that cannot be fetched stays in it and is tried again
later; one that does not exist any more leaves it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from glance_py.cache.image_cache import ImageCache
from glance_py.domain import errors
from glance_py.domain.image import Image

LOG = logging.getLogger(__name__)

#: Seconds until what failed is tried again.
RETRY_INTERVAL = 300.0


class Prefetcher:
    """At most one thread per process, started when there is something to do.

    :param get_image: the image with an id, whoever owns it.
    """

    def __init__(self, cache: ImageCache, get_image: Callable[[str], Image]) -> None:
        self._cache = cache
        self._get_image = get_image
        self._lock = threading.Lock()
        self._wakeup = threading.Event()
        self._pid: int | None = None
        cache.on_enqueue(self.wake)

    def wake(self) -> None:
        """There may be something in the queue.  Returns at once."""
        self._wakeup.set()
        with self._lock:
            # Threads do not survive a fork.
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._run, name="cache prefetch", daemon=True).start()

    def resume(self) -> None:
        """Go on with what an earlier process left in the queue."""
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
        """Try everything in the queue once: how many were fetched, how many were not."""
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
        if image.status != "active":
            LOG.warning(
                "The queued image %s is %s, not active; it stays in the queue",
                image_id,
                image.status,
            )
            return False
        return self._cache.fetch(image)
