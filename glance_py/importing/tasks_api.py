"""The layer that runs tasks of the deprecated tasks API.

A task of type ``import`` creates an image and imports its data from a URL.  Tasks of the other
types are started by requests about images; here they fail with a message that says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glance_py.claims import Claim
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.claim import TASK as CLAIM_KIND
from glance_py.domain.image import CLIENT_COLUMNS, COLUMNS, Image
from glance_py.domain.importing import WEB_DOWNLOAD, ImportRequest
from glance_py.domain.ports import TaskOperations
from glance_py.domain.property_names import is_reserved
from glance_py.domain.task import IMPORT, Task
from glance_py.importing.claimed_tasks import ClaimedTasks
from glance_py.importing.importer import Importer
from glance_py.importing.task_executor import RunningTask
from glance_py.layers.base import TaskLayer

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

#: What ``image_properties`` may set on the image itself; the image belongs to the caller.
_IMAGE_FIELDS = CLIENT_COLUMNS - {"owner"}


class TaskStartProxy(TaskLayer):
    """Runs each new task."""

    def __init__(self, inner: TaskOperations, deps: Dependencies, importer: Importer) -> None:
        super().__init__(inner)
        self._importer = importer
        self._disk_formats = deps.settings.formats.disk_formats
        self._claims = deps.claims
        self._uri_filter = deps.uri_filter
        self._claimed_tasks = ClaimedTasks.of(deps)

    def create(self, ctx: Caller, task: Task) -> Task:
        """Record a task and queue its work.

        :raises errors.Invalid: the filter refuses the URL to import from.
        """
        if task.type == IMPORT:
            self._uri_filter.check(str((task.input or {})["import_from"]))
        # The image does not exist yet; recovery finds an abandoned task by the claim.
        claim = self._claims.take(str(uuid.uuid4()), self._claims.request(CLAIM_KIND, task.id))
        with self._claimed_tasks.ended_on_error(claim):
            created = self.inner.create(ctx, task)
        self._claimed_tasks.submit(
            created, lambda running_task: self._run_task(ctx, running_task, claim), claim
        )
        return created

    def _run_task(
        self, ctx: Caller, running_task: RunningTask, claim: Claim
    ) -> Mapping[str, object]:
        """Do the work of a task; returns its result.

        :raises errors.GlanceError: why it failed; the new image is deleted.
        """
        self._importer.tasks.start(running_task.task)
        task_input = running_task.task.input or {}
        if running_task.task.type != IMPORT:
            raise errors.Invalid(
                f"Input to {running_task.task.type} task is empty."
                if not task_input
                else f"A task of type {running_task.task.type} is started by "
                "a request about an image."
            )
        images = self._importer.images
        image = images.create(ctx, self._new_image(ctx, task_input, claim))
        request = ImportRequest(WEB_DOWNLOAD, {"uri": task_input["import_from"]}, {})
        try:
            return self._importer.run(ctx, image, request, running_task, claim)
        except BaseException:
            images.delete(ctx, images.resolve(ctx, image.id))
            raise

    def _new_image(self, ctx: Caller, task_input: Mapping[str, Any], claim: Claim) -> Image:
        """The image that the input of a task describes.

        :raises errors.Invalid: a property or the format is not allowed.
        """
        properties = dict(task_input.get("image_properties") or {})
        fields = {name: properties.pop(name) for name in _IMAGE_FIELDS & properties.keys()}
        for name in list(properties):
            if name in COLUMNS or is_reserved(name) or not isinstance(properties[name], str):
                raise errors.Invalid(f"image_properties cannot set {name!r} to this.")
        fields.setdefault("disk_format", task_input.get("import_from_format") or None)
        fields.setdefault("container_format", "bare")
        if fields["disk_format"] not in self._disk_formats:
            raise errors.Invalid("import_from_format is no disk_format of this service.")
        return Image(id=claim.image_id, owner=ctx.project_id, properties=properties, **fields)
