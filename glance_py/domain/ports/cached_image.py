"""What the caches of all nodes hold, as the records know it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from glance_py.domain.cached_image import CachedImage


class CachedImageRepository(Protocol):
    """Which node has which images in its cache.  Sizes in bytes, nodes by number."""

    def get_or_create_node(self, url: str) -> int:
        """The number of the node with this URL; a new one is recorded."""

    def add(self, node: int, image_id: str, size: int) -> None:
        """A node has an image; what was known of it is forgotten."""

    def hit(self, node: int, image_id: str, size: int) -> None:
        """An image was read on a node; one that is not known there is entered."""

    def remove(self, node: int, image_id: str) -> None:
        """A node does not have an image, or not any more."""

    def entries(self, node: int) -> Sequence[CachedImage]:
        """What a node has, in the order in which it came."""

    def nodes(self, image_id: str) -> list[str]:
        """The URLs of the nodes that have an image."""

    def import_entries(self, node: int, images: Iterable[CachedImage]) -> None:
        """Enter what a node knew of its images before; images that are known stay."""
