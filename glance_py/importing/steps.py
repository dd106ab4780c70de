"""The steps of an import, each with how it is taken back.

Steps of the taskflow library: when one fails, those before it are reverted,
last one first.  What a step needs is in its job; where bytes come from is in
``sources``.
"""

from __future__ import annotations

import logging

from taskflow import task

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.importing.job import ImportJob
from glance_py.importing.plugins.base import StagedImage
from glance_py.importing.sources import ImportSource

LOG = logging.getLogger(__name__)


class Step(task.Task):
    """A step of one job."""

    def __init__(self, name: str, job: ImportJob) -> None:
        super().__init__(name)
        self.job = job


class RollbackGuard(Step):
    """Does nothing; reverted last, it rolls the whole import back."""

    def __init__(self, job: ImportJob) -> None:
        super().__init__("begin", job)

    def execute(self) -> None:
        self.job.raise_if_cancelled()

    def revert(self, **kwargs) -> None:
        job = self.job
        # Where nothing was tried, the data never came, and then it came to no store.
        failed = job.failed or job.stores
        if job.claim.outcome_unknown:
            LOG.warning(
                "The import into image %s is left to recovery: the outcome of its last "
                "write is unknown",
                job.image.id,
            )
            return
        try:
            job.deps.rollback.roll_back(
                job.ctx, job.claim, job.stores, failed, (job.claim.object_name,)
            )
        except errors.ClaimLost:
            LOG.warning("The import into image %s was taken over by another worker", job.image.id)
        except BaseException:
            job.claim.outcome_unknown = True  # Recovery does what could not be done.
            raise


class Fetch(Step):
    """Brings the data to the staging store."""

    def __init__(self, job: ImportJob, source: ImportSource) -> None:
        super().__init__("fetch", job)
        self._source = source

    def execute(self) -> None:
        self._source.fetch(self.job)


class RunPlugin(Step):
    """Has a plugin look at the staged data, and perhaps change it."""

    def __init__(self, job: ImportJob, name: str, plugin) -> None:
        super().__init__(f"plugin {name}", job)
        self._plugin = plugin

    def execute(self) -> None:
        self.job.raise_if_cancelled()
        self._plugin.process(StagedImage(self.job))


class CopyToStore(Step):
    """Brings the data into one store."""

    def __init__(self, job: ImportJob, store: str | None) -> None:
        super().__init__(f"copy to {store or 'the store'}", job)
        self._store = store

    def execute(self) -> None:
        try:
            self.job.add_copy(self._store)
        except (
            errors.TaskCancelled,
            errors.ImageDeletedDuringUpload,
            errors.ClaimLost,
            errors.OutcomeUnknown,
        ):
            raise
        except Exception as error:
            self.job.record_failure(self._store, error)
            if self.job.request.all_must_succeed:
                raise
            LOG.warning("Image %s: no copy in store %s: %s", self.job.image.id, self._store, error)

    def revert(self, **kwargs) -> None:
        try:
            self.job.remove_copy(self._store)
        except errors.ImageNotFound:
            LOG.debug("Image %s is gone, and its copies with it", self.job.image.id)
        except errors.ClaimLost:
            LOG.warning(
                "The import into image %s was taken over; its copies are left to those who did",
                self.job.image.id,
            )


class Finish(Step):
    """Makes sure that there is an image now, and cleans up."""

    def __init__(self, job: ImportJob) -> None:
        super().__init__("finish", job)

    def execute(self) -> None:
        job = self.job
        if not job.copied:
            raise next(
                iter(job.failed.values()),
                errors.SourceFailed("There was no store to bring the data to."),
            )
        job.update_image(ImageChange(set_properties=job.store_lists()))
        job.deps.staging.remove(job.staged_name)
        job.claim.may_leave_objects = bool(job.failed)
        if job.failed:
            reasons = "; ".join(
                f"{store}: {error}"
                for store, error in job.failed.items()
                if isinstance(error, errors.GlanceError)
            )
            job.running_task.set_progress(
                f"{job.running_task.message}. Some stores failed. {reasons}"
            )
