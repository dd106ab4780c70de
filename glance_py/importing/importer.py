"""Judges a request to import, takes the claim and hands the work to the background.

When it returns, the import is on record and will have an end: in success, or
with the image as it was.  What the steps are is not known here; who may ask is
decided before.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import logging
import uuid
from collections.abc import Mapping, Sequence

from glance_py.claims import LEASE_SECONDS, Claim, Claims
from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import COPY, IMPORT, object_name
from glance_py.domain.image import STAGE_HOST, Image
from glance_py.domain.importing import (
    FAILED_STORES,
    GLANCE_DIRECT,
    GLANCE_DOWNLOAD,
    LOCK_PROPERTY,
    PENDING_STORES,
    REQUIRED_STATUS,
    WEB_DOWNLOAD,
    ImportRequest,
    join_stores,
    stores_in,
)
from glance_py.domain.quota import QuotaReservation
from glance_py.domain.task import API_IMAGE_IMPORT, UNFINISHED, Task
from glance_py.importing.job import ImportDependencies, ImportJob
from glance_py.importing.plugins import load as load_plugins
from glance_py.importing.rollback import ImportRollback
from glance_py.importing.sources import GlanceDownload, ImportSource, WebDownload
from glance_py.importing.staging import StagedObject, StagingArea
from glance_py.importing.task_executor import RunningTask, TaskExecutor, user_message
from glance_py.safe_http import Fetcher

LOG = logging.getLogger(__name__)

WORKER_DIED = "The worker that did this died; start it again."

URI_WITH_GLANCE_DIRECT = (
    "glance-direct imports what was staged and web-download a uri: ask for one of "
    "them. The staged data is still there."
)

#: Seconds that staged data must lie still before it can be taken for lost.
STAGING_IDLE_SECONDS = 10.0

#: On whose behalf dead workers are cleaned up after.
_ADMIN_CONTEXT = RequestContext(is_admin=True)


class Importer:
    """The imports of one process; built once, used by all threads.

    :param images: the operations behind the policy.
    :raises ValueError: a plugin cannot be used, with a sentence for the operator.
    """

    def __init__(self, images, deps) -> None:
        self.images = images
        self.task_executor: TaskExecutor = deps.task_executor
        self.staging = StagingArea(deps.stores)
        self.filter = deps.uri_filter
        self._conf = deps.conf
        self._repositories = deps.repositories
        self._stores = deps.stores
        self._limits = deps.limits
        self._plugins = load_plugins(deps.conf)
        self.claims: Claims = deps.claims
        self.rollback = ImportRollback(images, deps.repositories, deps.stores, self.claims)

    @functools.cached_property
    def _import_deps(self) -> ImportDependencies:
        return ImportDependencies(
            self._conf,
            self.images,
            self._repositories,
            self._stores,
            self.staging,
            Fetcher(self._conf, self.filter),
            self.rollback,
        )

    def start(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        """Begin an import; returns when its end is certain.

        :raises errors.ImportActive: another one is going on.
        :raises errors.Invalid, errors.Conflict: stores or the source make no sense.
        :raises errors.QuotaExceeded: there is no room for the data.
        """
        self._check_limits(image, request)
        replaces = self._finished_task_id(image)
        if request.store_error is not None:
            raise request.store_error
        stores = self._target_stores(image, request)
        if request.is_copy and not stores:
            return  # wire: there is nothing left to copy, and no task to look at
        source = self.source(ctx, request)
        task_id = str(uuid.uuid4())
        tasks = self.task_executor.tasks
        claim = self._take_claim(ctx, image, request, task_id, replaces)
        try:
            if request.is_copy:
                # Another copy may have been made or removed before the claim was taken.
                image = self._repositories.images.get(ctx, image.id)
                stores = self._target_stores(image, request)
                if not stores:
                    self.claims.end(claim)
                    return
            task = tasks.start(
                tasks.create(
                    ctx,
                    Task(
                        task_id,
                        API_IMAGE_IMPORT,
                        owner=ctx.project_id or "",
                        input={
                            "image_id": image.id,
                            "import_req": request.document,
                            "backend": list(stores),
                        },
                        image_id=image.id,
                        request_id=ctx.request_id,
                        user_id=ctx.user_id,
                    ),
                )
            )
            if request.method_name == GLANCE_DIRECT and request.method.get("uri"):
                # wire: the task says so, and stands in the image until the next import.
                tasks.fail(task, URI_WITH_GLANCE_DIRECT)
                claim.task_id = None
                self.claims.end(claim)
                return
            try:
                image = self._begin_import(ctx, image, request, stores, claim)
            except errors.QuotaExceeded as error:
                # wire: too many images on their way is what the task says, not the answer.
                tasks.fail(task, user_message(error))
                self.claims.end(claim)
                return
            except BaseException as error:
                # The image may be importing, or become so: recovery brings it back.
                claim.outcome_unknown = isinstance(error, errors.OutcomeUnknown)
                tasks.fail(task, user_message(error))
                raise
        except BaseException as error:
            # The task may be on record, whatever the database said: then recovery ends it.
            self.claims.end(claim, not isinstance(error, errors.DatabaseUnavailable))
            raise
        self.task_executor.submit(
            task,
            lambda running_task: self._run_job(
                ctx, image, request, stores, source, running_task, claim
            ),
            after=lambda ended: self.claims.end(claim, ended),
        )

    def run(
        self,
        ctx: Caller,
        image: Image,
        request: ImportRequest,
        running_task: RunningTask,
        claim: Claim,
    ) -> Mapping[str, object]:
        """Do an import here and now, for a task that is being worked on already.

        :param claim: the claim of the image, which the caller took and gives back.
        :raises errors.GlanceError: why it failed; the image is queued again.
        """
        stores = self._target_stores(image, request)
        source = self.source(ctx, request)
        image = self._begin_import(ctx, image, request, stores, claim, running_task.task.id)
        return self._run_job(ctx, image, request, stores, source, running_task, claim)

    def _take_claim(
        self, ctx: Caller, image: Image, request: ImportRequest, task_id: str, replaces: str | None
    ) -> Claim:
        """Take the claim of the image for a task.

        :raises errors.ImportActive: somebody else works on the image.
        """
        claim_request = self.claims.request(COPY if request.is_copy else IMPORT, task_id, replaces)
        try:
            claimed = self._repositories.images.update(
                ctx,
                image,
                ImageChange(
                    acquire=claim_request,
                    expected=frozenset({REQUIRED_STATUS[request.method_name]}),
                ),
            )
        except errors.ImageBusy:
            raise errors.ImportActive(image.id) from None
        return self.claims.keep_alive(image.id, claimed.grant, claim_request)

    def _check_limits(self, image: Image, request: ImportRequest) -> None:
        """Is there room now?  The copies themselves claim theirs when they come."""
        if self._limits is None:
            return
        size = image.size or 0
        if request.method_name == GLANCE_DIRECT:
            self._limits.check(image.owner, {"image_size_total": size})
        else:
            size = size if request.is_copy else 0
            self._limits.check(image.owner, {"image_size_total": size, "image_stage_total": size})

    def _finished_task_id(self, image: Image) -> str | None:
        """The finished task that the image still names, which the next import may replace.

        Whether somebody works on the image is decided by its claim; this is about processes
        that do not know claims, for which the property is the lock.

        :raises errors.ImportActive: the task that the image names goes on.
        """
        holder = image.properties.get(LOCK_PROPERTY)
        task = None if holder is None else self._task(holder)
        if task is not None and not self._is_finished(task):
            raise errors.ImportActive(image.id)
        return holder

    @staticmethod
    def _is_finished(task: Task) -> bool:
        """wire: a task that failed holds the image for a while longer."""
        if task.status in UNFINISHED:
            return False
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        return (
            task.status == "success"
            or task.updated_at is None
            or (now - task.updated_at).total_seconds() > LEASE_SECONDS
        )

    def _task(self, task_id: str) -> Task | None:
        try:
            return self._repositories.tasks.get(task_id)
        except errors.TaskNotFound:
            return None

    def _target_stores(self, image: Image, request: ImportRequest) -> list[str | None]:
        """Ids of the stores to bring the data to; [None] when there is only one store.

        :raises errors.Invalid: they were chosen in two ways, hold the data already, or do not
            take any.
        :raises errors.Conflict: one is not known.
        """
        if not self._stores.multi:
            if not request.all_must_succeed:
                raise errors.Invalid("all_stores_must_succeed needs a service with many stores.")
            return [None]
        if request.all_stores:
            if request.stores is not None:
                raise errors.Invalid("Either name stores or ask for all_stores.")
            chosen = [store.id for store in self._stores.describe() if not store.read_only]
        else:
            chosen = (
                [self._stores.default]
                if request.stores is None
                else list(dict.fromkeys(request.stores))
            )
        unknown = [store for store in chosen if store not in self._stores.ids]
        if unknown:
            raise errors.Conflict(f"There is no store {unknown[0]!r} to import to.")
        read_only = {store.id for store in self._stores.describe() if store.read_only}
        barred = [store for store in chosen if store in read_only]
        if barred and (request.all_must_succeed or barred == chosen):
            raise errors.Invalid(
                f"Nothing can be imported into {', '.join(map(str, barred))}: "
                f"such stores are read-only."
            )
        if request.all_stores and not chosen:
            raise errors.Invalid("Nothing can be imported: all stores are read-only.")
        if not request.is_copy:
            return list(chosen)
        present = {location.store for location in image.locations}
        double = present & set(chosen)
        if double and not request.all_stores:
            raise errors.Invalid(f"The image is in store {sorted(double, key=str)[0]} already.")
        return [store for store in chosen if store not in present]

    def source(self, ctx: Caller, request: ImportRequest) -> ImportSource | None:
        """What will fetch the data; None when it is here.

        :raises errors.Invalid: it may not be fetched from there.
        """
        method = request.method
        if request.method_name == WEB_DOWNLOAD:
            uri = str(method["uri"]).strip()
            self.filter.check(uri)
            checksum = method.get("checksum")
            return WebDownload(
                uri, (str(method["checksum_algorithm"]), str(checksum)) if checksum else None
            )
        if request.method_name == GLANCE_DOWNLOAD:
            return GlanceDownload(
                *(
                    str(method[key])
                    for key in ("glance_region", "glance_service_interface", "glance_image_id")
                )
            )
        return None

    def _begin_import(
        self,
        ctx: Caller,
        image: Image,
        request: ImportRequest,
        stores: Sequence[str | None],
        claim: Claim,
        task_id: str | None = None,
    ) -> Image:
        """Let the import begin, if there is a place among the images whose data is on its way.

        Staged data has its place already.

        :param task_id: the task that the image is to name, when the claim does not say it.
        :raises errors.QuotaExceeded: too many are on their way; the image is as it was.
        """
        change = self._begin_change(image, request, stores)
        if self._limits is not None and request.method_name != GLANCE_DIRECT:
            counted = bool(stores_in(image, PENDING_STORES))
            most = self._limits.check(image.owner, {"image_count_uploading": 0 if counted else 1})
            if most:
                change.reservation = QuotaReservation(image.owner, most)
        if task_id is not None:
            change.set_properties[LOCK_PROPERTY] = task_id
        return self.images.update(ctx, image, claim.guard(change))

    def _begin_change(
        self, image: Image, request: ImportRequest, stores: Sequence[str | None]
    ) -> ImageChange:
        """The image says that an import has begun, before the request is answered."""
        change = ImageChange(
            remove_properties={STAGE_HOST},
            expected=frozenset({REQUIRED_STATUS[request.method_name]}),
        )
        if not request.is_copy:
            change.fields["status"] = "importing"
            change.clear_data(image)
        mine = {store for store in stores if store is not None}
        change.set_properties = {
            PENDING_STORES: join_stores(mine | set(stores_in(image, PENDING_STORES))),
            FAILED_STORES: join_stores(set(stores_in(image, FAILED_STORES)) - mine),
        }
        return change

    def _run_job(
        self,
        ctx: Caller,
        image: Image,
        request: ImportRequest,
        stores: Sequence[str | None],
        source: ImportSource | None,
        running_task: RunningTask,
        claim: Claim,
    ) -> Mapping[str, object]:
        from glance_py.importing import flow

        job = ImportJob(self._import_deps, ctx, image, request, stores, running_task, claim)
        try:
            return flow.run(job, source, () if request.is_copy else self._plugins)
        except errors.OutcomeUnknown:
            claim.outcome_unknown = True  # What is still on its way needs the claim to be harmless.
            raise

    def recover(self, claim: Claim) -> list[str]:
        """Roll back the import of a worker that died; a line for each thing that was done.

        :param claim: the claim of the image, taken over from the dead worker.
        """
        task = None if claim.task_id is None else self._task(claim.task_id)
        if task is not None and task.status in UNFINISHED:
            with contextlib.suppress(errors.TaskAlreadyFinished):
                self.task_executor.tasks.fail(task, WORKER_DIED)
        stores = ((task.input or {}).get("backend") if task is not None else None) or (
            self._stores.ids
        )
        status = self.rollback.roll_back(
            _ADMIN_CONTEXT, claim, stores, stores, claim.abandoned_object_names()
        )
        return [
            f"The import of task {claim.task_id} was left by a dead worker: image "
            f"{claim.image_id} is {status or 'gone'}"
        ]

    def recover_staging(self) -> list[str]:
        """Remove staged data that nobody waits for: its image is gone, or waits for other data."""
        done = []
        for staged in list(self.staging.list()):
            reason = self._unneeded_reason(staged)
            if reason is not None and self.staging.remove_if_idle(
                staged.name, 0.0 if reason == "gone" else STAGING_IDLE_SECONDS
            ):
                done.append(f"Removed staged data {staged.name}: the image is {reason}")
        return done

    def has_staged_data(self, image_id: str) -> bool:
        """Is the staged data of an image within reach of this host?"""
        claim = self._repositories.claims.get(image_id)
        name = object_name(image_id, 1 if claim is None else claim.staged)
        return self.staging.size(name) is not None

    def _unneeded_reason(self, staged: StagedObject) -> str | None:
        """Why staged data is not needed, None while it is: the status of its image."""
        try:
            image = self._repositories.images.get(_ADMIN_CONTEXT, staged.image_id)
        except errors.ImageNotFound:
            return "gone"
        claim = self._repositories.claims.get(image.id)
        waiting = {1} if claim is None else {claim.staged}
        if claim is not None and claim.holder:
            waiting.add(claim.generation)
        needed = (
            claim is not None
            and claim.holder != ""
            or LOCK_PROPERTY in image.properties
            or image.status in ("uploading", "importing")
        )
        return None if needed and staged.generation in waiting else image.status
