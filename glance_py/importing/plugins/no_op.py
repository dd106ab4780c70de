"""A plugin that changes nothing, with which an operator sees in the log that plugins run."""

from __future__ import annotations

import logging

from oslo_config import cfg

from glance_py.importing.plugins.base import ImportPlugin, StagedImage

LOG = logging.getLogger(__name__)


class NoOp(ImportPlugin):
    """Writes a line to the log."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """There are no options."""

    def process(self, staged: StagedImage) -> None:
        LOG.info("The data of image %s is left as it is", staged.image.id)
