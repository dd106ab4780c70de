"""Removal of staged data that no image needs."""

from __future__ import annotations

from glance_py.context import get_admin_context
from glance_py.domain import errors
from glance_py.domain.image import ImageStatus
from glance_py.domain.importing import LOCK_PROPERTY
from glance_py.domain.ports import Repositories
from glance_py.importing.staging import StagedObject, StagingArea

#: Seconds without a write after which staged data of an image that exists may be removed.
IDLE_SECONDS = 10.0


class StagingRecovery:
    """Removes staged objects whose image is deleted or does not need them."""

    def __init__(self, repositories: Repositories, staging: StagingArea) -> None:
        self._repositories = repositories
        self._staging = staging

    def recover(self) -> list[str]:
        """Remove what no image needs; returns a log line for each object."""
        done = []
        for staged in list(self._staging.list()):
            reason = self._unneeded_reason(staged)
            if reason is not None and self._staging.remove_if_idle(
                staged.name, 0.0 if reason == "gone" else IDLE_SECONDS
            ):
                done.append(f"Removed staged data {staged.name}: the image is {reason}")
        return done

    def _unneeded_reason(self, staged: StagedObject) -> str | None:
        """The status of an image that does not need ``staged``; "gone", or None when it does."""
        try:
            image = self._repositories.images.get(get_admin_context(), staged.image_id)
        except errors.ImageNotFound:
            return "gone"
        claim = self._repositories.claims.get(image.id)
        generations = {1} if claim is None else {claim.staged}
        is_held = claim is not None and claim.holder != ""
        if claim is not None and is_held:
            generations.add(claim.generation)
        needs_data = (
            is_held
            or LOCK_PROPERTY in image.properties
            or image.status in (ImageStatus.UPLOADING, ImageStatus.IMPORTING)
        )
        return None if needs_data and staged.generation in generations else image.status
