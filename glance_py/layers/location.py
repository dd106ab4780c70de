"""The innermost layer of images: data goes to stores, records to the DAL.

An adapter: it implements the internal operations by an ``ImageRepository`` and the stores.
Uploads are in ``upload``, staging in ``staging`` and downloads in ``download``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oslo_log import log as logging

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import (
    TRANSITIONS,
    Image,
    ImageStatus,
    Location,
    check_transition,
)
from glance_py.domain.ports import (
    Data,
    Download,
    Finalize,
    ImageRepository,
    InternalImageOperations,
    PendingRepository,
    Upload,
)
from glance_py.layers.attempt import AttemptRecorder, location_urls, to_be_deleted
from glance_py.layers.base import ImageAdapter
from glance_py.layers.data_deletion import DataDeleter
from glance_py.layers.download import Downloader
from glance_py.layers.staging import StagingFlow
from glance_py.layers.upload import UploadFlow

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

LOG = logging.getLogger(__name__)


class LocationProxy(ImageAdapter):
    """Uploads, downloads and deletes the data of images.

    :param is_delayed: the scrubber deletes the data of deleted images, some time later.
    """

    def __init__(
        self,
        inner: ImageRepository,
        uploads: UploadFlow,
        staging: StagingFlow,
        downloads: Downloader,
        deleter: DataDeleter,
        pending: PendingRepository,
        is_delayed: bool,
    ) -> None:
        super().__init__(inner)
        self._uploads = uploads
        self._staging = staging
        self._downloads = downloads
        self._deleter = deleter
        self._pending = pending
        self._delayed = is_delayed

    @classmethod
    def build(cls, inner: ImageRepository, deps: Dependencies) -> InternalImageOperations:
        stores, claims, settings = deps.stores, deps.claims, deps.settings
        pending = deps.repositories.pending
        deleter = DataDeleter(stores, pending)
        recorder = AttemptRecorder(inner, claims, deleter)
        return cls(
            inner,
            UploadFlow(
                recorder,
                claims,
                stores,
                deleter,
                pending,
                settings.data.hashing_algorithm,
                settings.formats,
            ),
            StagingFlow(recorder, claims, deps.repositories.claims, stores, settings.host.self_url),
            Downloader(stores),
            deleter,
            pending,
            settings.data.delayed_delete,
        )

    def resolve(self, ctx: Caller, image_id: str) -> Image:
        return self.inner.get(ctx, image_id)

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        """Record a change, then delete the data at removed locations.

        With delayed_delete the scrubber deletes it, apart from that of a queued image, which
        only has data that was refused.
        """
        pending = to_be_deleted(change.remove_locations)
        if not pending:
            return self.inner.update(ctx, image, change)
        after = self.inner.update(ctx, image, change.evolve(remove_locations=pending))
        if not (self._delayed and image.status != ImageStatus.QUEUED):
            try:
                self._deleter.delete(image.id, pending, ctx, location_urls(after))
            except errors.ImageInUse:
                self._pending.unmark(pending)
                raise
        return after

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self._uploads.upload(ctx, image, upload)

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self._staging.stage(ctx, image, upload)

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        return self._downloads.download(ctx, image, request)

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        return self._uploads.add_copy(ctx, image, upload, finalize)

    def remove_copy(
        self, ctx: Caller, image: Image, location: Location, change: ImageChange
    ) -> Image:
        """Remove one location and apply ``change``, then delete the data."""
        pending = to_be_deleted((location,))
        after = self.inner.update(ctx, image, change.evolve(remove_locations=pending))
        try:
            self._deleter.delete(image.id, pending, ctx, location_urls(after))
        except errors.ImageInUse as exc:
            LOG.warning("A copy of image %s is deleted later: %s", image.id, exc)
        return after

    def delete(self, ctx: Caller, image: Image) -> None:
        """First the record, then the data: an image that exists has its data.

        With delayed_delete the scrubber deletes the data.
        """
        check_transition(image, ImageStatus.DELETED)
        delayed = (
            self._delayed
            and bool(image.locations)
            and ImageStatus.PENDING_DELETE in TRANSITIONS[image.status]
        )
        self.inner.delete(
            ctx, image, ImageStatus.PENDING_DELETE if delayed else ImageStatus.DELETED
        )
        if image.status in (ImageStatus.UPLOADING, ImageStatus.IMPORTING):
            self._staging.delete_staged(image.id)
        if image.locations and not delayed:
            try:
                self._deleter.delete(image.id, image.locations, ctx, recorded=())
            except errors.ImageInUse:
                self._pending.restore(image.id, image.status, was=ImageStatus.DELETED)
                raise

    def set_status(self, ctx: Caller, image: Image, to: str) -> Image:
        """Deactivate or reactivate; asking for the present status changes nothing."""
        if image.status == to:
            return image
        if {image.status, to} != {ImageStatus.ACTIVE, ImageStatus.DEACTIVATED}:
            raise errors.Forbidden(f"An image in status {image.status} cannot become {to}.")
        return self.inner.update(ctx, image, ImageChange.status(to, expected=image.status))
