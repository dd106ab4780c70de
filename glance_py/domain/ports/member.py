"""The members of images: the operations of a request, and the DAL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.member import Member


class MemberOperations(Protocol):
    """The operations on the members of an image."""

    def list(self, ctx: Caller, image: Image) -> Sequence[Member]: ...

    def get(self, ctx: Caller, image: Image, member_id: str) -> Member:
        """The member, for a caller that wants to look at it.

        :raises errors.MemberNotFound: there is none, or the policy does not let the caller see it.
        """

    def resolve(self, ctx: Caller, image: Image, member_id: str) -> Member:
        """The member, for a caller that will change or remove it.

        :raises errors.MemberNotFound: there is none.
        :raises errors.PolicyForbids: the policy does not let the caller see it.
        """

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member: ...

    def update(self, ctx: Caller, image: Image, member: Member, status: str) -> Member: ...

    def delete(self, ctx: Caller, image: Image, member: Member) -> None: ...


MEMBER_OPERATIONS: tuple[str, ...] = ("list", "get", "resolve", "create", "update", "delete")


class MemberRepository(Protocol):
    """The DAL for members.

    ``find`` returns the members of an image, all or the one named; ``create``
    raises Duplicate; ``update`` and ``delete`` raise MemberNotFound.
    """

    def find(
        self, ctx: Caller, image_id: str, member_id: str | None = None
    ) -> Sequence[Member]: ...

    def create(self, ctx: Caller, image_id: str, member_id: str) -> Member: ...

    def update(self, ctx: Caller, member: Member, status: str) -> Member: ...

    def delete(self, ctx: Caller, member: Member) -> None: ...
