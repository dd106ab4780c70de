"""The books of a cache: which image was read when, and how often.

A driver keeps them in a place of its own and touches no image.  Files count,
not books: what the books do not know is still served, and an entry without its
file is dropped when the service starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from glance_py.domain import errors
from glance_py.domain.cached_image import CachedImage


class BadDriverConfiguration(Exception):
    """The driver cannot work here; the text says why."""


class CacheDriver(Protocol):
    """The driver's interface; all of it may be called by many threads at once."""

    def add(self, image_id: str, size: int) -> None:
        """An image of ``size`` bytes has come into the cache; known ones start anew."""

    def hit(self, image_id: str, size: int) -> None:
        """It was read; an image that the books do not know is entered."""

    def remove(self, image_id: str) -> None:
        """It has left the cache, or was never there."""

    def entries(self) -> Sequence[CachedImage]:
        """Everything in this node's cache, in the order in which it came."""

    def nodes(self, image_id: str) -> list[str]:
        """The nodes that have an image in their caches, by URL.

        :raises errors.Conflict: these books know of one node only.
        """


class LocalCacheDriver:
    """What books have in common that are kept on the node itself."""

    def nodes(self, image_id: str) -> list[str]:
        """:raises errors.Conflict: always; these books know of one node only."""
        raise errors.Conflict(
            "The driver of the image cache does not know other nodes; "
            "image_cache_driver = centralized_db does."
        )
