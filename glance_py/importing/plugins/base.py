"""The interface of import plugins.

A plugin is one module and one entry point ``glance.image_import.plugins`` that names a subclass
of :class:`ImportPlugin`.  It is built once per process with the service's ConfigOpts, from which
it reads its own options (and registers them first, when the service does not).  ``process`` is
called once for each import, from several threads, when the data is staged and in no store yet.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from oslo_config import cfg

from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image

if TYPE_CHECKING:
    from glance_py.importing.job import ImportJob


class StagedImage:
    """An image that is being imported, and its staged data.

    ``path`` is the file with the data, ``ctx`` the caller that imports it.
    """

    def __init__(self, job: ImportJob) -> None:
        self._job = job
        self.ctx: Caller = job.ctx
        self.path = job.deps.staging.path(job.staged_name)

    @property
    def image(self) -> Image:
        """The image with all changes so far."""
        return self._job.image

    def update_image(self, change: ImageChange) -> None:
        """Apply a change to the image."""
        self._job.update_image(change)

    def replace(self, path: str) -> None:
        """Replace the data by the file ``path`` of the same directory."""
        os.replace(path, self.path)

    def set_progress(self, message: str) -> None:
        """Set the progress message of the task."""
        self._job.running_task.set_progress(message)

    def raise_if_cancelled(self) -> None:
        """Return when the import may go on; long work calls this every few seconds.

        :raises errors.TaskCancelled: the task is cancelled.
        :raises errors.ClaimLost: another worker took the import over.
        """
        self._job.raise_if_cancelled()


class ImportPlugin(abc.ABC):
    """Checks or changes data before it is written to stores.

    ``runs_after`` names the plugins that must stand before this one in
    ``[image_import_opts] image_import_plugins``, when both are there.
    """

    runs_after: ClassVar[Sequence[str]] = ()

    @abc.abstractmethod
    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Read the options.

        :raises ValueError: the plugin cannot be used; the text is for the operator.
        """

    @abc.abstractmethod
    def process(self, staged: StagedImage) -> None:
        """Check or change the data.

        :raises glance_py.domain.errors.GlanceError: the image cannot be imported; the message is
            for the user, and the import is rolled back.
        """
