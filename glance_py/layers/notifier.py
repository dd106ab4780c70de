"""Who wants to hear about it?  Announces what the layers below have really done.

An upload is announced step by step: the layer hangs callbacks on the upload
and the room that makes a step calls them after it.  Nothing here waits for a
message to arrive.
"""

from __future__ import annotations

import dataclasses

from glance_py.domain.caller import Caller
from glance_py.domain.change import Change
from glance_py.domain.image import Image, Location
from glance_py.domain.member import Member
from glance_py.domain.ports import MEMBER_VERBS, WORK_VERBS, Data, Download, Settle, Upload
from glance_py.layers.announcing import AnnouncingProxy
from glance_py.notifications.counted import counted
from glance_py.notifications.payloads import (
    data_payload,
    image_payload,
    member_payload,
    send_payload,
)

#: Step of an upload -> event.
STEPS = {
    "saving": "image.update",
    "uploading": "image.update",
    "prepare": "image.prepare",
    "upload": "image.upload",
    "activate": "image.activate",
    "active": "image.update",
    "queued": "image.update",
}


class NotifierProxy(AnnouncingProxy):
    """Announces changes of images and transfers of their data."""

    verbs = WORK_VERBS

    def __init__(self, below, services) -> None:
        super().__init__(below, services)
        conf = services.conf
        self._default_store = conf.glance_store.default_backend if conf.enabled_backends else None

    def create(self, ctx: Caller, image: Image) -> Image:
        created = self.below.create(ctx, image)
        self._notifier.info("image.create", image_payload(created))
        return created

    def update(self, ctx: Caller, image: Image, change: Change) -> Image:
        updated = self.below.update(ctx, image, change)
        self._notifier.info("image.update", image_payload(updated))
        return updated

    def delete(self, ctx: Caller, image: Image) -> None:
        self.below.delete(ctx, image)
        self._notifier.info("image.delete", image_payload(image, deleted=True))

    def transition(self, ctx: Caller, image: Image, to: str) -> Image:
        after = self.below.transition(ctx, image, to)
        if after.status != image.status:
            self._notifier.info("image.update", image_payload(after))
        return after

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self.below.upload(ctx, image, self._announced(image, upload))

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        staged = self.below.stage(ctx, image, self._announced(image, upload))
        self._notifier.info("image.update", image_payload(staged))
        return staged

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, settle: Settle) -> Image:
        return self.below.add_copy(ctx, image, self._announced(image, upload), settle)

    def remove_copy(self, ctx: Caller, image: Image, location: Location, change: Change) -> Image:
        after = self.below.remove_copy(ctx, image, location, change)
        self._notifier.info("image.update", image_payload(after))
        return after

    def _announced(self, image: Image, upload: Upload) -> Upload:
        """The same upload, which tells its steps."""

        def progress(step: str, now: Image) -> None:
            upload.progress(step, now)
            event = STEPS[step]
            payload = data_payload(now) if step in ("prepare", "upload") else image_payload(now)
            if step == "prepare" and self._default_store:
                payload["backend"] = upload.store or self._default_store
            self._notifier.info(event, payload)

        def failed(reason: str) -> None:
            upload.failed(reason)
            # wire: a sentence, where every other message carries a dictionary.
            self._notifier.error(
                "image.upload", f"Failed to upload image data for image {image.id}: {reason}"
            )

        return dataclasses.replace(upload, progress=progress, failed=failed)

    def download(self, ctx: Caller, image: Image, wanted: Download) -> Data | None:
        data = self.below.download(ctx, image, wanted)
        if data is None or not self._notifier.wants("image.send"):
            return data

        def report(sent: int) -> None:
            send = self._notifier.info if sent == data.length else self._notifier.error
            send("image.send", send_payload(ctx, image, sent))

        return counted(data, report)


class MemberNotifierProxy(AnnouncingProxy):
    """Announces with whom images are shared."""

    verbs = MEMBER_VERBS

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        member = self.below.create(ctx, image, member_id)
        self._notifier.info("image.member.create", member_payload(member))
        return member

    def update(self, ctx: Caller, image: Image, member: Member, status: str) -> Member:
        updated = self.below.update(ctx, image, member, status)
        self._notifier.info("image.member.update", member_payload(updated))
        return updated

    def delete(self, ctx: Caller, image: Image, member: Member) -> None:
        self.below.delete(ctx, image, member)
        self._notifier.info("image.member.delete", member_payload(member, deleted=True))
