"""Notifications about images and members, after the inner layers have done an operation.

An upload is announced step by step: the layer replaces the callbacks of the upload, which the
layer that makes a step calls after it.  Sending never waits for the broker.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.ports import (
    Data,
    Download,
    Finalize,
    InternalImageOperations,
    MemberOperations,
    Upload,
)
from glance_py.layers.base import InternalImageLayer, MemberLayer
from glance_py.layers.notifying import NotifyingLayer
from glance_py.notifications.byte_count import count_bytes
from glance_py.notifications.events import emit
from glance_py.notifications.notifier import Notifier

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


class NotifierProxy(NotifyingLayer, InternalImageLayer):
    """Announces changes of images and transfers of their data.

    :param default_store: the id of the default store; None when the service has one store only.
    """

    noun = "images"

    def __init__(
        self, inner: InternalImageOperations, notifier: Notifier, default_store: str | None
    ) -> None:
        super().__init__(inner)
        self.notifier = notifier
        self._default_store = default_store

    @classmethod
    def build(cls, inner: InternalImageOperations, deps: Dependencies) -> InternalImageOperations:
        if not deps.notifier.enabled:
            return inner
        return cls(inner, deps.notifier, deps.settings.stores.default_backend)

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self.inner.upload(ctx, image, self._with_notifications(image, upload))

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        staged = self.inner.stage(ctx, image, self._with_notifications(image, upload))
        emit(self.notifier, "images.stage", staged, ctx, image, upload)
        return staged

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        return self.inner.add_copy(ctx, image, self._with_notifications(image, upload), finalize)

    def _with_notifications(self, image: Image, upload: Upload) -> Upload:
        """The same upload, whose steps and failure are announced."""

        def on_step(step: str, now: Image) -> None:
            upload.on_step(step, now)
            emit(self.notifier, f"upload.{step}", now, upload, self._default_store)

        def on_failure(reason: str) -> None:
            upload.on_failure(reason)
            emit(self.notifier, "upload.failed", image, reason)

        return dataclasses.replace(upload, on_step=on_step, on_failure=on_failure)

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        """Counts the bytes that are read, and announces how many when the data is closed."""
        data = self.inner.download(ctx, image, request)
        if data is None or not self.notifier.is_enabled("image.send"):
            return data

        def report(sent: int) -> None:
            source = "download.complete" if sent == data.length else "download.incomplete"
            emit(self.notifier, source, ctx, image, sent)

        return count_bytes(data, report)


class MemberNotifierProxy(NotifyingLayer, MemberLayer):
    """Announces with which projects images are shared."""

    noun = "members"

    def __init__(self, inner: MemberOperations, notifier: Notifier) -> None:
        super().__init__(inner)
        self.notifier = notifier

    @classmethod
    def build(cls, inner: MemberOperations, deps: Dependencies) -> MemberOperations:
        return cls(inner, deps.notifier) if deps.notifier.enabled else inner
