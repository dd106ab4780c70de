"""Data that lies in a store already becomes an image's (Image API v2.17).

The request is answered at once; what is at the address is looked at, and its
hash computed or compared, in the background.  Data of which a hash was given is
recorded only after it proved right, so an image never shows data that is wrong.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from glance_py import streams
from glance_py.claims import Claim, Claims
from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import LOCATION_IMPORT as CLAIM_KIND
from glance_py.domain.image import Image, Location, check_formats
from glance_py.domain.importing import LOCK_PROPERTY as LOCK_PROPERTY
from glance_py.domain.ports import InternalImageOperations, InternalTaskOperations
from glance_py.domain.registration import Registration
from glance_py.domain.task import LOCATION_IMPORT, UNFINISHED, Task
from glance_py.importing.task_executor import RunningTask, user_message
from glance_py.layers.base import LocationImportAdapter
from glance_py.layers.location_validation import LocationValidator
from glance_py.layers.store_errors import translate_store_errors

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

LOG = logging.getLogger(__name__)


class LocationImportProxy(LocationImportAdapter):
    """Registers data of images, and says where data is registered."""

    def __init__(self, inner: InternalImageOperations, deps: Dependencies) -> None:
        super().__init__(inner)
        self._conf = deps.conf
        self._repositories = deps.repositories
        self._stores = deps.stores
        self._background = deps.task_executor
        self._claims: Claims = deps.claims
        self._validator = LocationValidator(deps.stores, deps.uri_filter, deps.repositories.pending)
        self._read_only_stores = {store.id for store in deps.stores.describe() if store.read_only}

    def list_locations(self, ctx: Caller, image: Image) -> Sequence[Location]:
        """The locations of an image, for one who may know them."""
        return image.locations

    def delete_from_store(self, ctx: Caller, image: Image, store: str) -> Image:
        """Remove a copy of an image in one store, the first there, never the last of all."""
        if image.status != "active":
            raise errors.Conflict(f"The image is {image.status}, not active.")
        if len(image.locations) == 1:
            raise errors.OnlyStoreOfImage(image.id)
        there = next((x for x in image.locations if x.store == store), None)
        if there is None:
            raise errors.NotFound(f"Image {image.id} has no data in store {store}.")
        return self.inner.update(
            ctx, image, ImageChange(remove_locations=(there,), expected=frozenset({"active"}))
        )

    def add_location(self, ctx: Caller, image: Image, registration: Registration) -> None:
        """Have data registered; the task tells how that went.

        :raises errors.ImportActive: other data is on its way into the image.
        """
        task_id = str(uuid.uuid4())
        tasks = self._background.tasks
        claim_request = self._claims.request(CLAIM_KIND, task_id, self._finished_task_id(image))
        try:
            claimed = self._repositories.images.update(
                ctx, image, ImageChange(acquire=claim_request, expected=frozenset({"queued"}))
            )
        except errors.ImageBusy:
            raise errors.ImportActive(image.id) from None
        claim = self._claims.keep_alive(image.id, claimed.grant, claim_request)
        try:
            task = tasks.start(
                tasks.create(
                    ctx,
                    Task(
                        task_id,
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
            )
        except BaseException as error:
            # The task may be on record, whatever the database said: then recovery ends it.
            self._claims.end(claim, not isinstance(error, errors.DatabaseUnavailable))
            raise
        self._background.submit(
            task,
            lambda running_task: self._run_task(ctx, image, registration, running_task, claim),
            after=lambda ended: self._claims.end(claim, ended),
        )

    def _finished_task_id(self, image: Image) -> str | None:
        """The finished task that the image still names.

        :raises errors.ImportActive: that task goes on.
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
        """The task's work."""
        try:
            return self._import_location(ctx, image, registration, running_task, claim)
        except errors.OutcomeUnknown:
            claim.outcome_unknown = (
                True  # The image may be active, or importing: recovery finds out.
            )
            raise

    def _import_location(
        self,
        ctx: Caller,
        image: Image,
        registration: Registration,
        running_task: RunningTask,
        claim: Claim,
    ) -> Mapping[str, object]:
        check_formats(image)
        location, size = self._validator.validate(ctx, image.id, Location(registration.url))
        fields: dict[str, object] = {"size": size}
        if registration.value and self._conf.do_secure_hash:
            self._verify(ctx, image, location, registration, fields, running_task, claim)
            return {"image_id": image.id}
        if registration.value:
            fields.update(os_hash_algo=registration.algorithm, os_hash_value=registration.value)
        active = self._activate(ctx, image, location, fields, "queued", claim)
        if self._conf.do_secure_hash:
            self._compute_hashes(ctx, active, location, running_task, claim)
        return {"image_id": image.id}

    def _activate(
        self,
        ctx: Caller,
        image: Image,
        location: Location,
        fields: Mapping[str, object],
        expected: str,
        claim: Claim,
    ) -> Image:
        change = ImageChange.status("active", expected=expected, **fields)
        change.add_locations = (location,)
        change.clear_data(image)
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
        """Compare the data with the hash that was given, then record it."""
        image = self.inner.update(
            ctx, image, claim.guard(ImageChange.status("importing", expected="queued"))
        )
        running_task.get_cancel_reason = lambda: self._find_cancel_reason(
            ctx, image, "importing", claim
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
            self._activate(ctx, image, location, fields, "importing", claim)
        except errors.OutcomeUnknown:
            raise  # Nobody knows what there is to put back.
        except BaseException:
            self._requeue(ctx, image, refused, claim)
            raise

    def _requeue(
        self, ctx: Caller, image: Image, refused: tuple[Location, ...], claim: Claim
    ) -> None:
        """Back to queued.

        wire: the address of refused data stays on the image when its store does
        not delete; a queued image gives out no data, and whatever makes it
        active drops that address.
        """
        change = ImageChange.status("queued", expected="importing")
        if not image.locations:
            change.add_locations = tuple(x for x in refused if x.store in self._read_only_stores)
        try:
            self.inner.update(ctx, image, claim.guard(change))
        except (errors.ImageNotFound, errors.StatusConflict, errors.ClaimLost) as error:
            LOG.info("Image %s is not put back to queued: %s", image.id, error)

    def _compute_hashes(
        self, ctx: Caller, image: Image, location: Location, running_task: RunningTask, claim: Claim
    ) -> None:
        """Compute the hashes of an image that is active already; a failure changes nothing."""
        running_task.get_cancel_reason = lambda: self._find_cancel_reason(
            ctx, image, "active", claim
        )
        for attempt in range(self._conf.http_retries + 1):
            try:
                digests = self._hash_data(ctx, location, self._conf.hashing_algorithm, running_task)
                self.inner.update(
                    ctx,
                    image,
                    claim.guard(
                        ImageChange(
                            fields=digests.fields(), expected=frozenset({"active", "deactivated"})
                        )
                    ),
                )
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
        """Read all data at a location for its hashes, while somebody wants them."""
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
        self, ctx: Caller, image: Image, status: str, claim: Claim
    ) -> str | None:
        """Why nobody wants the hash any more; asked now and then while it is computed."""
        if claim.is_lost:
            return "Another worker took the work over, because this one gave no sign of life."
        try:
            found = self._repositories.images.get(ctx, image.id).status
        except errors.ImageNotFound:
            return "The image was deleted while its data was looked at."
        if found == status or status == "active" and found == "deactivated":
            return None
        return f"The image became {found} while its data was looked at."


def recover(
    repositories, images, tasks: InternalTaskOperations, claims: Claims, claim: Claim
) -> list[str]:
    """End a registration whose worker died; a line for each thing that was done.

    :param images: the operations behind the policy.
    :param claim: the claim of the image, taken over from the dead worker.
    """
    admin_context = RequestContext(is_admin=True)
    state = "gone"
    with contextlib.suppress(errors.ImageNotFound, errors.StatusConflict):
        image = repositories.images.get(admin_context, claim.image_id)
        if image.status == "importing":
            image = images.update(
                admin_context,
                image,
                claim.guard(ImageChange.status("queued", expected="importing")),
            )
        state = image.status
    with contextlib.suppress(errors.TaskNotFound, errors.TaskAlreadyFinished):
        if claim.task_id is not None:
            tasks.fail(
                repositories.tasks.get(claim.task_id), "The worker that looked at the data died."
            )
    claims.release(claim)
    return [f"Task {claim.task_id} was left by a dead worker: image {claim.image_id} is {state}"]


def _validation_data(registration: Registration) -> dict[str, str]:
    if registration.algorithm is None or registration.value is None:
        return {}
    return {"os_hash_algo": registration.algorithm, "os_hash_value": registration.value}
