"""Who wants to hear about it?  Announces what the inner layers have really done.

An upload is announced step by step: the layer hangs callbacks on the upload
and the room that makes a step calls them after it.  Nothing here waits for a
message to arrive.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.member import Member
from glance_py.domain.ports import (
    Data,
    Download,
    Finalize,
    InternalImageOperations,
    MemberOperations,
    Upload,
)
from glance_py.domain.quota import QuotaReservation
from glance_py.layers.base import InternalImageLayer, MemberLayer
from glance_py.notifications.byte_count import count_bytes
from glance_py.notifications.notifier import Notifier
from glance_py.notifications.payloads import (
    data_payload,
    image_payload,
    member_payload,
    send_payload,
)

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

#: Step of an upload -> event.
STEP_EVENTS = {
    "saving": "image.update",
    "uploading": "image.update",
    "prepare": "image.prepare",
    "upload": "image.upload",
    "activate": "image.activate",
    "active": "image.update",
    "queued": "image.update",
}


class NotifierProxy(InternalImageLayer):
    """Announces changes of images and transfers of their data."""

    def __init__(
        self, inner: InternalImageOperations, notifier: Notifier, default_store: str | None
    ) -> None:
        super().__init__(inner)
        self._notifier = notifier
        self._default_store = default_store

    @classmethod
    def build(cls, inner: InternalImageOperations, deps: Dependencies) -> InternalImageOperations:
        if not deps.notifier.enabled:
            return inner
        return cls(inner, deps.notifier, deps.settings.stores.default_backend)

    def create(
        self, ctx: Caller, image: Image, reservation: QuotaReservation | None = None
    ) -> Image:
        created = self.inner.create(ctx, image, reservation)
        self._notifier.info("image.create", image_payload(created))
        return created

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        updated = self.inner.update(ctx, image, change)
        self._notifier.info("image.update", image_payload(updated))
        return updated

    def delete(self, ctx: Caller, image: Image) -> None:
        self.inner.delete(ctx, image)
        self._notifier.info("image.delete", image_payload(image, deleted=True))

    def set_status(self, ctx: Caller, image: Image, to: str) -> Image:
        after = self.inner.set_status(ctx, image, to)
        if after.status != image.status:
            self._notifier.info("image.update", image_payload(after))
        return after

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self.inner.upload(ctx, image, self._with_notifications(image, upload))

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        staged = self.inner.stage(ctx, image, self._with_notifications(image, upload))
        self._notifier.info("image.update", image_payload(staged))
        return staged

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        return self.inner.add_copy(ctx, image, self._with_notifications(image, upload), finalize)

    def remove_copy(
        self, ctx: Caller, image: Image, location: Location, change: ImageChange
    ) -> Image:
        after = self.inner.remove_copy(ctx, image, location, change)
        self._notifier.info("image.update", image_payload(after))
        return after

    def _with_notifications(self, image: Image, upload: Upload) -> Upload:
        """The same upload, which tells its steps."""

        def on_step(step: str, now: Image) -> None:
            upload.on_step(step, now)
            event = STEP_EVENTS[step]
            payload = data_payload(now) if step in ("prepare", "upload") else image_payload(now)
            if step == "prepare" and self._default_store:
                payload["backend"] = upload.store or self._default_store
            self._notifier.info(event, payload)

        def on_failure(reason: str) -> None:
            upload.on_failure(reason)
            # wire: a sentence, where every other message carries a dictionary.
            self._notifier.error(
                "image.upload", f"Failed to upload image data for image {image.id}: {reason}"
            )

        return dataclasses.replace(upload, on_step=on_step, on_failure=on_failure)

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        data = self.inner.download(ctx, image, request)
        if data is None or not self._notifier.is_enabled("image.send"):
            return data

        def report(sent: int) -> None:
            send = self._notifier.info if sent == data.length else self._notifier.error
            send("image.send", send_payload(ctx, image, sent))

        return count_bytes(data, report)


class MemberNotifierProxy(MemberLayer):
    """Announces with whom images are shared."""

    def __init__(self, inner: MemberOperations, notifier: Notifier) -> None:
        super().__init__(inner)
        self._notifier = notifier

    @classmethod
    def build(cls, inner: MemberOperations, deps: Dependencies) -> MemberOperations:
        return cls(inner, deps.notifier) if deps.notifier.enabled else inner

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        member = self.inner.create(ctx, image, member_id)
        self._notifier.info("image.member.create", member_payload(member))
        return member

    def update(self, ctx: Caller, image: Image, member: Member, status: str) -> Member:
        updated = self.inner.update(ctx, image, member, status)
        self._notifier.info("image.member.update", member_payload(updated))
        return updated

    def delete(self, ctx: Caller, image: Image, member: Member) -> None:
        self.inner.delete(ctx, image, member)
        self._notifier.info("image.member.delete", member_payload(member, deleted=True))
