"""The steps of an import, each with its undo, as tasks of TaskFlow.

When a step fails, the steps before it are reverted, the last one first.  The steps get what they
need from their job.
"""

from __future__ import annotations

import logging

from taskflow import task

from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.importing.job import ImportJob
from glance_py.importing.plugins.base import ImportPlugin, StagedImage
from glance_py.importing.sources import ImportSource

LOG = logging.getLogger(__name__)


class Step(task.Task):  # type: ignore[misc]  # TaskFlow has no types
    """A step of one job."""

    def __init__(self, name: str, job: ImportJob) -> None:
        super().__init__(name)
        self.job = job


class RollbackGuard(Step):
    """The first step.  It does nothing; its undo, the last one, rolls the whole import back."""

    def __init__(self, job: ImportJob) -> None:
        super().__init__("begin", job)

    def execute(self) -> None:
        self.job.raise_if_cancelled()

    def revert(self, **_: object) -> None:
        job = self.job
        if job.claim.outcome_unknown:
            LOG.warning(
                "The import into image %s is left to recovery: the outcome of its last "
                "write is unknown",
                job.image.id,
            )
            return
        # When no store was tried, the data did not arrive, and so it reached none of them.
        failed = job.failed or job.stores
        try:
            job.deps.rollback.roll_back(
                job.ctx, job.claim, job.stores, failed, (job.claim.object_name,)
            )
        except errors.ClaimLost:
            LOG.warning("The import into image %s was taken over by another worker", job.image.id)
        except BaseException:
            job.claim.outcome_unknown = True  # Recovery completes the rollback.
            raise


class Fetch(Step):
    """Writes the data of a source to the staging store."""

    def __init__(self, job: ImportJob, source: ImportSource) -> None:
        super().__init__("fetch", job)
        self._source = source

    def execute(self) -> None:
        self._source.fetch(self.job)


class RunPlugin(Step):
    """Runs a plugin on the staged data."""

    def __init__(self, job: ImportJob, name: str, plugin: ImportPlugin) -> None:
        super().__init__(f"plugin {name}", job)
        self._plugin = plugin

    def execute(self) -> None:
        self.job.raise_if_cancelled()
        self._plugin.process(StagedImage(self.job))


class CopyToStore(Step):
    """Writes the data to one store; its undo removes it."""

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

    def revert(self, **_: object) -> None:
        try:
            self.job.remove_copy(self._store)
        except errors.ImageNotFound:
            LOG.debug("Image %s is deleted, and its copies with it", self.job.image.id)
        except errors.ClaimLost:
            LOG.warning(
                "The import into image %s was taken over by another worker, which removes its "
                "copies",
                self.job.image.id,
            )


class Finish(Step):
    """Checks that at least one copy was made, and removes the staged data."""

    def __init__(self, job: ImportJob) -> None:
        super().__init__("finish", job)

    def execute(self) -> None:
        """:raises Exception: the error of a store, when none has the data."""
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
