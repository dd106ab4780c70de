"""What holds whatever the policy allows: which callers see an image, its data and its members.

The outermost layers.  They compare the caller with owner, visibility and membership, and look
whether the image is deactivated.  What the operator allows is checked by the policy layer behind,
and whether the caller may change the image by the ownership layer behind that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, ImageStatus, Location, Visibility
from glance_py.domain.member import Member
from glance_py.domain.ports import Data, Download, ImageOperations, MemberOperations
from glance_py.domain.visibility import (
    check_owner_change,
    foreign_membership_error,
    is_mutable,
    require_own_membership,
    require_visible,
)
from glance_py.layers.base import ImageLayer, MemberLayer
from glance_py.layers.checks import CheckedLayer, OwnMethod, Unchecked

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

_RESOLVED = Unchecked(reason="the caller got the image from resolve, which checks visibility")


class AuthorizationProxy(CheckedLayer, ImageLayer):
    """Hides invisible images, and the data and locations of deactivated ones."""

    checks = {
        "get": OwnMethod(),
        "resolve": OwnMethod(),
        "list": Unchecked(reason="the DAL lists visible images only"),
        "create": Unchecked(reason="there is no image yet"),
        "update": OwnMethod(),
        "delete": _RESOLVED,
        "upload": _RESOLVED,
        "stage": _RESOLVED,
        "download": OwnMethod(),
        "set_status": _RESOLVED,
        "import_": _RESOLVED,
        "add_location": _RESOLVED,
        "list_locations": OwnMethod(),
        "delete_from_store": _RESOLVED,
    }

    @classmethod
    def build(cls, inner: ImageOperations, deps: Dependencies) -> ImageOperations:
        return cls(inner)

    def get(self, ctx: Caller, image_id: str) -> Image:
        image = self.inner.get(ctx, image_id)
        require_visible(ctx, image)
        return image

    def resolve(self, ctx: Caller, image_id: str) -> Image:
        image = self.inner.resolve(ctx, image_id)
        require_visible(ctx, image)
        return image

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        if "owner" in change.fields:
            check_owner_change(ctx, image, change.fields["owner"])
        return self.inner.update(ctx, image, change)

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        if image.status == ImageStatus.DEACTIVATED and not ctx.is_admin:
            raise errors.Forbidden(f"Image {image.id} is deactivated; its data cannot be read.")
        return self.inner.download(ctx, image, request)

    def list_locations(self, ctx: Caller, image: Image) -> Sequence[Location]:
        locations = self.inner.list_locations(ctx, image)
        is_hidden = image.status == ImageStatus.DEACTIVATED and not ctx.is_admin
        return [] if is_hidden else locations


class MemberAuthorizationProxy(CheckedLayer, MemberLayer):
    """Only shared images have members.

    The owner sees all members, adds and removes them; a member sees itself and accepts or
    rejects the image.  The policy decides who may add a member, unless the operator uses the old
    defaults of the rules, which do not compare the caller with the owner.

    :param only_owner_shares: only the owner may add members.
    """

    checks = {name: OwnMethod() for name in MemberLayer.operations}

    def __init__(self, inner: MemberOperations, only_owner_shares: bool) -> None:
        super().__init__(inner)
        self._only_owner_shares = only_owner_shares

    @classmethod
    def build(cls, inner: MemberOperations, deps: Dependencies) -> MemberOperations:
        return cls(inner, not deps.settings.policy.enforce_new_defaults)

    @staticmethod
    def _require_shared(image: Image) -> None:
        if image.visibility != Visibility.SHARED:
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
        # wire: a refusal of the policy is answered before it is looked whether the member exists
        # (tests/unit/layers/test_access.py, MemberAccessTest).
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
        require_own_membership(ctx, member)
        if image.owner == ctx.project_id and not ctx.is_admin:
            raise foreign_membership_error()
        return self.inner.update(ctx, image, member, status)

    def delete(self, ctx: Caller, image: Image, member: Member) -> None:
        self._require_shared(image)
        self._require_owner(ctx, image)
        self.inner.delete(ctx, image, member)
