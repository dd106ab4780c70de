"""Stores that judge readers themselves learn who may read an image.

Only where such a store is configured: elsewhere these layers are left out.  What
cannot be told to a store is in the log and does not undo a change that is in the
records already; the next change tells it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oslo_log import log as logging

from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.member import Member
from glance_py.domain.ports import (
    Finalize,
    InternalImageOperations,
    MemberOperations,
    MemberRepository,
    Upload,
)
from glance_py.layers.base import InternalImageLayer, MemberLayer
from glance_store_py.errors import GlanceStoreError
from glance_store_py.location import redacted
from glance_store_py.stores import Stores

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

LOG = logging.getLogger(__name__)

#: Visibilities whose data every authenticated project may read.
_PUBLIC = frozenset({"public", "community"})


class StoreAcls:
    """Tells stores who may read an image."""

    def __init__(self, stores: Stores, members: MemberRepository) -> None:
        self._stores = stores
        self._members = members

    def sync(self, ctx: Caller, image: Image) -> None:
        """Bring the stores' lists in line with an image's visibility and members."""
        if not image.locations or image.status == "queued":
            return
        readers: list[str] = []
        if image.visibility == "shared":
            readers = [member.member_id for member in self._members.find(ctx, image.id)]
        for location in image.locations:
            try:
                self._stores.set_acls(
                    location.url, location.store, image.visibility in _PUBLIC, readers, ctx
                )
            except GlanceStoreError as exc:
                LOG.error(
                    "The readers of image %s could not be told to the store of %s: %s",
                    image.id,
                    redacted(location.url),
                    exc,
                )


class StoreAclProxy(InternalImageLayer):
    """Tells the stores when an image gets data or another visibility."""

    def __init__(self, inner: InternalImageOperations, acls: StoreAcls) -> None:
        super().__init__(inner)
        self._acls = acls

    @classmethod
    def build(cls, inner: InternalImageOperations, deps: Dependencies) -> InternalImageOperations:
        if not deps.stores.has_acl_stores:
            return inner
        return cls(inner, StoreAcls(deps.stores, deps.repositories.members))

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        after = self.inner.update(ctx, image, change)
        if change.add_locations or "visibility" in change.fields:
            self._acls.sync(ctx, after)
        return after

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self._synced(ctx, self.inner.upload(ctx, image, upload))

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        return self._synced(ctx, self.inner.add_copy(ctx, image, upload, finalize))

    def _synced(self, ctx: Caller, image: Image) -> Image:
        self._acls.sync(ctx, image)
        return image


class MemberStoreAclProxy(MemberLayer):
    """Tells the stores when an image gets or loses a member."""

    def __init__(self, inner: MemberOperations, acls: StoreAcls) -> None:
        super().__init__(inner)
        self._acls = acls

    @classmethod
    def build(cls, inner: MemberOperations, deps: Dependencies) -> MemberOperations:
        if not deps.stores.has_acl_stores:
            return inner
        return cls(inner, StoreAcls(deps.stores, deps.repositories.members))

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        member = self.inner.create(ctx, image, member_id)
        self._acls.sync(ctx, image)
        return member

    def delete(self, ctx: Caller, image: Image, member: Member) -> None:
        self.inner.delete(ctx, image, member)
        self._acls.sync(ctx, image)
