"""Judges a request to import, takes the lock and hands the work to the background.

When it returns, the import is on record and will have an end: in success, or
with the image as it was.  What the steps are is not known here; who may ask is
decided before.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.change import Change
from glance_py.domain.claim import Claim
from glance_py.domain.image import Image
from glance_py.domain.importing import (
    FAILED_STORES,
    GLANCE_DIRECT,
    GLANCE_DOWNLOAD,
    NEEDED,
    PENDING_STORES,
    STAGE_HOST,
    TASK,
    WEB_DOWNLOAD,
    ImportRequest,
    joined,
    listed,
)
from glance_py.domain.task import API_IMAGE_IMPORT, LOCATION_IMPORT, UNFINISHED, Task
from glance_py.importing.background import Background, Work, sentence
from glance_py.importing.giveback import GiveBack
from glance_py.importing.job import Job, Room
from glance_py.importing.plugins import load as load_plugins
from glance_py.importing.sources import GlanceDownload, Source, WebDownload
from glance_py.importing.staging import Staging
from glance_py.outgoing import Fetcher
from glance_py.recovery import LEASE

LOG = logging.getLogger(__name__)

DIED = "The worker that did this died; start it again."

CONTRADICTION = ("glance-direct imports what was staged and web-download a uri: ask for one of "
                 "them. The staged data is still there.")

#: Seconds that staged data must lie still before it can be taken for lost.
SETTLED = 10.0

#: Seconds that a request waits for a lock that is about to be given back.
UNLOCKING = 3.0

#: On whose behalf dead workers are cleaned up after.
_MYSELF = RequestContext(is_admin=True)


class Importer:
    """The imports of one process; built once, used by all threads.

    :param images: the verbs behind the policy.
    :raises ValueError: a plugin cannot be used, with a sentence for the operator.
    """

    def __init__(self, images, services) -> None:
        self.images = images
        self.background: Background = services.background
        self.staging = Staging(services.stores)
        self.filter = services.uri_filter
        self._conf = services.conf
        self._records = services.records
        self._stores = services.stores
        self._limits = services.limits
        self._plugins = load_plugins(services.conf)
        self.give_back = GiveBack(images, services.records, services.stores)

    @functools.cached_property
    def _room(self) -> Room:
        return Room(self._conf, self.images, self._records, self._stores, self.staging,
                    Fetcher(self._conf, self.filter))

    def start(self, ctx, image: Image, request: ImportRequest) -> None:
        """Begin an import; returns when its end is certain.

        :raises errors.ImportActive: another one is going on.
        :raises errors.Invalid, errors.Conflict: stores or the source make no sense.
        :raises errors.QuotaExceeded: there is no room for the data.
        """
        self._check_limits(image, request)
        if not self._is_free(image):
            raise errors.ImportActive(image.id)
        if request.objection is not None:
            raise request.objection
        stores = self._targets(image, request)
        if request.copies and not stores:
            return  # wire: there is nothing left to copy, and no task to look at
        source = self.source(ctx, request)
        task_id = str(uuid.uuid4())
        tasks = self.background.tasks
        with self._locked(image, task_id):
            task = tasks.start(tasks.create(ctx, Task(
                task_id, API_IMAGE_IMPORT, owner=ctx.project_id or "",
                input={"image_id": image.id, "import_req": request.document,
                       "backend": list(stores)},
                image_id=image.id, request_id=ctx.request_id, user_id=ctx.user_id)))
            if request.name == GLANCE_DIRECT and request.method.get("uri"):
                # wire: the task says so, and holds the image until the next import takes over.
                tasks.fail(task, CONTRADICTION)
                return
            try:
                image = self._open(ctx, image, request, stores)
            except errors.QuotaExceeded as error:
                # wire: too many images on their way is what the task says, not the answer.
                tasks.fail(task, sentence(error))
                self._records.locks.release(image.id, task_id)
                return
            except BaseException as error:
                tasks.fail(task, sentence(error))
                raise
        self.background.submit(
            task, lambda work: self._do(ctx, image, request, stores, source, work),
            after=lambda: self._records.locks.release(image.id, task_id))

    def run(self, ctx, image: Image, request: ImportRequest, work: Work) -> Mapping[str, object]:
        """Do an import here and now, for a task that is being worked on already.

        :raises errors.GlanceError: why it failed; the image is queued again.
        """
        stores = self._targets(image, request)
        source = self.source(ctx, request)
        with self._locked(image, work.task.id):
            image = self._open(ctx, image, request, stores)
        try:
            return self._do(ctx, image, request, stores, source, work)
        finally:
            self._records.locks.release(image.id, work.task.id)

    @contextlib.contextmanager
    def _locked(self, image: Image, task_id: str) -> Iterator[None]:
        """Let one task hold the image; it goes on holding it unless the block fails."""
        if not self._records.locks.acquire(image.id, task_id):
            raise errors.ImportActive(image.id)
        try:
            yield
        except BaseException:
            self._records.locks.release(image.id, task_id)
            raise

    def _check_limits(self, image: Image, request: ImportRequest) -> None:
        """Is there room now?  The copies themselves claim theirs when they come."""
        if self._limits is None:
            return
        size = image.size or 0
        if request.name == GLANCE_DIRECT:
            self._limits.room(image.owner, {"image_size_total": size})
        else:
            size = size if request.copies else 0
            self._limits.room(image.owner, {"image_size_total": size, "image_stage_total": size})

    def _is_free(self, image: Image) -> bool:
        """Is no import going on?  A lock that outlived its task is taken away.

        Not at once: it is taken just before its task is on record, and given
        back only after all is undone that a failed task did.  Who sees a queued
        image and asks at once waits for that.
        """
        holder = image.properties.get(TASK)
        if holder is None:
            return True
        deadline = time.monotonic() + UNLOCKING
        while True:
            task = self._task(holder)
            if task is not None and task.status in UNFINISHED and not self._is_queued(image):
                return False
            late = time.monotonic() >= deadline or (
                task is not None and image.status == "uploading")  # nothing is being undone
            if task is None and late or task is not None and self._is_over(task):
                LOG.info("Image %s was held by task %s, which is over", image.id, holder)
                return self._records.locks.release(image.id, holder)
            if late:
                return False
            time.sleep(0.1)
            if self._records.locks.holder(image.id) != holder:
                return True  # or somebody else's: who takes the lock will see

    @staticmethod
    def _is_over(task: Task) -> bool:
        """Is there nobody any more who takes back what a task did?"""
        if task.status in UNFINISHED:
            return False
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        return (task.status == "success" or task.updated_at is None
                or (now - task.updated_at).total_seconds() > LEASE)

    def _is_queued(self, image: Image) -> bool:
        return image.status == "queued" and (
            self._records.images.get(_MYSELF, image.id).status == "queued")

    def _task(self, task_id: str) -> Task | None:
        try:
            return self._records.tasks.get(task_id)
        except errors.TaskNotFound:
            return None

    def _targets(self, image: Image, request: ImportRequest) -> list[str | None]:
        """Ids of the stores to bring the data to; [None] when there is only one store.

        :raises errors.Invalid: they were chosen in two ways, or hold the data already.
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
            chosen = [self._stores.default] if request.stores is None else list(
                dict.fromkeys(request.stores))
        unknown = [store for store in chosen if store not in self._stores.ids]
        if unknown:
            raise errors.Conflict(f"There is no store {unknown[0]!r} to import to.")
        if not request.copies:
            return list(chosen)
        present = {location.store for location in image.locations}
        double = present & set(chosen)
        if double and not request.all_stores:
            raise errors.Invalid(
                f"The image is in store {sorted(double, key=str)[0]} already.")
        return [store for store in chosen if store not in present]

    def source(self, ctx, request: ImportRequest) -> Source | None:
        """What will fetch the data; None when it is here.

        :raises errors.Invalid: it may not be fetched from there.
        """
        method = request.method
        if request.name == WEB_DOWNLOAD:
            uri = str(method["uri"]).strip()
            self.filter.check(uri)
            checksum = method.get("checksum")
            return WebDownload(uri, (str(method["checksum_algorithm"]), str(checksum))
                               if checksum else None)
        if request.name == GLANCE_DOWNLOAD:
            return GlanceDownload(*(str(method[key]) for key in (
                "glance_region", "glance_service_interface", "glance_image_id")))
        return None

    def _open(self, ctx, image: Image, request: ImportRequest,
              stores: Sequence[str | None]) -> Image:
        """Let the import begin, if there is a place among the images whose data is on its way.

        Staged data has its place already.

        :raises errors.QuotaExceeded: too many are on their way; the image is as it was.
        """
        change = self._opening(image, request, stores)
        if self._limits is not None and request.name != GLANCE_DIRECT:
            counted = bool(listed(image, PENDING_STORES))
            most = self._limits.room(
                image.owner, {"image_count_uploading": 0 if counted else 1})
            if most:
                change.claim = Claim(image.owner, most)
        return self.images.update(ctx, image, change)

    def _opening(self, image: Image, request: ImportRequest,
                 stores: Sequence[str | None]) -> Change:
        """The image says that an import has begun, before the request is answered."""
        change = Change(remove_properties={STAGE_HOST},
                        expected=frozenset({NEEDED[request.name]}))
        if not request.copies:
            change.fields["status"] = "importing"
            change.start_over(image)
        mine = {store for store in stores if store is not None}
        change.set_properties = {
            PENDING_STORES: joined(mine | set(listed(image, PENDING_STORES))),
            FAILED_STORES: joined(set(listed(image, FAILED_STORES)) - mine),
        }
        return change

    def _do(self, ctx, image: Image, request: ImportRequest, stores: Sequence[str | None],
            source: Source | None, work: Work) -> Mapping[str, object]:
        from glance_py.importing import flow

        job = Job(self._room, ctx, image, request, stores, work)
        return flow.run(job, source, () if request.copies else self._plugins)

    def recover_task(self, task: Task) -> list[str]:
        """Take back the import of a worker that died; a line for each thing that was done."""
        try:
            self.background.tasks.fail(task, DIED)
        except errors.TaskFinished:
            return []  # another worker does it
        if task.image_id is None:
            return [f"Task {task.id} was left by a dead worker"]
        stores = (task.input or {}).get("backend") or self._stores.ids
        status = self.give_back.image(_MYSELF, task.image_id, stores, stores, task.id)
        return [f"The import of task {task.id} was left by a dead worker: image {task.image_id} "
                f"is {status or 'gone'}"]

    def is_over(self, image_id: str) -> bool:
        """Has the task ended that holds an image?"""
        holder = self._records.locks.holder(image_id)
        task = None if holder is None else self._task(holder)
        return task is not None and task.status not in UNFINISHED

    def recover_image(self, image_id: str) -> list[str]:
        """Take back an import whose task has ended, and the image does not know it."""
        holder = self._records.locks.holder(image_id)
        stores: Sequence[str | None] = self._stores.ids
        task = None if holder is None else self._task(holder)
        if task is not None:
            if task.status in UNFINISHED or task.type == LOCATION_IMPORT:
                return []
            stores = (task.input or {}).get("backend") or stores
        status = self.give_back.image(_MYSELF, image_id, stores, stores, holder or "")
        return [f"Image {image_id} was left importing by a dead worker: it is {status or 'gone'}"]

    def recover_staging(self) -> list[str]:
        """Remove staged data that nobody waits for: its image is gone, or waits for no data.

        An active image may wait for more copies; then a task holds it.
        """
        done = []
        for image_id, age in list(self.staging.names()):
            try:
                image = self._records.images.get(_MYSELF, image_id)
            except errors.ImageNotFound:
                status, still = "gone", 0.0
            else:
                status, still = image.status, SETTLED
                if status in ("uploading", "importing") or TASK in image.properties:
                    continue
            if age >= still and self.staging.remove_still(image_id, still):
                done.append(f"Removed staged data of image {image_id}, which is {status}")
        return done
