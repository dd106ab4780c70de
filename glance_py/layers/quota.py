"""Is there room?  Counts what an image may have and what a project may store.

A project's quota is reserved in the transaction that needs it (``domain/quota``),
so that those who come at the same time never get more than there is: for an
upload when its data begins to come, and, when its size was not announced, again
and again while it comes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import Change
from glance_py.domain.image import RESERVED_PREFIX, Image
from glance_py.domain.member import Member
from glance_py.domain.ports import MEMBER_VERBS, WORK_VERBS, Attempt, Settle, Upload
from glance_py.domain.quota import QuotaReservation
from glance_py.layers.base import Proxy
from glance_py.limits import MIB, storage_quota
from glance_py.streams import Chunk, Filter, Limit


def _check(what: str, count: int, quota: int) -> None:
    """A negative quota is none."""
    if 0 <= quota < count:
        raise errors.QuotaExceeded(f"An image may have {quota} {what}; this would make {count}.")


def _counted(properties) -> int:
    """How many properties count: those of the service itself do not."""
    return sum(1 for name in properties if not name.startswith(RESERVED_PREFIX))


def check_locations(image: Image, change: Change, quota: int) -> None:
    """:raises errors.QuotaExceeded: the change would make more copies of the data than allowed."""
    if change.add_locations:
        _check(
            "locations",
            len(image.locations) + len(change.add_locations) - len(change.remove_locations),
            quota,
        )


class QuotaProxy(Proxy):
    """Quotas of images: properties, tags, locations, sizes and unified limits."""

    verbs = WORK_VERBS

    def __init__(self, below, services) -> None:
        super().__init__(below)
        conf = services.conf
        self._properties = conf.image_property_quota
        self._tags = conf.image_tag_quota
        self._locations = conf.image_location_quota
        self._images = conf.image_count_quota
        self._size_cap = conf.image_size_cap
        self._limits = services.limits
        # Unified limits take the place of the option.
        self._storage = 0 if services.limits else storage_quota(conf)

    def create(self, ctx: Caller, image: Image) -> Image:
        most = self._limits.room(image.owner, {"image_count_total": 1}) if self._limits else {}
        _check("properties", _counted(image.properties), self._properties)
        # wire: a tag given twice counts twice.
        _check("tags", len(image.tags), self._tags)
        if self._images >= 0:
            most["images"] = min(self._images, most.get("images", self._images))
        if not most:
            return self.below.create(ctx, image)
        return self.below.create(ctx, image, QuotaReservation(image.owner, most))

    def update(self, ctx: Caller, image: Image, change: Change) -> Image:
        if change.set_properties.keys() - image.properties.keys():
            # To change what is there is always possible, even after a quota was lowered.
            after = change.properties_after(image.properties)
            _check("properties", _counted(after), self._properties)
        if change.tags is not None:
            _check("tags", len(change.tags), self._tags)
        if set(change.add_tags).difference(image.tags):
            _check("tags", len(change.tags_after(image.tags)), self._tags)
        if change.add_locations:
            change = self._with_locations(image, change)
        return self.below.update(ctx, image, change)

    def _with_locations(self, image: Image, change: Change) -> Change:
        """One more copy of the data counts as much as the first."""
        check_locations(image, change, self._locations)
        if not self._storage:
            return change
        return dataclasses.replace(
            change, reservation=QuotaReservation(image.owner, {"storage": self._storage})
        )

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        if image.status != "queued":
            return self.below.upload(ctx, image, upload)  # which refuses it for its status
        cap = self._cap(upload)
        most = self._most_of_upload(image, upload)
        if not most:
            return self.below.upload(ctx, image, _filtered(upload, [cap]))
        reservation = QuotaReservation(image.owner, most, reserve=upload.size)
        if "storage" not in most:
            reservation = dataclasses.replace(reservation, reserve=None)
            return self.below.upload(
                ctx, image, dataclasses.replace(_filtered(upload, [cap]), reservation=reservation)
            )
        if upload.size is None:
            # One byte tells whether there is any room; oslo.limit lets in what is not announced.
            reservation = dataclasses.replace(reservation, reserve=0 if self._limits else 1)
        room = Room(
            self.below.update, ctx, image, reservation, upload.attempt, one_over=bool(self._limits)
        )
        return self.below.upload(
            ctx, image, dataclasses.replace(_filtered(upload, [cap, room]), reservation=reservation)
        )

    def _most_of_upload(self, image: Image, upload: Upload) -> dict[str, int]:
        if self._limits:
            return self._limits.room(
                image.owner, {"image_size_total": upload.size or 0, "image_count_uploading": 1}
            )
        return {"storage": self._storage} if self._storage else {}

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        if image.status != "queued":
            return self.below.stage(ctx, image, upload)
        upload = _filtered(upload, [self._cap(upload)])
        if self._limits:
            most = self._limits.room(
                image.owner, {"image_stage_total": upload.size or 0, "image_count_uploading": 1}
            )
            if upload.size is None:
                # wire: data that was not announced may exceed the limit, once.
                most.pop("staging", None)
            upload = dataclasses.replace(upload, reservation=QuotaReservation(image.owner, most))
        return self.below.stage(ctx, image, upload)

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, settle: Settle) -> Image:
        cap = self._cap(upload)
        most = {"storage": self._storage} if self._storage else {}
        if self._limits:
            # The copy that is coming counts already, since the import began.
            most = self._limits.room(image.owner, {"image_size_total": 0})
        if "storage" in most and upload.size is not None:
            reservation = QuotaReservation(image.owner, most, reserve=upload.size)
            self.below.update(
                ctx,
                image,
                upload.attempt.guard(
                    Change(
                        reservation=reservation,
                        expected=frozenset({"importing", "active", "deactivated"}),
                    )
                ),
            )
        return self.below.add_copy(ctx, image, _filtered(upload, [cap]), settle)

    def _cap(self, upload: Upload) -> Limit:
        """The limit on one image; a size is announced by the client and not believed."""
        error = errors.ImageTooLarge(f"An image may have {self._size_cap} bytes of data.")
        if upload.size is not None and upload.size > self._size_cap:
            raise error
        return Limit(self._size_cap, error)


def _filtered(upload: Upload, filters: Sequence[Filter]) -> Upload:
    return dataclasses.replace(upload, filters=(*upload.filters, *filters))


class Room(Filter):
    """Reserves quota for an upload as its bytes come, always before they are stored.

    What was announced is held from the beginning.  What was not is held in
    steps that grow with the image, and that shrink where room gets scarce, so
    that little is held in vain.

    :param record: the verb ``update`` of the room below.
    :param reservation: what the upload began with.
    :param attempt: the claim of the upload.
    :param one_over: may this upload exceed the limit when nobody else has?  So
        do unified limits understand data that was not announced.
    """

    _LEAST, _MOST = MIB, 64 * MIB

    def __init__(
        self,
        record,
        ctx: Caller,
        image: Image,
        reservation: QuotaReservation,
        attempt: Attempt,
        one_over: bool,
    ) -> None:
        self._record = record
        self._ctx = ctx
        self._image = image
        self._reservation = QuotaReservation(
            reservation.owner, {"storage": reservation.limits["storage"]}
        )
        self._held = reservation.reserve or 0
        self._attempt = attempt
        self._one_over = one_over
        self._over = False
        self._step: int | None = None
        self._size = 0

    def update(self, chunk: Chunk) -> None:
        self._size += len(chunk)
        if self._size > self._held and not self._over:
            self._reserve_more()

    def _reserve_more(self) -> None:
        """At least for the bytes that are here.

        :raises errors.QuotaExceeded: there is no room for them.
        """
        need = self._size - self._held
        step = min(max(self._LEAST, self._held // 8), self._MOST)
        if self._step is not None:
            step = min(step, self._step)
        while step > need:
            try:
                return self._hold(self._held + step)
            except errors.QuotaExceeded:
                step = self._step = step // 2
        try:
            self._hold(self._size)
        except errors.QuotaExceeded:
            if not self._one_over:
                raise
            # As much more as this step takes: there was no room for it, but nobody was over.
            self._hold(self._size, beyond=need)
            self._over = True

    def _hold(self, size: int, beyond: int = 0) -> None:
        most = {name: value + beyond for name, value in self._reservation.limits.items()}
        try:
            self._record(
                self._ctx,
                self._image,
                self._attempt.guard(
                    Change(
                        reservation=QuotaReservation(self._reservation.owner, most, reserve=size),
                        expected=frozenset({"saving"}),
                    )
                ),
            )
        except errors.ImageNotFound as error:
            raise errors.UploadTargetGone(self._image.id) from error
        self._held = size


class MemberQuotaProxy(Proxy):
    """How many projects an image may be shared with."""

    verbs = MEMBER_VERBS

    def __init__(self, below, services) -> None:
        super().__init__(below)
        self._quota = services.conf.image_member_quota

    @classmethod
    def wanted(cls, services) -> bool:
        """Is there a quota?"""
        return services.conf.image_member_quota >= 0

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        _check("members", len(self.below.list(ctx, image)) + 1, self._quota)
        return self.below.create(ctx, image, member_id)
