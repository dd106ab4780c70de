"""The innermost layer of members: adapts the operations to the member repository."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.member import STATUSES, Member
from glance_py.domain.ports import MEMBER_OPERATIONS, MemberOperations, MemberRepository
from glance_py.layers.base import Proxy

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


class MemberAdapter(Proxy[MemberRepository]):
    """Finds, writes and drops members of one image by project id."""

    operations = MEMBER_OPERATIONS

    @classmethod
    def build(cls, inner: MemberRepository, deps: Dependencies) -> MemberOperations:
        return cls(inner)

    def list(self, ctx: Caller, image: Image) -> Sequence[Member]:
        return self.inner.find(ctx, image.id)

    def get(self, ctx: Caller, image: Image, member_id: str) -> Member:
        return self.resolve(ctx, image, member_id)

    def resolve(self, ctx: Caller, image: Image, member_id: str) -> Member:
        for member in self.inner.find(ctx, image.id, member_id):
            return member
        raise errors.MemberNotFound(member_id, image.id)

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        return self.inner.create(ctx, image.id, member_id)

    def update(self, ctx: Caller, image: Image, member: Member, status: str) -> Member:
        """:raises errors.Invalid: a status that there is not; said only to who may set one."""
        if status not in STATUSES:
            raise errors.Invalid(f"The status must be one of {', '.join(STATUSES)}.")
        return self.inner.update(ctx, member, status)

    def delete(self, ctx: Caller, image: Image, member: Member) -> None:
        self.inner.delete(ctx, member)
