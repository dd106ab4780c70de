"""Ownership: only the project that owns an image changes it.

Stands behind the policy: an operator may forbid owners to do something, but cannot allow another
project to change an image.  Whether the caller sees the image has been checked before.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange, RejectedChange
from glance_py.domain.image import Image
from glance_py.domain.importing import ImportRequest
from glance_py.domain.ports import ImageOperations
from glance_py.domain.registration import Registration
from glance_py.domain.visibility import is_mutable, require_mutable, require_own_project
from glance_py.layers.base import ImageLayer
from glance_py.layers.checks import Check, CheckedLayer, Method, OwnMethod, Unchecked
from glance_py.layers.location_validation import is_service

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


@dataclasses.dataclass(frozen=True, slots=True)
class Owned(Check):
    """The image belongs to the caller's project, or the caller is an administrator."""

    def method(self, operation: str) -> Method:
        def checked(
            layer: OwnershipProxy, ctx: Caller, image: Image, *arguments: object, **named: object
        ) -> object:
            require_mutable(ctx, image)
            return getattr(layer.inner, operation)(ctx, image, *arguments, **named)

        return checked


_READ = Unchecked(reason="reads only")


class OwnershipProxy(CheckedLayer, ImageLayer):
    """Refuses changes of images of other projects, and the deletion of protected images.

    The last layer that checks rights: what is wrong with the request itself is found behind it.
    """

    checks = {
        "get": _READ,
        "resolve": _READ,
        "list": _READ,
        "create": OwnMethod(),
        "update": OwnMethod(),
        "delete": OwnMethod(),
        "upload": Owned(),
        "stage": Owned(),
        "download": _READ,
        "set_status": Owned(),
        "import_": OwnMethod(),
        "add_location": OwnMethod(),
        "list_locations": _READ,
        "delete_from_store": Owned(),
    }

    @classmethod
    def build(cls, inner: ImageOperations, deps: Dependencies) -> ImageOperations:
        return cls(inner)

    def create(self, ctx: Caller, image: Image) -> Image:
        require_own_project(ctx, image)
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

    def import_(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        """The policy alone decides who may copy an image to other stores."""
        if not request.is_copy:
            require_mutable(ctx, image)
        elif not is_mutable(ctx, image):
            ctx = ctx.elevated()
        self.inner.import_(ctx, image, request)

    def add_location(self, ctx: Caller, image: Image, registration: Registration) -> None:
        """Services add locations to images of all projects."""
        if not is_mutable(ctx, image) and is_service(ctx):
            ctx = ctx.elevated()
        else:
            require_mutable(ctx, image)
        self.inner.add_location(ctx, image, registration)
