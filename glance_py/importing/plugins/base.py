"""What a plugin of the import is given, and what it must offer.

A plugin is a class, named by an entry point ``glance.image_import.plugins``.
It is built once per process with the service's ConfigOpts; ``process`` is
called for each import, by several threads, between the arrival of the data and
the first store.  An error of :mod:`glance_py.domain.errors` that it raises is
told to the user, and the import is taken back.
"""

from __future__ import annotations

import os
from typing import Protocol

from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image


class StagedImage:
    """The data of one image that is being imported.

    ``path`` is the file that holds it, ``ctx`` the one who imports.
    """

    def __init__(self, job) -> None:
        self._job = job
        self.ctx = job.ctx
        self.path: str = job.deps.staging.path(job.staged_name)

    @property
    def image(self) -> Image:
        """The image as it is now."""
        return self._job.image

    def update_image(self, change: ImageChange) -> None:
        """Change the image."""
        self._job.update_image(change)

    def replace(self, path: str) -> None:
        """Let the file ``path``, in the same directory, take the place of the data."""
        os.replace(path, self.path)

    def set_progress(self, message: str) -> None:
        """Tell how far it is."""
        self._job.running_task.set_progress(message)

    def raise_if_cancelled(self) -> None:
        """Is it still worth going on?  To be asked now and then by what takes long.

        :raises errors.TaskCancelled: no.
        """
        self._job.raise_if_cancelled()


class ImportPlugin(Protocol):
    """Something that is done to data before it reaches a store."""

    def __init__(self, conf) -> None: ...

    def process(self, staged: StagedImage) -> None:
        """Look at the data or change it.

        :raises glance_py.domain.errors.GlanceError: the image cannot be imported.
        """
