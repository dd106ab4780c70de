"""The innermost room of the members' onion: verbs on an image become records."""

from __future__ import annotations

from collections.abc import Sequence

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.member import STATUSES, Member
from glance_py.domain.ports import MEMBER_VERBS
from glance_py.layers.base import Proxy


class MemberRepository(Proxy):
    """Finds, writes and drops members of one image by project id."""

    verbs = MEMBER_VERBS

    def list(self, ctx: Caller, image: Image) -> Sequence[Member]:
        return self.below.find(ctx, image.id)

    def get(self, ctx: Caller, image: Image, member_id: str) -> Member:
        return self.find(ctx, image, member_id)

    def find(self, ctx: Caller, image: Image, member_id: str) -> Member:
        for member in self.below.find(ctx, image.id, member_id):
            return member
        raise errors.MemberNotFound(member_id, image.id)

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        return self.below.create(ctx, image.id, member_id)

    def update(self, ctx: Caller, image: Image, member: Member, status: str) -> Member:
        """:raises errors.Invalid: a status that there is not; said only to who may set one."""
        if status not in STATUSES:
            raise errors.Invalid(f"The status must be one of {', '.join(STATUSES)}.")
        return self.below.update(ctx, member, status)

    def delete(self, ctx: Caller, image: Image, member: Member) -> None:
        self.below.delete(ctx, member)
