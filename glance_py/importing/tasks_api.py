"""Tasks that are started through the deprecated tasks API.

The type ``import`` makes an image and imports its data from a URL.  The other
types belong to requests about images; started here, they fail and say so.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glance_py.claims import Claim
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.claim import TASK as CLAIM_KIND
from glance_py.domain.image import COLUMNS, Image
from glance_py.domain.importing import WEB_DOWNLOAD, ImportRequest
from glance_py.domain.ports import TaskOperations
from glance_py.domain.property_names import is_reserved
from glance_py.domain.task import IMPORT, Task
from glance_py.importing.importer import Importer
from glance_py.importing.task_executor import RunningTask
from glance_py.layers.base import TaskLayer

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

#: What ``image_properties`` may set on the image itself.
_IMAGE_FIELDS = frozenset(
    {
        "name",
        "visibility",
        "protected",
        "os_hidden",
        "disk_format",
        "container_format",
        "min_disk",
        "min_ram",
    }
)


class TaskStartProxy(TaskLayer):
    """Has the work of a new task done."""

    def __init__(self, inner: TaskOperations, deps: Dependencies, importer: Importer) -> None:
        super().__init__(inner)
        self._importer = importer
        self._conf = deps.conf

    def create(self, ctx: Caller, task: Task) -> Task:
        """:raises errors.Invalid: the address to import from is not allowed."""
        if task.type == IMPORT:
            self._importer.filter.check(str((task.input or {})["import_from"]))
        claims = self._importer.claims
        # The image does not exist yet, but whoever finds this work abandoned needs its claim.
        claim = claims.take(str(uuid.uuid4()), claims.request(CLAIM_KIND, task.id))
        try:
            created = self.inner.create(ctx, task)
        except BaseException as error:
            # The task may be on record, whatever the database said: then recovery ends it.
            self._importer.claims.end(claim, not isinstance(error, errors.DatabaseUnavailable))
            raise
        self._importer.task_executor.submit(
            created,
            lambda running_task: self._run_task(ctx, running_task, claim),
            after=lambda ended: self._importer.claims.end(claim, ended),
        )
        return created

    def _run_task(self, ctx: Caller, running_task: RunningTask, claim: Claim) -> Mapping[str, Any]:
        self._importer.task_executor.tasks.start(running_task.task)
        task_input = running_task.task.input or {}
        if running_task.task.type != IMPORT:
            raise errors.Invalid(
                f"Input to {running_task.task.type} task is empty."
                if not task_input
                else f"A task of type {running_task.task.type} is started by "
                "a request about an image."
            )
        image = self._importer.images.create(ctx, self._new_image(ctx, task_input, claim))
        request = ImportRequest(WEB_DOWNLOAD, {"uri": task_input["import_from"]}, {})
        try:
            return self._importer.run(ctx, image, request, running_task, claim)
        except BaseException:
            self._importer.images.delete(ctx, self._importer.images.resolve(ctx, image.id))
            raise

    def _new_image(self, ctx: Caller, task_input: Mapping[str, Any], claim: Claim) -> Image:
        properties = dict(task_input.get("image_properties") or {})
        fields = {name: properties.pop(name) for name in _IMAGE_FIELDS & properties.keys()}
        for name in list(properties):
            if name in COLUMNS or is_reserved(name) or not isinstance(properties[name], str):
                raise errors.Invalid(f"image_properties cannot set {name!r} to this.")
        fields.setdefault("disk_format", task_input.get("import_from_format") or None)
        fields.setdefault("container_format", "bare")
        if fields["disk_format"] not in self._conf.image_format.disk_formats:
            raise errors.Invalid("import_from_format is no disk_format of this service.")
        return Image(id=claim.image_id, owner=ctx.project_id, properties=properties, **fields)
