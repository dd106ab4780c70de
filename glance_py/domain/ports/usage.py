"""What projects use of the limited resources, as the DAL counts it."""

from __future__ import annotations

from typing import Protocol


class UsageRepository(Protocol):
    """What a project uses, for quotas; one method per resource of ``domain.quota.RESOURCES``.

    Sizes in bytes.  A number may change as soon as it is returned: to enforce a limit takes a
    :class:`~glance_py.domain.quota.QuotaReservation`.
    """

    def storage(self, owner: str | None, without: str | None = None) -> int:
        """Bytes of all copies of the owner's images, including copies that are being written.

        :param without: the id of an image that is not counted.
        """

    def staging(self, owner: str | None) -> int:
        """Bytes of images that are uploading, importing or being copied."""

    def images(self, owner: str | None) -> int:
        """How many images the owner has."""

    def uploading(self, owner: str | None) -> int:
        """How many images are saving, uploading, importing or being copied."""
