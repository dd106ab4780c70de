"""Ownership: is the image this project's to change?

Stands behind the policy: an operator may forbid owners, but allows nobody to
change what belongs to others.  Whether a caller sees an image at all has been
judged before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange, RejectedChange
from glance_py.domain.image import Image
from glance_py.domain.importing import ImportRequest
from glance_py.domain.ports import ImageOperations, Upload
from glance_py.domain.registration import Registration
from glance_py.domain.visibility import is_mutable
from glance_py.layers.base import ImageLayer
from glance_py.layers.location_validation import is_service

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


def require_mutable(ctx: Caller, image: Image) -> None:
    """:raises errors.Forbidden: the image is another project's, or nobody's."""
    if not is_mutable(ctx, image):
        raise errors.Forbidden(f"You do not own image {image.id}.")


def foreign_owner_error(image: Image) -> errors.Forbidden:
    """What is said to one who would create an image for another project."""
    return errors.Forbidden(f"You are not permitted to create images owned by '{image.owner}'.")


class OwnershipProxy(ImageLayer):
    """Images of other projects are never changed; protected ones are not deleted.

    The last room that judges rights: what is wrong with the image itself comes after it.
    """

    @classmethod
    def build(cls, inner: ImageOperations, deps: Dependencies) -> ImageOperations:
        return cls(inner)

    def create(self, ctx: Caller, image: Image) -> Image:
        if not ctx.is_admin and image.owner != ctx.project_id:
            raise foreign_owner_error(image)
        return self.inner.create(ctx, image)

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        require_mutable(ctx, image)
        if isinstance(change, RejectedChange):
            raise change.error
        return self.inner.update(ctx, image, change)

    def delete(self, ctx: Caller, image: Image) -> None:
        require_mutable(ctx, image)
        if image.protected:
            raise errors.ImageProtected(image.id)
        self.inner.delete(ctx, image)

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        require_mutable(ctx, image)
        return self.inner.upload(ctx, image, upload)

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        require_mutable(ctx, image)
        return self.inner.stage(ctx, image, upload)

    def import_(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        if not request.is_copy:
            require_mutable(ctx, image)
        elif not is_mutable(ctx, image):  # who may copy is for the operator to say
            ctx = ctx.elevated()
        self.inner.import_(ctx, image, request)

    def add_location(self, ctx: Caller, image: Image, registration: Registration) -> None:
        if not is_mutable(ctx, image) and is_service(ctx):
            ctx = ctx.elevated()
        else:
            require_mutable(ctx, image)
        self.inner.add_location(ctx, image, registration)

    def delete_from_store(self, ctx: Caller, image: Image, store: str) -> Image:
        require_mutable(ctx, image)
        return self.inner.delete_from_store(ctx, image, store)

    def set_status(self, ctx: Caller, image: Image, to: str) -> Image:
        require_mutable(ctx, image)
        return self.inner.set_status(ctx, image, to)
