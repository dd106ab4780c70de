"""Bytes go to a store, the rest goes below.

The innermost layer of the image layer stack, and the only one that talks to stores.
It holds the order in which an upload touches the database and the store, so
that at no moment there is an active image without its bytes.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from oslo_log import log as logging

from glance_py import streams
from glance_py.claims import LEASE_SECONDS, STAGING_STORE, Claim, ClaimFilter, Claims
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import STAGE, UPLOAD, ClaimRelease, object_name
from glance_py.domain.image import (
    STAGE_HOST,
    TRANSITIONS,
    Image,
    Location,
    check_formats,
    check_transition,
)
from glance_py.domain.ports import (
    Data,
    Download,
    Finalize,
    ImageRepository,
    InternalImageOperations,
    Upload,
)
from glance_py.layers.base import ImageAdapter
from glance_py.layers.data_deletion import DataDeleter
from glance_py.layers.store_errors import translate_store_errors
from glance_store_py.driver import ObjectData
from glance_store_py.errors import GlanceStoreError
from glance_store_py.location import redacted

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

LOG = logging.getLogger(__name__)


class LocationProxy(ImageAdapter):
    """Uploads, downloads and deletes the data of images."""

    @classmethod
    def build(cls, inner: ImageRepository, deps: Dependencies) -> InternalImageOperations:
        return cls(inner, deps)

    def __init__(self, inner: ImageRepository, deps: Dependencies) -> None:
        super().__init__(inner)
        self._stores = deps.stores
        self._claims: Claims = deps.claims
        self._claim_repository = deps.repositories.claims
        self._conf = deps.conf
        self._algorithm = deps.conf.hashing_algorithm
        self._delayed = deps.conf.delayed_delete
        self._pending = deps.repositories.pending
        self._deleter = DataDeleter(deps.stores, deps.repositories.pending)
        self._host = self._conf.worker_self_reference_url or self._conf.public_endpoint

    def resolve(self, ctx: Caller, image_id: str) -> Image:
        return self.inner.get(ctx, image_id)

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        """Data at removed locations goes after the record, or later with delayed_delete."""
        after, pending = self._update(ctx, image, change)
        # A queued image has only what was refused, and its place is needed now.
        if pending and not (self._delayed and image.status != "queued"):
            try:
                self._deleter.delete(image.id, pending, ctx, _urls(after))
            except errors.ImageInUse:
                self._pending.unmark(pending)
                raise
        return after

    def _update(
        self, ctx: Caller, image: Image, change: ImageChange
    ) -> tuple[Image, tuple[Location, ...]]:
        """Record a change; returns the image, and the locations whose data is to be removed."""
        if not change.remove_locations:
            return self.inner.update(ctx, image, change), ()
        pending = tuple(
            dataclasses.replace(location, status="pending_delete")
            for location in change.remove_locations
        )
        return self.inner.update(
            ctx, image, dataclasses.replace(change, remove_locations=pending)
        ), pending

    def _delete_refused(self, ctx: Caller, image: Image, pending: tuple[Location, ...]) -> None:
        """Remove what data that was refused left; an upload does not fail for it."""
        try:
            self._deleter.delete(image.id, pending, ctx, _urls(image))
        except errors.ImageInUse as exc:
            LOG.warning("Refused data of image %s is removed later: %s", image.id, exc)

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        """Queued, saving, active; back to queued when anything fails."""
        store = self._target_store(upload)
        check_formats(image)
        check_transition(image, "saving")
        change = ImageChange.status("saving", expected="queued")
        change.reservation = upload.reservation
        change.acquire = request = self._claims.request(UPLOAD)
        change.clear_data(image)
        saving, refused = self._update(ctx, image, change)
        with self._claims.hold(image.id, saving.grant, request) as claim:
            upload.attempt.claim = claim
            try:
                self._delete_refused(ctx, saving, refused)
                upload.on_step("saving", saving)
                upload.on_step("prepare", saving)
                _, active = self._store_data(
                    ctx,
                    saving,
                    upload,
                    store,
                    claim,
                    lambda: contextlib.nullcontext(
                        (saving, ImageChange.status("active", expected="saving"))
                    ),
                )
            except BaseException as exc:
                upload.on_failure(_failure_message(exc))
                refused_data = None
                if isinstance(exc, errors.InvalidImageFormat) and exc.digests is not None:
                    refused_data = self._describe_refused_data(
                        claim.object_name, store, exc.digests
                    )
                self._reset_to_queued(ctx, saving, upload, claim, exc, refused_data)
                raise
            claim.may_leave_objects = False
            self._claims.release_later(claim)
        for step in ("upload", "activate", "active"):
            upload.on_step(step, active)
        return active

    def _target_store(self, upload: Upload) -> str | None:
        """The store to write to; None is the default."""
        if upload.store is None or not self._stores.multi:
            return None
        if upload.store not in self._stores.ids:
            raise errors.Invalid(f"There is no store '{upload.store}' to upload to.")
        return upload.store

    def _store_data(
        self,
        ctx: Caller,
        image: Image,
        upload: Upload,
        store: str | None,
        claim: Claim,
        finalize: Finalize,
    ) -> tuple[Image, Image]:
        """Write the bytes, then record them and what ``finalize`` says in one transaction.

        :returns: the image before and after that statement.
        """
        inspection = streams.FormatFilter(image, self._conf)
        digests = streams.HashFilter(image.os_hash_algo or self._algorithm)
        filters = (inspection, *streams.signature_filters(ctx, image), ClaimFilter(claim))
        claim.may_leave_objects = True
        with contextlib.closing(
            streams.filtered(upload.source, (*upload.filters, digests))
        ) as arriving:
            try:
                with translate_store_errors():
                    stored = self._stores.add(
                        store,
                        claim.object_name,
                        streams.filtered(arriving, filters),
                        upload.size,
                        caller=ctx,
                    )
            except errors.InvalidImageFormat as refused:
                if image.status == "saving":
                    refused.digests = _digests_of_all(arriving, digests)
                raise
            except errors.StoreUnavailable:
                self._record_leftovers(image.id, store, claim.object_name)
                raise
        location = Location(stored.url, stored.metadata)
        found = {"size": stored.size, "virtual_size": inspection.virtual_size, **digests.fields()}
        try:
            with finalize() as (before, change):
                _check_same_data(before, found)
                return before, self._record(
                    ctx,
                    before,
                    claim,
                    dataclasses.replace(
                        change, fields={**found, **change.fields}, add_locations=(location,)
                    ),
                    lambda image: location.url in _urls(image),
                )
        except errors.OutcomeUnknown:
            # The bytes may be those of an active image: recovery finds out.
            claim.outcome_unknown = True
            LOG.error(
                "It is not known whether the data of image %s at %s was recorded; "
                "recovery decides in %d s",
                image.id,
                redacted(location.url),
                LEASE_SECONDS,
            )
            raise
        except BaseException as exc:
            self._deleter.delete_unrecorded(image.id, location, ctx)
            if isinstance(exc, errors.ImageNotFound):
                raise errors.ImageDeletedDuringUpload(image.id) from exc
            raise

    def _record_leftovers(self, image_id: str, store_id: str | None, name: str) -> None:
        """Have what a store may have kept, although it reported an error, removed later."""
        store = self._stores.default if store_id is None else store_id
        try:
            url = self._stores.predict_url(store, name)
            if url is not None:
                metadata = {"store": store} if self._stores.multi else {}
                self._pending.add(image_id, Location(url, metadata))
        except (GlanceStoreError, errors.GlanceError) as exc:
            LOG.warning("Store %s may have kept data of image %s: %s", store, image_id, exc)

    def _record(
        self,
        ctx: Caller,
        image: Image,
        claim: Claim,
        change: ImageChange,
        is_recorded: Callable[[Image], bool],
    ) -> Image:
        """Apply the change that ends an attempt, and find out whether it was applied.

        :param is_recorded: does an image show that it was?
        :raises errors.OutcomeUnknown: that cannot be found out.
        :raises errors.ClaimLost: it was not, since the claim was lost.
        """
        for last in (False, False, True):
            # The token is another one after each time that it was found out.
            change.holder = claim.holder
            try:
                return self.inner.update(ctx, image, change)
            except errors.OutcomeUnknown:
                recorded = self._claims.resolve_outcome(ctx, claim, is_recorded)
                if recorded is not None:
                    return recorded
                if claim.is_lost:
                    raise errors.ClaimLost(image.id) from None
                if last:
                    raise errors.DatabaseUnavailable() from None
        raise AssertionError("the last attempt returns or raises")

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        """The bytes into one more store, then the location and the change in one transaction."""
        upload.on_step("prepare", image)
        try:
            before, after = self._store_data(
                ctx, image, upload, self._target_store(upload), _claim_of(upload), finalize
            )
        except BaseException as exc:
            upload.on_failure(_failure_message(exc))
            raise
        upload.on_step("upload", after)
        if after.status != before.status:
            upload.on_step("activate", after)
        upload.on_step("active", after)
        return after

    def remove_copy(
        self, ctx: Caller, image: Image, location: Location, change: ImageChange
    ) -> Image:
        """Forget one copy and apply ``change``, then remove the bytes."""
        pending = (dataclasses.replace(location, status="pending_delete"),)
        after = self.inner.update(ctx, image, dataclasses.replace(change, remove_locations=pending))
        try:
            self._deleter.delete(image.id, pending, ctx, _urls(after))
        except errors.ImageInUse as exc:
            LOG.warning("A copy of image %s is removed later: %s", image.id, exc)
        return after

    def _describe_refused_data(
        self, name: str, store_id: str | None, digests: Mapping[str, str]
    ) -> ImageChange:
        """What a queued image keeps of data that was refused.

        wire: its digests, and the address where it would lie.  The bytes are gone,
        and the next data for the image wipes this away.
        """
        store = self._stores.default if store_id is None else store_id
        refused_data = ImageChange(fields=dict(digests))
        with contextlib.suppress(GlanceStoreError):
            if (url := self._stores.predict_url(store, name)) is not None:
                metadata = {"store": store} if self._stores.multi else {}
                refused_data.add_locations = (Location(url, metadata),)
        return refused_data

    def _reset_to_queued(
        self,
        ctx: Caller,
        image: Image,
        upload: Upload,
        claim: Claim,
        reason: BaseException,
        refused_data: ImageChange | None = None,
    ) -> None:
        """Give the image back to the client; ``reason`` stays the error.

        :param refused_data: what the image says besides of what happened.
        """
        if isinstance(reason, errors.OutcomeUnknown | errors.ClaimLost):
            return  # It is decided by others what becomes of the image.
        change = ImageChange.status("queued", expected=image.status, size=None, virtual_size=None)
        if refused_data is not None:
            change.fields.update(refused_data.fields)
            change.add_locations = refused_data.add_locations
        try:
            upload.on_step(
                "queued", self.inner.update(ctx, image, claim.guard(change, release=True))
            )
        except errors.ImageNotFound:
            LOG.info("Image %s was deleted while its data arrived", image.id)
            self._claims.release(claim)
        except errors.ClaimLost:
            LOG.warning("Image %s was taken over by recovery while its data arrived", image.id)
        except Exception:
            LOG.exception("Image %s stays in %s until its claim expires", image.id, image.status)

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        """Queued, uploading; the bytes wait in the staging store for an import."""
        check_transition(image, "uploading")
        change = ImageChange.status("uploading", expected="queued")
        change.clear_data(image)
        if self._host:
            # Another worker finds the bytes only by asking this one.
            change.set_properties = {STAGE_HOST: self._host}
        change.reservation = upload.reservation
        change.acquire = request = self._claims.request(STAGE)
        uploading, refused = self._update(ctx, image, change)
        with self._claims.hold(image.id, uploading.grant, request) as claim:
            upload.attempt.claim = claim
            try:
                self._delete_refused(ctx, uploading, refused)
                upload.on_step("uploading", uploading)
                return self._stage_data(ctx, uploading, upload, claim)
            except BaseException as exc:
                self._reset_to_queued(ctx, uploading, upload, claim, exc)
                raise

    def _stage_data(self, ctx: Caller, image: Image, upload: Upload, claim: Claim) -> Image:
        """Write the bytes to staging; a size on the record says that they are all there."""
        claim.may_leave_objects = True
        with translate_store_errors():
            stored = self._stores.add(
                STAGING_STORE,
                claim.object_name,
                streams.filtered(upload.source, (*upload.filters, ClaimFilter(claim))),
                upload.size,
                reserved=True,
            )
        change = ImageChange(
            fields={"size": stored.size},
            expected=frozenset({"uploading"}),
            reservation=upload.reservation,
            release=ClaimRelease(forget=True),
        )
        try:
            return self._record(
                ctx,
                image,
                claim,
                change,
                lambda found: (
                    found.size == stored.size
                    and found.status in ("uploading", "importing", "active")
                ),
            )
        except errors.OutcomeUnknown:
            claim.outcome_unknown = True  # They may be staged: recovery finds out.
            raise
        except BaseException as exc:
            self._delete_staged(claim.object_name)
            if isinstance(exc, errors.ImageNotFound):
                raise errors.ImageDeletedDuringUpload(image.id) from exc
            raise

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        """The bytes from the first store that has them all; None when there are none."""
        self._check_preferred(request.prefer)
        if image.status == "queued":
            return None
        missing: errors.GlanceError | None = None
        for location in self._ordered_locations(image, request.prefer):
            try:
                with translate_store_errors():
                    data = self._stores.get(
                        location.url, location.store, request.start, request.stop, caller=ctx
                    )
                _check_complete(image, request, data)
            except (errors.NotFound, errors.StoreUnavailable, errors.CorruptImageData) as exc:
                LOG.error(
                    "Image %s could not be read from %s: %s", image.id, redacted(location.url), exc
                )
                missing = missing or exc
                continue
            return Data(chunks=data.chunks, length=data.length, file=data.file, close=data.close)
        # wire: data that is nowhere is no error.
        if missing is not None and not isinstance(missing, errors.NotFound):
            raise missing
        return None

    def _check_preferred(self, prefer: tuple[str, ...]) -> None:
        """Only stores that exist are preferred, and only where there are several."""
        if prefer and not self._stores.multi:
            raise errors.Invalid("There is one store only; none can be preferred.")
        for store in prefer:
            if store not in self._stores.ids:
                raise errors.Invalid(f"There is no store '{store}' to download from.")

    def _ordered_locations(self, image: Image, prefer: tuple[str, ...]) -> list[Location]:
        """Copies in the order in which they should be tried."""
        if len(image.locations) < 2:
            return image.locations
        rank: dict[str | None, int] = {
            store: -len(prefer) + place for place, store in enumerate(prefer)
        }
        return sorted(
            image.locations,
            key=lambda location: (
                rank.get(location.store, 0),
                -self._stores.weight(location.store),
            ),
        )

    def delete(self, ctx: Caller, image: Image) -> None:
        """First the record, then the bytes: no image is ever left without its bytes.

        With delayed_delete the bytes are the scrubber's.
        """
        check_transition(image, "deleted")
        delayed = (
            self._delayed
            and bool(image.locations)
            and "pending_delete" in TRANSITIONS[image.status]
        )
        self.inner.delete(ctx, image, "pending_delete" if delayed else "deleted")
        if image.status in ("uploading", "importing"):
            self._delete_staged(image.id, *self._staged_names(image.id))
        if image.locations and not delayed:
            try:
                self._deleter.delete(image.id, image.locations, ctx, recorded=())
            except errors.ImageInUse:
                self._pending.restore(image.id, image.status, was="deleted")
                raise

    def _staged_names(self, image_id: str) -> list[str]:
        """The names under which later attempts may have staged data of an image."""
        found = self._claim_repository.get(image_id)
        last = 1 if found is None else found.generation
        return [object_name(image_id, number) for number in range(2, last + 1)]

    def _delete_staged(self, *names: str) -> None:
        for name in names:
            for url in self._stores.delete_attempt(name, STAGING_STORE):
                LOG.debug("Removed staged data %s", url)

    def set_status(self, ctx: Caller, image: Image, to: str) -> Image:
        """Deactivate or reactivate; asking for the present state is no error."""
        if image.status == to:
            return image
        if {image.status, to} != {"active", "deactivated"}:
            raise errors.Forbidden(f"An image in status {image.status} cannot become {to}.")
        return self.inner.update(ctx, image, ImageChange.status(to, expected=image.status))


def _urls(image: Image) -> frozenset[str]:
    return frozenset(location.url for location in image.locations)


def _failure_message(error: BaseException) -> str:
    """What is announced about an upload that failed."""
    return str(error) if isinstance(error, errors.GlanceError) else "The data could not be stored."


def _claim_of(upload: Upload) -> Claim:
    if not isinstance(upload.attempt.claim, Claim):
        raise RuntimeError("Data is stored under a claim only.")
    return upload.attempt.claim


def _digests_of_all(
    arriving: Iterator[streams.Chunk], digests: streams.HashFilter
) -> Mapping[str, str] | None:
    """The digests of data that the store does not want; None when the rest does not come."""
    try:
        collections.deque(arriving, maxlen=0)
    except Exception as exc:
        LOG.info("Data that was refused broke off: %s", exc)
        return None
    return digests.fields()


def _check_complete(image: Image, request: Download, data: ObjectData) -> None:
    """A store that has less than it should is noticed before the answer begins.

    :raises errors.CorruptImageData: fewer bytes than the image has.
    """
    stop = image.size if request.stop is None else request.stop
    if stop is not None and data.length < stop - request.start:
        data.close()
        raise errors.CorruptImageData()


def _check_same_data(image: Image, found: dict[str, object]) -> None:
    """All copies of an image are of the same bytes.

    :raises errors.Invalid: these are others.
    """
    for name in ("checksum", "os_hash_value"):
        known = getattr(image, name)
        if known is not None and known != found[name]:
            raise errors.Invalid("The data differs from the data that the image has already.")
