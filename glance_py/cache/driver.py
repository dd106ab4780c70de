"""Cache drivers: when each image in the cache was read, and how often.

The files of the cache are authoritative.  An image without an entry is served, and
``ImageCache.reconcile`` drops entries without a file when the service starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from glance_py.domain import errors
from glance_py.domain.cached_image import CachedImage


class BadDriverConfiguration(Exception):
    """The driver cannot be used on this host; the text says why."""


class CacheDriver(Protocol):
    """The entries of one host's cache.  Safe in threads."""

    def add(self, image_id: str, size: int) -> None:
        """Add an entry for an image of ``size`` bytes, with no hits; it replaces an older one."""

    def hit(self, image_id: str, size: int) -> None:
        """Count a read of an image; adds an entry when there is none."""

    def remove(self, image_id: str) -> None:
        """Remove the entry of an image, if there is one."""

    def entries(self) -> Sequence[CachedImage]:
        """All entries of this host, the oldest first."""

    def nodes(self, image_id: str) -> list[str]:
        """The URLs of all hosts that have an image in their caches.

        :raises errors.Conflict: the driver has the entries of one host only.
        """


class LocalCacheDriver:
    """Base of the drivers that keep their entries on the host."""

    def nodes(self, image_id: str) -> list[str]:
        """:raises errors.Conflict: always."""
        raise errors.Conflict(
            "The driver of the image cache does not know other nodes; "
            "image_cache_driver = centralized_db does."
        )
