"""What projects occupy, as the records know it."""

from __future__ import annotations

from typing import Protocol


class UsageRepository(Protocol):
    """What a project occupies, for quotas.  Sizes in bytes.

    Whatever is decided by these numbers alone may be wrong a moment later; a
    :class:`~glance_py.domain.quota.QuotaReservation` is not.
    """

    def storage(self, owner: str | None, without: str | None = None) -> int:
        """Bytes of all copies of the owner's images, those that are coming included.

        :param without: an image to leave out.
        """

    def staging(self, owner: str | None) -> int:
        """Bytes of images that are uploading, importing or being copied."""

    def images(self, owner: str | None) -> int:
        """How many images the owner has."""

    def uploading(self, owner: str | None) -> int:
        """How many images are saving, uploading, importing or being copied."""
