"""Uploads: the order in which an attempt touches the database and the store.

At no moment there is an active image without its data: the record says ``saving`` before the
first byte is stored, and ``active`` after the last one.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator, Mapping

from oslo_log import log as logging

from glance_py import streams
from glance_py.claims import Claim, ClaimFilter, Claims
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange, without_data
from glance_py.domain.claim import UPLOAD
from glance_py.domain.image import Image, ImageStatus, Location, check_formats, check_transition
from glance_py.domain.ports import Finalize, PendingRepository, Upload
from glance_py.layers.attempt import AttemptRecorder, failure_message, location_urls
from glance_py.layers.data_deletion import DataDeleter
from glance_py.layers.store_errors import translate_store_errors
from glance_py.settings import FormatSettings
from glance_store_py.errors import GlanceStoreError
from glance_store_py.location import redacted
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)


class UploadFlow:
    """Stores data in stores and records it.

    :param algorithm: a name of hashlib, for images that have no ``os_hash_algo``.
    """

    def __init__(
        self,
        recorder: AttemptRecorder,
        claims: Claims,
        stores: Stores,
        deleter: DataDeleter,
        pending: PendingRepository,
        algorithm: str,
        formats: FormatSettings,
    ) -> None:
        self._recorder = recorder
        self._claims = claims
        self._stores = stores
        self._deleter = deleter
        self._pending = pending
        self._algorithm = algorithm
        self._formats = formats

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        """Store the first data of an image: queued, saving, active; queued when it fails."""
        store = self._target_store(upload)
        check_formats(image)
        check_transition(image, ImageStatus.SAVING)
        request = self._claims.request(UPLOAD)
        change = ImageChange(
            fields={**without_data(image), "status": ImageStatus.SAVING},
            remove_locations=tuple(image.locations),
            expected=frozenset({ImageStatus.QUEUED}),
            reservation=upload.reservation,
            acquire=request,
        )
        saving, replaced = self._recorder.begin(ctx, image, change)
        with self._claims.hold(image.id, saving.grant, request) as claim:
            upload.attempt.claim = claim
            try:
                self._recorder.delete_replaced(ctx, saving, replaced)
                upload.on_step("saving", saving)
                upload.on_step("prepare", saving)
                _, active = self._store(
                    ctx, saving, upload, store, claim, lambda: _activation(saving)
                )
            except BaseException as exc:
                upload.on_failure(failure_message(exc))
                refused_data = self._describe_refused_data(claim.object_name, store, exc)
                self._recorder.reset_to_queued(ctx, saving, upload, claim, exc, refused_data)
                raise
            claim.may_leave_objects = False
            self._claims.release_later(claim)
        for step in ("upload", "activate", "active"):
            upload.on_step(step, active)
        return active

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        """Store one more copy; record it and the change of ``finalize`` in one transaction."""
        upload.on_step("prepare", image)
        try:
            before, after = self._store(
                ctx, image, upload, self._target_store(upload), _claim_of(upload), finalize
            )
        except BaseException as exc:
            upload.on_failure(failure_message(exc))
            raise
        upload.on_step("upload", after)
        if after.status != before.status:
            upload.on_step("activate", after)
        upload.on_step("active", after)
        return after

    def _target_store(self, upload: Upload) -> str | None:
        """The id of the store to write to; None is the default store.

        :raises errors.Invalid: there is no store with the id that the client named.
        """
        if upload.store is None or not self._stores.multi:
            return None
        if upload.store not in self._stores.ids:
            raise errors.Invalid(f"There is no store '{upload.store}' to upload to.")
        return upload.store

    def _store(
        self,
        ctx: Caller,
        image: Image,
        upload: Upload,
        store: str | None,
        claim: Claim,
        finalize: Finalize,
    ) -> tuple[Image, Image]:
        """Write the bytes, then record them and what ``finalize`` yields in one transaction.

        :returns: the image before and after that transaction.
        """
        location, found = self._write(ctx, image, upload, store, claim)
        try:
            with finalize() as (before, change):
                _check_same_data(before, found)
                return before, self._recorder.finish(
                    ctx,
                    before,
                    claim,
                    change.evolve(fields={**found, **change.fields}, add_locations=(location,)),
                    lambda image: location.url in location_urls(image),
                )
        except errors.OutcomeUnknown:
            # The bytes may be those of an active image: recovery finds out.
            claim.outcome_unknown = True
            LOG.error(
                "It is not known whether the data of image %s at %s was recorded; "
                "recovery decides in %d s",
                image.id,
                redacted(location.url),
                self._claims.times.timeout,
            )
            raise
        except BaseException as exc:
            self._deleter.delete_unrecorded(image.id, location, ctx)
            if isinstance(exc, errors.ImageNotFound):
                raise errors.ImageDeletedDuringUpload(image.id) from exc
            raise

    def _write(
        self, ctx: Caller, image: Image, upload: Upload, store: str | None, claim: Claim
    ) -> tuple[Location, dict[str, object]]:
        """Write the bytes to the store.

        :returns: the location, and the fields of the image that describe the data.
        """
        inspection = streams.FormatFilter(image, self._formats)
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
                if image.status == ImageStatus.SAVING:
                    refused.digests = _digests_of_all(arriving, digests)
                raise
            except errors.StoreUnavailable:
                self._record_leftovers(image.id, store, claim.object_name)
                raise
        found: dict[str, object] = {
            "size": stored.size,
            "virtual_size": inspection.virtual_size,
            **digests.fields(),
        }
        return Location(stored.url, stored.metadata), found

    def _record_leftovers(self, image_id: str, store: str | None, name: str) -> None:
        """Record data for later deletion that a store may have kept although it failed."""
        try:
            location = self._predicted_location(store, name)
            if location is not None:
                self._pending.add(image_id, location)
        except (GlanceStoreError, errors.GlanceError) as exc:
            LOG.warning(
                "Store %s may have kept data of image %s: %s",
                self._stores.default if store is None else store,
                image_id,
                exc,
            )

    def _describe_refused_data(
        self, name: str, store: str | None, reason: BaseException
    ) -> ImageChange | None:
        """What a queued image keeps of data whose format was refused.

        wire: its digests, and the URL where it would be (tests/functional/test_image_formats.py).
        The bytes are deleted, and the next data of the image replaces both.
        """
        if not isinstance(reason, errors.InvalidImageFormat) or reason.digests is None:
            return None
        location = None
        with contextlib.suppress(GlanceStoreError):
            location = self._predicted_location(store, name)
        return ImageChange(
            fields=dict(reason.digests), add_locations=() if location is None else (location,)
        )

    def _predicted_location(self, store_id: str | None, name: str) -> Location | None:
        """The location that an object would have; None when the store cannot predict it."""
        store = self._stores.default if store_id is None else store_id
        url = self._stores.predict_url(store, name)
        if url is None:
            return None
        return Location(url, {"store": store} if self._stores.multi else {})


@contextlib.contextmanager
def _activation(saving: Image) -> Iterator[tuple[Image, ImageChange]]:
    yield saving, ImageChange.status(ImageStatus.ACTIVE, expected=ImageStatus.SAVING)


def _claim_of(upload: Upload) -> Claim:
    if not isinstance(upload.attempt.claim, Claim):
        raise RuntimeError("Data is stored under a claim only.")
    return upload.attempt.claim


def _digests_of_all(
    arriving: Iterator[streams.Chunk], digests: streams.HashFilter
) -> Mapping[str, str] | None:
    """The digests of data that the store refused; None when the rest does not arrive."""
    try:
        collections.deque(arriving, maxlen=0)
    except Exception as exc:
        LOG.info("Data that was refused ended early: %s", exc)
        return None
    return digests.fields()


def _check_same_data(image: Image, found: Mapping[str, object]) -> None:
    """Check that a copy has the same bytes as the others.

    :raises errors.Invalid: a digest differs.
    """
    for name in ("checksum", "os_hash_value"):
        known = getattr(image, name)
        if known is not None and known != found[name]:
            raise errors.Invalid("The data differs from the data that the image has already.")
