"""Starts and runs imports.

``start`` checks a request, takes the claim of the image, records the task and queues the work.
Once it has returned, the import ends in success or in a rollback, by this process or by recovery.
The caller's rights are checked by the layers before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from glance_py.claims import Claim
from glance_py.context import get_admin_context
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange, without_data
from glance_py.domain.claim import COPY, IMPORT, object_name
from glance_py.domain.image import Image, ImageStatus
from glance_py.domain.importing import (
    FAILED_STORES,
    GLANCE_DIRECT,
    LOCK_PROPERTY,
    PENDING_STORES,
    REQUIRED_STATUS,
    STAGE_HOST,
    ImportRequest,
    join_stores,
    stores_in,
)
from glance_py.domain.ports import InternalImageOperations
from glance_py.domain.quota import QuotaReservation
from glance_py.domain.task import API_IMAGE_IMPORT, UNFINISHED, Task, TaskStatus
from glance_py.domain.times import utc_now
from glance_py.heartbeat import Clock
from glance_py.importing.claimed_tasks import ClaimedTasks
from glance_py.importing.job import ImportDependencies, ImportJob
from glance_py.importing.plugins import load as load_plugins
from glance_py.importing.rollback import ImportRollback
from glance_py.importing.sources import ImportSource, build_source
from glance_py.importing.staging import StagingArea
from glance_py.importing.target_stores import target_stores
from glance_py.importing.task_executor import RunningTask, user_message
from glance_py.safe_http import Fetcher

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

WORKER_DIED = "The worker that did this died; start it again."

URI_WITH_GLANCE_DIRECT = (
    "glance-direct imports what was staged and web-download a uri: ask for one of "
    "them. The staged data is still there."
)


@dataclasses.dataclass(frozen=True, slots=True)
class _BegunImport:
    """An import whose task is recorded; the image is as it is then."""

    task: Task
    image: Image
    stores: Sequence[str | None]


class Importer:
    """The imports of one process.  Built once; safe in threads.

    :param images: the internal operations, without the layers that check callers.
    :param now: naive UTC, to be compared with times of tasks.
    :raises ValueError: a plugin cannot be used; the text is for the operator.
    """

    def __init__(
        self,
        images: InternalImageOperations,
        deps: Dependencies,
        clock: Clock = time,
        now: Callable[[], datetime.datetime] = utc_now,
        staging: StagingArea | None = None,
        fetcher: Fetcher | None = None,
    ) -> None:
        self.images = images
        self.tasks = deps.task_executor.tasks
        self.staging = staging or StagingArea(deps.stores)
        self._uri_filter = deps.uri_filter
        self._repositories = deps.repositories
        self._stores = deps.stores
        self._limits = deps.limits
        self._claims = deps.claims
        self._claimed_tasks = ClaimedTasks.of(deps)
        self._now = now
        self._plugins = load_plugins(deps.settings.imports.image_import_plugins, deps.conf)
        self.rollback = ImportRollback(
            images, deps.repositories, deps.stores, self.staging, deps.claims
        )
        self._job_deps = ImportDependencies(
            deps.settings.imports,
            deps.settings.tasks,
            deps.settings.quota.image_size_cap,
            images,
            deps.repositories,
            deps.stores,
            self.staging,
            deps.uri_filter,
            fetcher or Fetcher(deps.uri_filter),
            self.rollback,
            clock,
        )

    def start(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        """Start an import in the background; returns when its task is recorded.

        :raises errors.ImportActive: another import of the image goes on.
        :raises errors.Invalid, errors.Conflict: the stores or the source cannot be used.
        :raises errors.QuotaExceeded: the data would exceed a limit of the project.
        """
        self._check_limits(image, request)
        replaces = self._finished_task_id(image)
        if request.store_error is not None:
            raise request.store_error
        stores = target_stores(self._stores, image, request)
        if request.is_copy and not stores:
            return  # wire: nothing is left to copy, and there is no task
        source = build_source(request, self._uri_filter)
        claim = self._claimed_tasks.take_claim(
            ctx,
            image,
            COPY if request.is_copy else IMPORT,
            REQUIRED_STATUS[request.method_name],
            str(uuid.uuid4()),
            replaces,
        )
        with self._claimed_tasks.ended_on_error(claim):
            begun = self._begin(ctx, image, request, stores, claim)
        if begun is None:
            self._claims.end(claim)
            return
        self._claimed_tasks.submit(
            begun.task,
            lambda running_task: self._run_job(
                ctx, begun.image, request, begun.stores, source, running_task, claim
            ),
            claim,
        )

    def run(
        self,
        ctx: Caller,
        image: Image,
        request: ImportRequest,
        running_task: RunningTask,
        claim: Claim,
    ) -> Mapping[str, object]:
        """Do an import in this thread, for a task that runs already; returns the task's result.

        :param claim: the claim of the image, which the caller holds and ends.
        :raises errors.GlanceError: why it failed; the image is queued again.
        """
        stores = target_stores(self._stores, image, request)
        source = build_source(request, self._uri_filter)
        image = self._begin_import(ctx, image, request, stores, claim, running_task.task.id)
        return self._run_job(ctx, image, request, stores, source, running_task, claim)

    # ------------------------------------------------------------ checks

    def _check_limits(self, image: Image, request: ImportRequest) -> None:
        """Check unified limits for the request; each copy reserves its bytes when it is written.

        :raises errors.QuotaExceeded: a limit of the project is reached.
        """
        if self._limits is None:
            return
        size = image.size or 0
        if request.method_name == GLANCE_DIRECT:
            self._limits.check(image.owner, {"image_size_total": size})
        else:
            size = size if request.is_copy else 0
            self._limits.check(image.owner, {"image_size_total": size, "image_stage_total": size})

    def _finished_task_id(self, image: Image) -> str | None:
        """The finished task that the lock property of the image names, None when it names none.

        The claim decides whether the image is worked on; the property is the lock of processes
        that do not know claims.

        :raises errors.ImportActive: the task has not finished.
        """
        holder = image.properties.get(LOCK_PROPERTY)
        task = None if holder is None else self._find_task(holder)
        if task is not None and not self._is_finished(task):
            raise errors.ImportActive(image.id)
        return holder

    def _is_finished(self, task: Task) -> bool:
        """wire: a task that failed keeps the lock for as long as a lease lasts."""
        if task.status in UNFINISHED:
            return False
        return (
            task.status == TaskStatus.SUCCESS
            or task.updated_at is None
            or (self._now() - task.updated_at).total_seconds() > self._claims.times.timeout
        )

    def _find_task(self, task_id: str) -> Task | None:
        try:
            return self._repositories.tasks.get(task_id)
        except errors.TaskNotFound:
            return None

    # ------------------------------------------------------------ the beginning

    def _begin(
        self,
        ctx: Caller,
        image: Image,
        request: ImportRequest,
        stores: Sequence[str | None],
        claim: Claim,
    ) -> _BegunImport | None:
        """Record the task and that the image is importing, under the claim.

        :returns: None when there is nothing to do, because no copy is left to make, or because
            the task failed with an error that is not in the answer.
        """
        if request.is_copy:
            # Another copy may have been made or removed before the claim was taken.
            image = self._repositories.images.get(ctx, image.id)
            stores = target_stores(self._stores, image, request)
            if not stores:
                return None
        task = self._record_task(ctx, image, request, stores, claim)
        if request.method_name == GLANCE_DIRECT and request.method.get("uri"):
            # wire: the task has the error, and the image names the task until the next import.
            self.tasks.fail(task, URI_WITH_GLANCE_DIRECT)
            claim.task_id = None
            return None
        try:
            image = self._begin_import(ctx, image, request, stores, claim)
        except errors.QuotaExceeded as error:
            # wire: that too many images are being imported is in the task, not in the answer.
            self.tasks.fail(task, user_message(error))
            return None
        except BaseException as error:
            # The image may be importing, or become so: then recovery rolls it back.
            claim.outcome_unknown = isinstance(error, errors.OutcomeUnknown)
            self.tasks.fail(task, user_message(error))
            raise
        return _BegunImport(task, image, stores)

    def _record_task(
        self,
        ctx: Caller,
        image: Image,
        request: ImportRequest,
        stores: Sequence[str | None],
        claim: Claim,
    ) -> Task:
        task = Task(
            str(claim.task_id),
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
        )
        return self._claimed_tasks.start(ctx, task)

    def _begin_import(
        self,
        ctx: Caller,
        image: Image,
        request: ImportRequest,
        stores: Sequence[str | None],
        claim: Claim,
        task_id: str | None = None,
    ) -> Image:
        """Record that the import has begun, within the limit of images being imported.

        Staged data counts for that limit already.

        :param task_id: the value of the lock property, when the claim does not set it.
        :raises errors.QuotaExceeded: the limit is reached; the image is unchanged.
        """
        change = self._begin_change(image, request, stores, task_id)
        if self._limits is not None and request.method_name != GLANCE_DIRECT:
            counted = bool(stores_in(image, PENDING_STORES))
            most = self._limits.check(image.owner, {"image_count_uploading": 0 if counted else 1})
            if most:
                change = change.evolve(reservation=QuotaReservation(image.owner, most))
        return self.images.update(ctx, image, claim.guard(change))

    @staticmethod
    def _begin_change(
        image: Image,
        request: ImportRequest,
        stores: Sequence[str | None],
        task_id: str | None,
    ) -> ImageChange:
        """The change of the image that is made before the request is answered."""
        mine = {store for store in stores if store is not None}
        change = ImageChange(
            set_properties={
                PENDING_STORES: join_stores(mine | set(stores_in(image, PENDING_STORES))),
                FAILED_STORES: join_stores(set(stores_in(image, FAILED_STORES)) - mine),
                **({} if task_id is None else {LOCK_PROPERTY: task_id}),
            },
            remove_properties=frozenset({STAGE_HOST}),
            expected=frozenset({REQUIRED_STATUS[request.method_name]}),
        )
        if request.is_copy:
            return change
        return change.evolve(
            fields={**without_data(image), "status": ImageStatus.IMPORTING},
            remove_locations=tuple(image.locations),
        )

    # ------------------------------------------------------------ the work

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

        job = ImportJob(self._job_deps, ctx, image, request, stores, running_task, claim)
        try:
            return flow.run(job, source, () if request.is_copy else self._plugins)
        except errors.OutcomeUnknown:
            # A transaction that may still commit must find the claim held.
            claim.outcome_unknown = True
            raise

    def recover(self, claim: Claim) -> list[str]:
        """Roll back the import of a crashed worker; returns a log line.

        :param claim: the claim of the image, which was taken over.
        """
        task = None if claim.task_id is None else self._find_task(claim.task_id)
        if task is not None and task.status in UNFINISHED:
            with contextlib.suppress(errors.TaskAlreadyFinished):
                self.tasks.fail(task, WORKER_DIED)
        stores = ((task.input or {}).get("backend") if task is not None else None) or (
            self._stores.ids
        )
        status = self.rollback.roll_back(
            get_admin_context(), claim, stores, stores, claim.abandoned_object_names()
        )
        return [
            f"The import of task {claim.task_id} was left by a dead worker: image "
            f"{claim.image_id} is {status or 'gone'}"
        ]

    def has_staged_data(self, image_id: str) -> bool:
        """True when this host can read the staged data of an image."""
        claim = self._repositories.claims.get(image_id)
        name = object_name(image_id, 1 if claim is None else claim.staged)
        return self.staging.size(name) is not None
