"""Bytes go to a store, the rest goes below.

The innermost layer of the image onion, and the only one that talks to stores.
It holds the order in which an upload touches the database and the store, so
that at no moment there is an active image without its bytes.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping

from oslo_log import log as logging

from glance_py import streams
from glance_py.claims import LEASE, STAGING_STORE, Claim, ClaimFilter, Claims
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import Change
from glance_py.domain.claim import STAGE, UPLOAD, ClaimRelease, object_name
from glance_py.domain.image import (
    TRANSITIONS,
    Image,
    Location,
    check_formats,
    check_transition,
)
from glance_py.domain.importing import STAGE_HOST
from glance_py.domain.ports import WORK_VERBS, Data, Download, Settle, Upload
from glance_py.layers.base import Proxy
from glance_py.layers.removal import Removal
from glance_py.layers.store_errors import naming_store_errors
from glance_store_py.driver import StoredData
from glance_store_py.errors import GlanceStoreError
from glance_store_py.location import redacted

LOG = logging.getLogger(__name__)


class LocationProxy(Proxy):
    """Uploads, downloads and deletes the data of images."""

    verbs = WORK_VERBS

    def __init__(self, below, services) -> None:
        super().__init__(below)
        self._stores = services.stores
        self._claims: Claims = services.claims
        self._held = services.records.claims
        self._conf = services.conf
        self._algorithm = services.conf.hashing_algorithm
        self._delayed = services.conf.delayed_delete
        self._pending = services.records.pending
        self._removal = Removal(services.stores, services.records.pending)
        self._host = self._conf.worker_self_reference_url or self._conf.public_endpoint

    def find(self, ctx: Caller, image_id: str) -> Image:
        return self.below.get(ctx, image_id)

    def update(self, ctx: Caller, image: Image, change: Change) -> Image:
        """Data at removed locations goes after the record, or later with delayed_delete."""
        after, pending = self._update(ctx, image, change)
        # A queued image has only what was refused, and its place is needed now.
        if pending and not (self._delayed and image.status != "queued"):
            try:
                self._removal.remove(image.id, pending, ctx, _urls(after))
            except errors.StoreInUse:
                self._pending.take_back(pending)
                raise
        return after

    def _update(
        self, ctx: Caller, image: Image, change: Change
    ) -> tuple[Image, tuple[Location, ...]]:
        """Record a change; returns the image, and the locations whose data is to be removed."""
        if not change.remove_locations:
            return self.below.update(ctx, image, change), ()
        pending = tuple(
            dataclasses.replace(location, status="pending_delete")
            for location in change.remove_locations
        )
        return self.below.update(
            ctx, image, dataclasses.replace(change, remove_locations=pending)
        ), pending

    def _remove_refused(self, ctx: Caller, image: Image, pending: tuple[Location, ...]) -> None:
        """Remove what data that was refused left; an upload does not fail for it."""
        try:
            self._removal.remove(image.id, pending, ctx, _urls(image))
        except errors.StoreInUse as exc:
            LOG.warning("Refused data of image %s is removed later: %s", image.id, exc)

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        """Queued, saving, active; back to queued when anything fails."""
        store = self._target(upload)
        check_formats(image)
        check_transition(image, "saving")
        change = Change.status("saving", expected="queued")
        change.reservation = upload.reservation
        change.acquire = request = self._claims.request(UPLOAD)
        change.start_over(image)
        saving, refused = self._update(ctx, image, change)
        with self._claims.hold(image.id, saving.grant, request) as claim:
            upload.attempt.claim = claim
            try:
                self._remove_refused(ctx, saving, refused)
                upload.progress("saving", saving)
                upload.progress("prepare", saving)
                _, active = self._store_data(
                    ctx,
                    saving,
                    upload,
                    store,
                    claim,
                    lambda: contextlib.nullcontext(
                        (saving, Change.status("active", expected="saving"))
                    ),
                )
            except BaseException as exc:
                upload.failed(_reason(exc))
                kept = None
                if isinstance(exc, errors.FormatRefused) and exc.digests is not None:
                    kept = self._trace(claim.name, store, exc.digests)
                self._put_back(ctx, saving, upload, claim, exc, kept)
                raise
            claim.unrecorded = False
            self._claims.finish(claim)
        for step in ("upload", "activate", "active"):
            upload.progress(step, active)
        return active

    def _target(self, upload: Upload) -> str | None:
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
        settle: Settle,
    ) -> tuple[Image, Image]:
        """Write the bytes, then record them and what ``settle`` says in one transaction.

        :returns: the image before and after that statement.
        """
        inspection = streams.InspectFormat(image, self._conf)
        digests = streams.Hash(image.os_hash_algo or self._algorithm)
        judges = (inspection, *streams.signature_filters(ctx, image), ClaimFilter(claim))
        claim.unrecorded = True
        with contextlib.closing(
            streams.stream(upload.source, (*upload.filters, digests))
        ) as arriving:
            try:
                with naming_store_errors():
                    stored = self._stores.add(
                        store, claim.name, streams.stream(arriving, judges), upload.size, caller=ctx
                    )
            except errors.FormatRefused as refused:
                if image.status == "saving":
                    refused.digests = _digests_of_all(arriving, digests)
                raise
            except errors.StoreUnavailable:
                self._note_leftovers(image.id, store, claim.name)
                raise
        location = Location(stored.url, stored.metadata)
        found = {"size": stored.size, "virtual_size": inspection.virtual_size, **digests.fields()}
        try:
            with settle() as (before, change):
                _check_same(before, found)
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
            claim.uncertain = True
            LOG.error(
                "It is not known whether the data of image %s at %s was recorded; "
                "recovery decides in %d s",
                image.id,
                redacted(location.url),
                LEASE,
            )
            raise
        except BaseException as exc:
            self._removal.discard(image.id, location, ctx)
            if isinstance(exc, errors.ImageNotFound):
                raise errors.UploadTargetGone(image.id) from exc
            raise

    def _note_leftovers(self, image_id: str, store_id: str | None, name: str) -> None:
        """Have what a store may have kept, although it reported an error, removed later."""
        store = self._stores.default if store_id is None else store_id
        try:
            url = self._stores.location_of(store, name)
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
        change: Change,
        shows: Callable[[Image], bool],
    ) -> Image:
        """Apply the change that ends an attempt, and find out whether it was applied.

        :param shows: does an image show that it was?
        :raises errors.OutcomeUnknown: that cannot be found out.
        :raises errors.ClaimLost: it was not, since the claim was lost.
        """
        for last in (False, False, True):
            # The token is another one after each time that it was found out.
            change.holder = claim.holder
            try:
                return self.below.update(ctx, image, change)
            except errors.OutcomeUnknown:
                recorded = self._claims.resolve(ctx, claim, shows)
                if recorded is not None:
                    return recorded
                if claim.lost:
                    raise errors.ClaimLost(image.id) from None
                if last:
                    raise errors.DatabaseUnavailable() from None
        raise AssertionError("the last attempt returns or raises")

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, settle: Settle) -> Image:
        """The bytes into one more store, then the location and the change in one transaction."""
        upload.progress("prepare", image)
        try:
            before, after = self._store_data(
                ctx, image, upload, self._target(upload), _claim_of(upload), settle
            )
        except BaseException as exc:
            upload.failed(_reason(exc))
            raise
        upload.progress("upload", after)
        if after.status != before.status:
            upload.progress("activate", after)
        upload.progress("active", after)
        return after

    def remove_copy(self, ctx: Caller, image: Image, location: Location, change: Change) -> Image:
        """Forget one copy and apply ``change``, then remove the bytes."""
        pending = (dataclasses.replace(location, status="pending_delete"),)
        after = self.below.update(ctx, image, dataclasses.replace(change, remove_locations=pending))
        try:
            self._removal.remove(image.id, pending, ctx, _urls(after))
        except errors.StoreInUse as exc:
            LOG.warning("A copy of image %s is removed later: %s", image.id, exc)
        return after

    def _trace(self, name: str, store_id: str | None, digests: Mapping[str, str]) -> Change:
        """What a queued image keeps of data that was refused.

        wire: its digests, and the address where it would lie.  The bytes are gone,
        and the next data for the image wipes this away.
        """
        store = self._stores.default if store_id is None else store_id
        trace = Change(fields=dict(digests))
        with contextlib.suppress(GlanceStoreError):
            if (url := self._stores.location_of(store, name)) is not None:
                metadata = {"store": store} if self._stores.multi else {}
                trace.add_locations = (Location(url, metadata),)
        return trace

    def _put_back(
        self,
        ctx: Caller,
        image: Image,
        upload: Upload,
        claim: Claim,
        reason: BaseException,
        kept: Change | None = None,
    ) -> None:
        """Give the image back to the client; ``reason`` stays the error.

        :param kept: what the image says besides of what happened.
        """
        if isinstance(reason, errors.OutcomeUnknown | errors.ClaimLost):
            return  # It is decided by others what becomes of the image.
        change = Change.status("queued", expected=image.status, size=None, virtual_size=None)
        if kept is not None:
            change.fields.update(kept.fields)
            change.add_locations = kept.add_locations
        try:
            upload.progress(
                "queued", self.below.update(ctx, image, claim.guard(change, release=True))
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
        change = Change.status("uploading", expected="queued")
        change.start_over(image)
        if self._host:
            # Another worker finds the bytes only by asking this one.
            change.set_properties = {STAGE_HOST: self._host}
        change.reservation = upload.reservation
        change.acquire = request = self._claims.request(STAGE)
        uploading, refused = self._update(ctx, image, change)
        with self._claims.hold(image.id, uploading.grant, request) as claim:
            upload.attempt.claim = claim
            try:
                self._remove_refused(ctx, uploading, refused)
                upload.progress("uploading", uploading)
                return self._stage_data(ctx, uploading, upload, claim)
            except BaseException as exc:
                self._put_back(ctx, uploading, upload, claim, exc)
                raise

    def _stage_data(self, ctx: Caller, image: Image, upload: Upload, claim: Claim) -> Image:
        """Write the bytes to staging; a size on the record says that they are all there."""
        claim.unrecorded = True
        with naming_store_errors():
            stored = self._stores.add(
                STAGING_STORE,
                claim.name,
                streams.stream(upload.source, (*upload.filters, ClaimFilter(claim))),
                upload.size,
                reserved=True,
            )
        change = Change(
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
            claim.uncertain = True  # They may be staged: recovery finds out.
            raise
        except BaseException as exc:
            self._unstage(claim.name)
            if isinstance(exc, errors.ImageNotFound):
                raise errors.UploadTargetGone(image.id) from exc
            raise

    def download(self, ctx: Caller, image: Image, wanted: Download) -> Data | None:
        """The bytes from the first store that has them all; None when there are none."""
        self._check_preferred(wanted.prefer)
        if image.status == "queued":
            return None
        missing: errors.GlanceError | None = None
        for location in self._in_order(image, wanted.prefer):
            try:
                with naming_store_errors():
                    data = self._stores.get(
                        location.url, location.store, wanted.start, wanted.stop, caller=ctx
                    )
                _check_whole(image, wanted, data)
            except (errors.NotFound, errors.StoreUnavailable, errors.DataDamaged) as exc:
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

    def _in_order(self, image: Image, prefer: tuple[str, ...]) -> list[Location]:
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
        self.below.delete(ctx, image, "pending_delete" if delayed else "deleted")
        if image.status in ("uploading", "importing"):
            self._unstage(image.id, *self._staged_names(image.id))
        if image.locations and not delayed:
            try:
                self._removal.remove(image.id, image.locations, ctx, recorded=())
            except errors.StoreInUse:
                self._pending.restore(image.id, image.status, was="deleted")
                raise

    def _staged_names(self, image_id: str) -> list[str]:
        """The names under which later attempts may have staged data of an image."""
        found = self._held.get(image_id)
        last = 1 if found is None else found.generation
        return [object_name(image_id, number) for number in range(2, last + 1)]

    def _unstage(self, *names: str) -> None:
        for name in names:
            for url in self._stores.discard(name, STAGING_STORE):
                LOG.debug("Removed staged data %s", url)

    def transition(self, ctx: Caller, image: Image, to: str) -> Image:
        """Deactivate or reactivate; asking for the present state is no error."""
        if image.status == to:
            return image
        if {image.status, to} != {"active", "deactivated"}:
            raise errors.Forbidden(f"An image in status {image.status} cannot become {to}.")
        return self.below.update(ctx, image, Change.status(to, expected=image.status))


def _urls(image: Image) -> frozenset[str]:
    return frozenset(location.url for location in image.locations)


def _reason(error: BaseException) -> str:
    """What is announced about an upload that failed."""
    return str(error) if isinstance(error, errors.GlanceError) else "The data could not be stored."


def _claim_of(upload: Upload) -> Claim:
    if not isinstance(upload.attempt.claim, Claim):
        raise RuntimeError("Data is stored under a claim only.")
    return upload.attempt.claim


def _digests_of_all(
    arriving: Iterator[streams.Chunk], digests: streams.Hash
) -> Mapping[str, str] | None:
    """The digests of data that the store does not want; None when the rest does not come."""
    try:
        collections.deque(arriving, maxlen=0)
    except Exception as exc:
        LOG.info("Data that was refused broke off: %s", exc)
        return None
    return digests.fields()


def _check_whole(image: Image, wanted: Download, data: StoredData) -> None:
    """A store that has less than it should is noticed before the answer begins.

    :raises errors.DataDamaged: fewer bytes than the image has.
    """
    stop = image.size if wanted.stop is None else wanted.stop
    if stop is not None and data.length < stop - wanted.start:
        data.close()
        raise errors.DataDamaged()


def _check_same(image: Image, found: dict[str, object]) -> None:
    """All copies of an image are of the same bytes.

    :raises errors.Invalid: these are others.
    """
    for name in ("checksum", "os_hash_value"):
        known = getattr(image, name)
        if known is not None and known != found[name]:
            raise errors.Invalid("The data differs from the data that the image has already.")
