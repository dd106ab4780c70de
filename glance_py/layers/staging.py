"""Staging: data is written to the staging store, where it waits for an import."""

from __future__ import annotations

from oslo_log import log as logging

from glance_py import streams
from glance_py.claims import Claim, ClaimFilter, Claims
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange, without_data
from glance_py.domain.claim import STAGE, ClaimRelease, ClaimRepository, object_name
from glance_py.domain.image import Image, ImageStatus, check_transition
from glance_py.domain.importing import STAGE_HOST
from glance_py.domain.ports import Upload
from glance_py.layers.attempt import AttemptRecorder
from glance_py.layers.store_errors import translate_store_errors
from glance_store_py.config import STAGING_STORE
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)

#: The states of an image whose data is staged, or was staged and is imported.
_STAGED_STATES = (ImageStatus.UPLOADING, ImageStatus.IMPORTING, ImageStatus.ACTIVE)


class StagingFlow:
    """Writes staged data and records it; deletes the staged data of deleted images.

    :param self_url: the URL of this worker, recorded with the image: only this worker can read
        what it staged on a disk of its own.  None when the staging store is shared.
    """

    def __init__(
        self,
        recorder: AttemptRecorder,
        claims: Claims,
        repository: ClaimRepository,
        stores: Stores,
        self_url: str | None,
    ) -> None:
        self._recorder = recorder
        self._claims = claims
        self._repository = repository
        self._stores = stores
        self._self_url = self_url

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        """Stage the data of an image: queued, uploading; queued again when it fails.

        The record gets a size when all bytes are in the staging store.
        """
        check_transition(image, ImageStatus.UPLOADING)
        request = self._claims.request(STAGE)
        change = ImageChange(
            fields={**without_data(image), "status": ImageStatus.UPLOADING},
            set_properties={STAGE_HOST: self._self_url} if self._self_url else {},
            remove_locations=tuple(image.locations),
            expected=frozenset({ImageStatus.QUEUED}),
            reservation=upload.reservation,
            acquire=request,
        )
        uploading, replaced = self._recorder.begin(ctx, image, change)
        with self._claims.hold(image.id, uploading.grant, request) as claim:
            upload.attempt.claim = claim
            try:
                self._recorder.delete_replaced(ctx, uploading, replaced)
                upload.on_step("uploading", uploading)
                return self._store(ctx, uploading, upload, claim)
            except BaseException as exc:
                self._recorder.reset_to_queued(ctx, uploading, upload, claim, exc)
                raise

    def _store(self, ctx: Caller, image: Image, upload: Upload, claim: Claim) -> Image:
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
            expected=frozenset({ImageStatus.UPLOADING}),
            reservation=upload.reservation,
            release=ClaimRelease(forget=True),
        )
        try:
            return self._recorder.finish(
                ctx,
                image,
                claim,
                change,
                lambda found: found.size == stored.size and found.status in _STAGED_STATES,
            )
        except errors.OutcomeUnknown:
            claim.outcome_unknown = True  # The data may be staged: recovery finds out.
            raise
        except BaseException as exc:
            self._delete(claim.object_name)
            if isinstance(exc, errors.ImageNotFound):
                raise errors.ImageDeletedDuringUpload(image.id) from exc
            raise

    def delete_staged(self, image_id: str) -> None:
        """Delete the data that all attempts have staged for an image."""
        claim = self._repository.get(image_id)
        last = 1 if claim is None else claim.generation
        self._delete(image_id, *(object_name(image_id, number) for number in range(2, last + 1)))

    def _delete(self, *names: str) -> None:
        for name in names:
            for url in self._stores.delete_attempt(name, STAGING_STORE):
                LOG.debug("Deleted staged data %s", url)
