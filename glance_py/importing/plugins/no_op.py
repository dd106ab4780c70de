"""A plugin that changes nothing, to see in the log that plugins run."""

from __future__ import annotations

import logging

from glance_py.importing.plugins.base import StagedImage

LOG = logging.getLogger(__name__)


class NoOp:
    """Writes a line to the log."""

    def __init__(self, conf) -> None:
        """Nothing to prepare."""

    def process(self, staged: StagedImage) -> None:
        LOG.info("The data of image %s is left as it is", staged.image.id)
