"""Members of images: what can be asked of them, and of their records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.member import Member


class MemberOperations(Protocol):
    """What can be asked of the members of an image."""

    def list(self, ctx: Caller, image: Image) -> Sequence[Member]: ...

    def get(self, ctx: Caller, image: Image, member_id: str) -> Member:
        """The member, for one who wants to look at it."""

    def resolve(self, ctx: Caller, image: Image, member_id: str) -> Member:
        """The member, for one who will change or remove it.

        Whoever may not see it and sees the image is told so; for ``get`` there is none.
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
