"""The layer for locations of images (Image API v2.17): adding, listing and deleting them.

A location is added in the background, after the request was answered.  When the client gave the
hash of the data, the location is recorded only after the data was read and had that hash, so that
an image never shows wrong data.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from glance_py import streams
from glance_py.claims import Claim, Claims
from glance_py.context import get_admin_context
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange, without_data
from glance_py.domain.claim import LOCATION_IMPORT as CLAIM_KIND
from glance_py.domain.image import Image, ImageStatus, Location, check_formats
from glance_py.domain.importing import LOCK_PROPERTY
from glance_py.domain.ports import (
    InternalImageOperations,
    InternalTaskOperations,
    Repositories,
)
from glance_py.domain.registration import Registration
from glance_py.domain.task import LOCATION_IMPORT, UNFINISHED, Task
from glance_py.importing.claimed_tasks import ClaimedTasks
from glance_py.importing.task_executor import RunningTask, user_message
from glance_py.layers.base import LocationImportAdapter
from glance_py.layers.location_validation import LocationValidator
from glance_py.layers.store_errors import translate_store_errors

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

LOG = logging.getLogger(__name__)


class LocationImportProxy(LocationImportAdapter):
    """Adds, lists and deletes locations."""

    def __init__(self, inner: InternalImageOperations, deps: Dependencies) -> None:
        super().__init__(inner)
        self._settings = deps.settings.data
        self._repositories = deps.repositories
        self._stores = deps.stores
        self._claimed_tasks = ClaimedTasks.of(deps)
        self._validator = LocationValidator(deps.stores, deps.uri_filter, deps.repositories.pending)
        self._read_only_stores = {store.id for store in deps.stores.describe() if store.read_only}

    def list_locations(self, ctx: Caller, image: Image) -> Sequence[Location]:
        return image.locations

    def delete_from_store(self, ctx: Caller, image: Image, store: str) -> Image:
        """Remove the first copy in a store.

        :raises errors.Conflict: the image is not active.
        :raises errors.OnlyStoreOfImage: there is no other copy.
        :raises errors.NotFound: the store has no copy.
        """
        if image.status != ImageStatus.ACTIVE:
            raise errors.Conflict(f"The image is {image.status}, not active.")
        if len(image.locations) == 1:
            raise errors.OnlyStoreOfImage(image.id)
        there = next((x for x in image.locations if x.store == store), None)
        if there is None:
            raise errors.NotFound(f"Image {image.id} has no data in store {store}.")
        change = ImageChange(remove_locations=(there,), expected=frozenset({ImageStatus.ACTIVE}))
        return self.inner.update(ctx, image, change)

    def add_location(self, ctx: Caller, image: Image, registration: Registration) -> None:
        """Start the task that adds a location; the task shows how that ends.

        :raises errors.ImportActive: another attempt works on the image.
        """
        claim = self._claimed_tasks.take_claim(
            ctx,
            image,
            CLAIM_KIND,
            ImageStatus.QUEUED,
            str(uuid.uuid4()),
            self._finished_task_id(image),
        )
        with self._claimed_tasks.ended_on_error(claim):
            task = self._claimed_tasks.start(
                ctx,
                Task(
                    str(claim.task_id),
                    LOCATION_IMPORT,
                    owner=ctx.project_id or "",
                    input={
                        "image_id": image.id,
                        "loc_url": registration.url,
                        "validation_data": _validation_data(registration),
                    },
                    image_id=image.id,
                    request_id=ctx.request_id,
                    user_id=ctx.user_id,
                ),
            )
        self._claimed_tasks.submit(
            task,
            lambda running_task: self._run_task(ctx, image, registration, running_task, claim),
            claim,
        )

    def _finished_task_id(self, image: Image) -> str | None:
        """The finished task that the lock property of the image names, None when it names none.

        :raises errors.ImportActive: the task has not finished.
        """
        holder = image.properties.get(LOCK_PROPERTY)
        if holder is not None:
            with contextlib.suppress(errors.TaskNotFound):
                if self._repositories.tasks.get(holder).status in UNFINISHED:
                    raise errors.ImportActive(image.id)
        return holder

    def _run_task(
        self,
        ctx: Caller,
        image: Image,
        registration: Registration,
        running_task: RunningTask,
        claim: Claim,
    ) -> Mapping[str, object]:
        """Do the work of the task; returns its result."""
        try:
            self._import_location(ctx, image, registration, running_task, claim)
        except errors.OutcomeUnknown:
            # The image may be active, or importing: recovery finds out.
            claim.outcome_unknown = True
            raise
        return {"image_id": image.id}

    def _import_location(
        self,
        ctx: Caller,
        image: Image,
        registration: Registration,
        running_task: RunningTask,
        claim: Claim,
    ) -> None:
        check_formats(image)
        location, size = self._validator.validate(ctx, image.id, Location(registration.url))
        fields: dict[str, object] = {"size": size}
        if registration.value and self._settings.do_secure_hash:
            self._verify(ctx, image, location, registration, fields, running_task, claim)
            return
        if registration.value:
            fields.update(os_hash_algo=registration.algorithm, os_hash_value=registration.value)
        active = self._activate(ctx, image, location, fields, ImageStatus.QUEUED, claim)
        if self._settings.do_secure_hash:
            self._compute_hashes(ctx, active, location, running_task, claim)

    def _activate(
        self,
        ctx: Caller,
        image: Image,
        location: Location,
        fields: Mapping[str, object],
        expected: ImageStatus,
        claim: Claim,
    ) -> Image:
        """Record the location and make the image active, if its status is ``expected``."""
        change = ImageChange(
            fields={**without_data(image), "status": ImageStatus.ACTIVE, **fields},
            add_locations=(location,),
            remove_locations=tuple(image.locations),
            expected=frozenset({expected}),
        )
        return self.inner.update(ctx, image, claim.guard(change))

    def _verify(
        self,
        ctx: Caller,
        image: Image,
        location: Location,
        registration: Registration,
        fields: dict[str, object],
        running_task: RunningTask,
        claim: Claim,
    ) -> None:
        """Record the location, if the data has the hash that the client gave.

        :param fields: fields of the image to set.
        :raises errors.Invalid: the hash is another one; the image is queued again.
        """
        change = ImageChange.status(ImageStatus.IMPORTING, expected=ImageStatus.QUEUED)
        image = self.inner.update(ctx, image, claim.guard(change))
        running_task.get_cancel_reason = lambda: self._find_cancel_reason(
            ctx, image, ImageStatus.IMPORTING, claim
        )
        refused: tuple[Location, ...] = ()
        try:
            digests = self._hash_data(ctx, location, str(registration.algorithm), running_task)
            if digests.value != registration.value:
                refused = (location,)
                raise errors.Invalid(
                    f"The {registration.algorithm} of the data is not the one that was given."
                )
            fields.update(digests.fields())
            claim.raise_if_lost()
            self._activate(ctx, image, location, fields, ImageStatus.IMPORTING, claim)
        except errors.OutcomeUnknown:
            raise  # The image may be active: it must not be queued here.
        except BaseException:
            self._requeue(ctx, image, refused, claim)
            raise

    def _requeue(
        self, ctx: Caller, image: Image, refused: tuple[Location, ...], claim: Claim
    ) -> None:
        """Set the image back to queued.

        wire: refused data in a read-only store stays on the image as a location.  A queued image
        has no data for users, and the change that makes it active removes that location.
        """
        change = ImageChange.status(ImageStatus.QUEUED, expected=ImageStatus.IMPORTING)
        if not image.locations:
            change = change.evolve(
                add_locations=tuple(x for x in refused if x.store in self._read_only_stores)
            )
        try:
            self.inner.update(ctx, image, claim.guard(change))
        except (errors.ImageNotFound, errors.StatusConflict, errors.ClaimLost) as error:
            LOG.info("Image %s is not set back to queued: %s", image.id, error)

    def _compute_hashes(
        self, ctx: Caller, image: Image, location: Location, running_task: RunningTask, claim: Claim
    ) -> None:
        """Compute and record the hashes of an active image; without them it stays active."""
        running_task.get_cancel_reason = lambda: self._find_cancel_reason(
            ctx, image, ImageStatus.ACTIVE, claim
        )
        for attempt in range(self._settings.http_retries + 1):
            try:
                digests = self._hash_data(
                    ctx, location, self._settings.hashing_algorithm, running_task
                )
                change = ImageChange(
                    fields=digests.fields(),
                    expected=frozenset({ImageStatus.ACTIVE, ImageStatus.DEACTIVATED}),
                )
                self.inner.update(ctx, image, claim.guard(change))
                return
            except (
                errors.TaskCancelled,
                errors.ImageNotFound,
                errors.StatusConflict,
                errors.ClaimLost,
            ) as error:
                LOG.info("Image %s gets no hash: %s", image.id, error)
                return
            except Exception as error:
                LOG.warning(
                    "The hash of image %s could not be computed (attempt %d): %s",
                    image.id,
                    attempt + 1,
                    user_message(error),
                )

    def _hash_data(
        self, ctx: Caller, location: Location, algorithm: str, running_task: RunningTask
    ) -> streams.HashFilter:
        """Read all data at a location; returns its hashes.

        :raises errors.TaskCancelled: the task is cancelled.
        :raises errors.GlanceError: the data cannot be read.
        """
        digests = streams.HashFilter(algorithm)
        with translate_store_errors():
            data = self._stores.get(location.url, location.store, caller=ctx)
            try:
                for _ in streams.filtered(data.chunks, (digests,)):
                    running_task.raise_if_cancelled()
            finally:
                data.close()
        return digests

    def _find_cancel_reason(
        self, ctx: Caller, image: Image, status: ImageStatus, claim: Claim
    ) -> str | None:
        """The reason for which reading must stop, None while the image has the status."""
        if claim.is_lost:
            return "Another worker took the work over, because this one gave no sign of life."
        try:
            found = self._repositories.images.get(ctx, image.id).status
        except errors.ImageNotFound:
            return "The image was deleted while its data was looked at."
        if found == status or (status == ImageStatus.ACTIVE and found == ImageStatus.DEACTIVATED):
            return None
        return f"The image became {found} while its data was looked at."


def recover(
    repositories: Repositories,
    images: InternalImageOperations,
    tasks: InternalTaskOperations,
    claims: Claims,
    claim: Claim,
) -> list[str]:
    """End the addition of a location by a crashed worker; returns a log line.

    An image that is importing is queued again.

    :param claim: the claim of the image, which was taken over.
    """
    admin = get_admin_context()
    state = "gone"
    with contextlib.suppress(errors.ImageNotFound, errors.StatusConflict):
        image = repositories.images.get(admin, claim.image_id)
        if image.status == ImageStatus.IMPORTING:
            change = ImageChange.status(ImageStatus.QUEUED, expected=ImageStatus.IMPORTING)
            image = images.update(admin, image, claim.guard(change))
        state = image.status
    with contextlib.suppress(errors.TaskNotFound, errors.TaskAlreadyFinished):
        if claim.task_id is not None:
            tasks.fail(
                repositories.tasks.get(claim.task_id), "The worker that looked at the data died."
            )
    claims.release(claim)
    return [f"Task {claim.task_id} was left by a dead worker: image {claim.image_id} is {state}"]


def _validation_data(registration: Registration) -> dict[str, str]:
    """The part of the task's input with the hash that the client gave."""
    if registration.algorithm is None or registration.value is None:
        return {}
    return {"os_hash_algo": registration.algorithm, "os_hash_value": registration.value}
