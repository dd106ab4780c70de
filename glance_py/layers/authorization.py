"""What holds whatever the operator allows: who sees an image, and what it says of itself.

The outermost layer.  It compares the caller with the owner, the visibility and
the membership, and looks whether the image is deactivated.  What
the operator allows is the business of the policy layer behind it, and who may
change an image that of the ownership layer behind that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.member import Member
from glance_py.domain.ports import Data, Download, ImageOperations, MemberOperations
from glance_py.domain.visibility import is_mutable, is_visible
from glance_py.layers.base import ImageLayer, MemberLayer

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


class AuthorizationProxy(ImageLayer):
    """Images are seen when visible, and their data is found when they are not deactivated."""

    @classmethod
    def build(cls, inner: ImageOperations, deps: Dependencies) -> ImageOperations:
        return cls(inner)

    def get(self, ctx: Caller, image_id: str) -> Image:
        return self._visible(ctx, self.inner.get(ctx, image_id))

    def resolve(self, ctx: Caller, image_id: str) -> Image:
        return self._visible(ctx, self.inner.resolve(ctx, image_id))

    @staticmethod
    def _visible(ctx: Caller, image: Image) -> Image:
        if not is_visible(ctx, image):
            raise errors.ImageNotFound(image.id)
        return image

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        if (
            "owner" in change.fields
            and not ctx.is_admin
            and not (change.fields["owner"] == image.owner and is_mutable(ctx, image))
        ):
            raise errors.Forbidden("Only an administrator may give an image another owner.")
        return self.inner.update(ctx, image, change)

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        if image.status == "deactivated" and not ctx.is_admin:
            raise errors.Forbidden(f"Image {image.id} is deactivated; its data cannot be read.")
        return self.inner.download(ctx, image, request)

    def list_locations(self, ctx: Caller, image: Image) -> Sequence[Location]:
        locations = self.inner.list_locations(ctx, image)
        return [] if image.status == "deactivated" and not ctx.is_admin else locations


class MemberAuthorizationProxy(MemberLayer):
    """Only shared images have members.

    The owner sees and rules the list; a member sees itself and decides whether
    it accepts.  Who may share an image the policy says, unless the operator went
    back to the old defaults, which do not know owners.
    """

    def __init__(self, inner: MemberOperations, only_owner_shares: bool) -> None:
        super().__init__(inner)
        self._only_owner_shares = only_owner_shares

    @classmethod
    def build(cls, inner: MemberOperations, deps: Dependencies) -> MemberOperations:
        return cls(inner, not deps.settings.policy.enforce_new_defaults)

    @staticmethod
    def _require_shared(image: Image) -> None:
        if image.visibility != "shared":
            raise errors.Forbidden("Only shared images have members.")

    @staticmethod
    def _require_owner(ctx: Caller, image: Image) -> None:
        if not is_mutable(ctx, image):
            raise errors.Forbidden("Only the owner of an image decides with whom it is shared.")

    def list(self, ctx: Caller, image: Image) -> Sequence[Member]:
        self._require_shared(image)
        members = self.inner.list(ctx, image)
        if is_mutable(ctx, image):
            return members
        return [member for member in members if member.member_id == ctx.project_id]

    def get(self, ctx: Caller, image: Image, member_id: str) -> Member:
        self._require_visible(ctx, image, member_id)
        return self.inner.get(ctx, image, member_id)

    def resolve(self, ctx: Caller, image: Image, member_id: str) -> Member:
        # wire: what the rules refuse is said before whether the member is there.
        self._require_shared(image)
        member = self.inner.resolve(ctx, image, member_id)
        self._require_visible(ctx, image, member_id)
        return member

    def _require_visible(self, ctx: Caller, image: Image, member_id: str) -> None:
        self._require_shared(image)
        if member_id != ctx.project_id and not is_mutable(ctx, image):
            raise errors.MemberNotFound(member_id, image.id)

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        self._require_shared(image)
        if self._only_owner_shares:
            self._require_owner(ctx, image)
        elif not is_mutable(ctx, image):
            ctx = ctx.elevated()
        return self.inner.create(ctx, image, member_id)

    def update(self, ctx: Caller, image: Image, member: Member, status: str) -> Member:
        self._require_shared(image)
        if not ctx.is_admin and (
            member.member_id != ctx.project_id or image.owner == ctx.project_id
        ):
            raise errors.Forbidden("Only the member itself accepts or rejects an image.")
        return self.inner.update(ctx, image, member, status)

    def delete(self, ctx: Caller, image: Image, member: Member) -> None:
        self._require_shared(image)
        self._require_owner(ctx, image)
        self.inner.delete(ctx, image, member)
