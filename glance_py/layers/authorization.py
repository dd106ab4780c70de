"""Ownership: may this project see the image, may it change it?

The outermost layer.  It compares the caller with the owner, the visibility and
the membership, and with nothing else: what the operator allows is the business
of the policy layer behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from glance_py.domain import errors
from glance_py.domain.change import Change
from glance_py.domain.image import Image
from glance_py.domain.importing import ImportRequest
from glance_py.domain.member import Member
from glance_py.domain.ports import IMAGE_VERBS, MEMBER_VERBS, Upload
from glance_py.domain.registration import Registration
from glance_py.domain.visibility import is_mutable, is_visible
from glance_py.layers.address import is_service
from glance_py.layers.base import Proxy


def require_mutable(ctx, image: Image) -> None:
    """:raises errors.Forbidden: the image is another project's, or nobody's."""
    if not is_mutable(ctx, image):
        raise errors.Forbidden(f"You do not own image {image.id}.")


class AuthorizationProxy(Proxy):
    """Images of other projects are seen when visible and never changed."""

    verbs = IMAGE_VERBS

    @classmethod
    def build(cls, below, services):
        return cls(below)

    def get(self, ctx, image_id: str) -> Image:
        return self._visible(ctx, self.below.get(ctx, image_id))

    def find(self, ctx, image_id: str) -> Image:
        return self._visible(ctx, self.below.find(ctx, image_id))

    @staticmethod
    def _visible(ctx, image: Image) -> Image:
        if not is_visible(ctx, image):
            raise errors.ImageNotFound(image.id)
        return image

    def create(self, ctx, image: Image) -> Image:
        if not ctx.is_admin and image.owner != ctx.project_id:
            raise errors.Forbidden(
                f"You are not permitted to create images owned by '{image.owner}'."
            )
        return self.below.create(ctx, image)

    def update(self, ctx, image: Image, change: Change) -> Image:
        require_mutable(ctx, image)
        if not ctx.is_admin and change.fields.get("owner", image.owner) != image.owner:
            raise errors.Forbidden("Only an administrator may give an image another owner.")
        return self.below.update(ctx, image, change)

    def delete(self, ctx, image: Image) -> None:
        require_mutable(ctx, image)
        if image.protected:
            raise errors.Protected(image.id)
        self.below.delete(ctx, image)

    def upload(self, ctx, image: Image, upload: Upload) -> Image:
        require_mutable(ctx, image)
        return self.below.upload(ctx, image, upload)

    def stage(self, ctx, image: Image, upload: Upload) -> Image:
        require_mutable(ctx, image)
        return self.below.stage(ctx, image, upload)

    def import_(self, ctx, image: Image, request: ImportRequest) -> None:
        if not request.copies:  # who may copy is for the operator to say
            require_mutable(ctx, image)
        self.below.import_(ctx, image, request)

    def register(self, ctx, image: Image, registration: Registration) -> None:
        if not is_service(ctx):
            require_mutable(ctx, image)
        self.below.register(ctx, image, registration)

    def withdraw(self, ctx, image: Image, store: str) -> Image:
        require_mutable(ctx, image)
        return self.below.withdraw(ctx, image, store)

    def transition(self, ctx, image: Image, to: str) -> Image:
        require_mutable(ctx, image)
        return self.below.transition(ctx, image, to)


class MemberAuthorizationProxy(Proxy):
    """Only shared images have members.

    The owner sees and rules the list; a member sees itself and decides whether
    it accepts.
    """

    verbs = MEMBER_VERBS

    @classmethod
    def build(cls, below, services):
        return cls(below)

    @staticmethod
    def _require_shared(image: Image) -> None:
        if image.visibility != "shared":
            raise errors.Forbidden("Only shared images have members.")

    @staticmethod
    def _require_owner(ctx, image: Image) -> None:
        if not is_mutable(ctx, image):
            raise errors.Forbidden("Only the owner of an image decides with whom it is shared.")

    def list(self, ctx, image: Image) -> Sequence[Member]:
        self._require_shared(image)
        members = self.below.list(ctx, image)
        if is_mutable(ctx, image):
            return members
        return [member for member in members if member.member_id == ctx.project_id]

    def get(self, ctx, image: Image, member_id: str) -> Member:
        self._require_shared(image)
        if member_id != ctx.project_id and not is_mutable(ctx, image):
            raise errors.MemberNotFound(member_id, image.id)
        return self.below.get(ctx, image, member_id)

    def create(self, ctx, image: Image, member_id: str) -> Member:
        self._require_shared(image)
        self._require_owner(ctx, image)
        return self.below.create(ctx, image, member_id)

    def update(self, ctx, image: Image, member: Member, status: str) -> Member:
        self._require_shared(image)
        if not ctx.is_admin and member.member_id != ctx.project_id:
            raise errors.Forbidden("Only the member itself accepts or rejects an image.")
        return self.below.update(ctx, image, member, status)

    def delete(self, ctx, image: Image, member: Member) -> None:
        self._require_shared(image)
        self._require_owner(ctx, image)
        self.below.delete(ctx, image, member)
