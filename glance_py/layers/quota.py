"""Quotas: limits what an image may have and what a project may store.

A project's quota is reserved in the transaction that needs it (``domain/quota``),
so that those who come at the same time never get more than there is: for an
upload when its data begins to come, and, when its size was not announced, again
and again while it comes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import RESERVED_PREFIX, Image
from glance_py.domain.member import Member
from glance_py.domain.ports import (
    Finalize,
    InternalImageOperations,
    MemberOperations,
    Upload,
    UploadAttempt,
)
from glance_py.domain.quota import IMAGES, MIB, STAGING, STORAGE, UPLOADING, QuotaReservation
from glance_py.layers.base import InternalImageLayer, MemberLayer
from glance_py.limits import UnifiedLimits
from glance_py.settings import QuotaSettings
from glance_py.streams import Chunk, SizeLimit, StreamFilter

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


def _check(what: str, count: int, quota: int) -> None:
    """A negative quota is none."""
    if 0 <= quota < count:
        raise errors.QuotaExceeded(f"An image may have {quota} {what}; this would make {count}.")


def _count_properties(properties: Iterable[str]) -> int:
    """How many properties count: those of the service itself do not."""
    return sum(1 for name in properties if not name.startswith(RESERVED_PREFIX))


def check_locations(image: Image, change: ImageChange, quota: int) -> None:
    """:raises errors.QuotaExceeded: the change would make more copies of the data than allowed."""
    if change.add_locations:
        _check(
            "locations",
            len(image.locations) + len(change.add_locations) - len(change.remove_locations),
            quota,
        )


class QuotaProxy(InternalImageLayer):
    """Quotas of images: properties, tags, locations, sizes and unified limits."""

    def __init__(
        self,
        inner: InternalImageOperations,
        settings: QuotaSettings,
        limits: UnifiedLimits | None,
    ) -> None:
        super().__init__(inner)
        self._properties = settings.image_property_quota
        self._tags = settings.image_tag_quota
        self._locations = settings.image_location_quota
        self._images = settings.image_count_quota
        self._size_cap = settings.image_size_cap
        self._limits = limits
        # Unified limits take the place of the option.
        self._storage = 0 if limits else settings.user_storage_quota

    @classmethod
    def build(cls, inner: InternalImageOperations, deps: Dependencies) -> InternalImageOperations:
        return cls(inner, deps.settings.quota, deps.limits)

    def create(
        self, ctx: Caller, image: Image, reservation: QuotaReservation | None = None
    ) -> Image:
        limits = self._limits.check(image.owner, {IMAGES.unified_limit: 1}) if self._limits else {}
        _check("properties", _count_properties(image.properties), self._properties)
        # wire: a tag given twice counts twice.
        _check("tags", len(image.tags), self._tags)
        if self._images >= 0:
            limits[IMAGES.name] = min(self._images, limits.get(IMAGES.name, self._images))
        if limits:
            reservation = QuotaReservation(image.owner, limits)
        return self.inner.create(ctx, image, reservation)

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        if change.set_properties.keys() - image.properties.keys():
            # To change what is there is always possible, even after a quota was lowered.
            after = change.properties_after(image.properties)
            _check("properties", _count_properties(after), self._properties)
        if change.tags is not None:
            _check("tags", len(change.tags), self._tags)
        if set(change.add_tags).difference(image.tags):
            _check("tags", len(change.tags_after(image.tags)), self._tags)
        if change.add_locations:
            change = self._with_locations(image, change)
        return self.inner.update(ctx, image, change)

    def _with_locations(self, image: Image, change: ImageChange) -> ImageChange:
        """One more copy of the data counts as much as the first."""
        check_locations(image, change, self._locations)
        if not self._storage:
            return change
        return change.evolve(
            reservation=QuotaReservation(image.owner, {STORAGE.name: self._storage})
        )

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        if image.status != "queued":
            return self.inner.upload(ctx, image, upload)  # which refuses it for its status
        cap = self._size_limit(upload)
        limits = self._limits_for_upload(image, upload)
        if not limits:
            return self.inner.upload(ctx, image, _with_filters(upload, [cap]))
        reservation = QuotaReservation(image.owner, limits, reserve=upload.size)
        if STORAGE.name not in limits:
            reservation = dataclasses.replace(reservation, reserve=None)
            return self.inner.upload(
                ctx,
                image,
                dataclasses.replace(_with_filters(upload, [cap]), reservation=reservation),
            )
        if upload.size is None:
            # Reserving one byte fails when the quota is used up; with oslo.limit an upload of
            # unknown size may begin at the limit.
            reservation = dataclasses.replace(reservation, reserve=0 if self._limits else 1)
        reserving = ReservationFilter(
            self.inner.update,
            ctx,
            image,
            reservation,
            upload.attempt,
            allow_single_overrun=bool(self._limits),
        )
        return self.inner.upload(
            ctx,
            image,
            dataclasses.replace(_with_filters(upload, [cap, reserving]), reservation=reservation),
        )

    def _limits_for_upload(self, image: Image, upload: Upload) -> dict[str, int]:
        if self._limits:
            return self._limits.check(
                image.owner, {STORAGE.unified_limit: upload.size or 0, UPLOADING.unified_limit: 1}
            )
        return {STORAGE.name: self._storage} if self._storage else {}

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        if image.status != "queued":
            return self.inner.stage(ctx, image, upload)
        upload = _with_filters(upload, [self._size_limit(upload)])
        if self._limits:
            limits = self._limits.check(
                image.owner, {STAGING.unified_limit: upload.size or 0, UPLOADING.unified_limit: 1}
            )
            if upload.size is None:
                # wire: data that was not announced may exceed the limit, once.
                limits.pop(STAGING.name, None)
            upload = dataclasses.replace(upload, reservation=QuotaReservation(image.owner, limits))
        return self.inner.stage(ctx, image, upload)

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        cap = self._size_limit(upload)
        limits = {STORAGE.name: self._storage} if self._storage else {}
        if self._limits:
            # The copy that is coming counts already, since the import began.
            limits = self._limits.check(image.owner, {STORAGE.unified_limit: 0})
        if STORAGE.name in limits and upload.size is not None:
            reservation = QuotaReservation(image.owner, limits, reserve=upload.size)
            self.inner.update(
                ctx,
                image,
                upload.attempt.guard(
                    ImageChange(
                        reservation=reservation,
                        expected=frozenset({"importing", "active", "deactivated"}),
                    )
                ),
            )
        return self.inner.add_copy(ctx, image, _with_filters(upload, [cap]), finalize)

    def _size_limit(self, upload: Upload) -> SizeLimit:
        """The limit on one image; a size is announced by the client and not believed."""
        error = errors.ImageTooLarge(f"An image may have {self._size_cap} bytes of data.")
        if upload.size is not None and upload.size > self._size_cap:
            raise error
        return SizeLimit(self._size_cap, error)


def _with_filters(upload: Upload, filters: Sequence[StreamFilter]) -> Upload:
    return dataclasses.replace(upload, filters=(*upload.filters, *filters))


class ReservationFilter(StreamFilter):
    """Reserves quota for an upload as its bytes come, always before they are stored.

    An announced size is reserved from the beginning.  An unknown size is reserved in steps
    that grow with the image and shrink near the limit.

    :param record_change: the operation ``update`` of the inner layer.
    :param reservation: what the upload began with.
    :param attempt: the claim of the upload.
    :param allow_single_overrun: True when this upload may exceed the limit that no other
        upload has exceeded: the rule of unified limits for data of unknown size.
    """

    _MIN_STEP, _MAX_STEP = MIB, 64 * MIB

    def __init__(
        self,
        record_change: Callable[[Caller, Image, ImageChange], Image],
        ctx: Caller,
        image: Image,
        reservation: QuotaReservation,
        attempt: UploadAttempt,
        allow_single_overrun: bool,
    ) -> None:
        self._record_change = record_change
        self._ctx = ctx
        self._image = image
        self._reservation = QuotaReservation(
            reservation.owner, {STORAGE.name: reservation.limits[STORAGE.name]}
        )
        self._reserved = reservation.reserve or 0
        self._attempt = attempt
        self._allow_single_overrun = allow_single_overrun
        self._overrun = False
        self._step: int | None = None
        self._size = 0

    def update(self, chunk: Chunk) -> None:
        self._size += len(chunk)
        if self._size > self._reserved and not self._overrun:
            self._reserve_more()

    def _reserve_more(self) -> None:
        """Reserve at least the bytes that have arrived.

        :raises errors.QuotaExceeded: they exceed the quota.
        """
        need = self._size - self._reserved
        step = min(max(self._MIN_STEP, self._reserved // 8), self._MAX_STEP)
        if self._step is not None:
            step = min(step, self._step)
        while step > need:
            try:
                return self._reserve(self._reserved + step)
            except errors.QuotaExceeded:
                step = self._step = step // 2
        try:
            self._reserve(self._size)
        except errors.QuotaExceeded:
            if not self._allow_single_overrun:
                raise
            # Reserve what this step needs: the quota is used up, but no other upload exceeded it.
            self._reserve(self._size, overrun=need)
            self._overrun = True

    def _reserve(self, size: int, overrun: int = 0) -> None:
        limits = {name: value + overrun for name, value in self._reservation.limits.items()}
        try:
            self._record_change(
                self._ctx,
                self._image,
                self._attempt.guard(
                    ImageChange(
                        reservation=QuotaReservation(self._reservation.owner, limits, reserve=size),
                        expected=frozenset({"saving"}),
                    )
                ),
            )
        except errors.ImageNotFound as error:
            raise errors.ImageDeletedDuringUpload(self._image.id) from error
        self._reserved = size


class MemberQuotaProxy(MemberLayer):
    """How many projects an image may be shared with."""

    def __init__(self, inner: MemberOperations, quota: int) -> None:
        super().__init__(inner)
        self._quota = quota

    @classmethod
    def build(cls, inner: MemberOperations, deps: Dependencies) -> MemberOperations:
        quota = deps.settings.quota.image_member_quota
        return cls(inner, quota) if quota >= 0 else inner

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        _check("members", len(self.inner.list(ctx, image)) + 1, self._quota)
        return self.inner.create(ctx, image, member_id)
