"""The layer that starts imports.

Data that is staged on the disk of another worker can be imported and deleted only there, so such
requests are forwarded to that worker.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image, ImageStatus
from glance_py.domain.importing import GLANCE_DIRECT, STAGE_HOST, ImportRequest
from glance_py.domain.ports import LocatedImageOperations
from glance_py.importing import stage_host
from glance_py.importing.importer import Importer
from glance_py.layers.base import ImportAdapter

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

LOG = logging.getLogger(__name__)


class ImportProxy(ImportAdapter):
    """Starts imports, or forwards requests to the worker that has the staged data."""

    def __init__(
        self, inner: LocatedImageOperations, deps: Dependencies, importer: Importer
    ) -> None:
        super().__init__(inner)
        self._conf = deps.conf
        self._importer = importer
        self._own_url = deps.settings.host.self_url

    def import_(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        host = self._other_stage_host(image) if request.method_name == GLANCE_DIRECT else None
        if host:
            stage_host.forward_request(
                self._conf, ctx, host, "POST", f"/v2/images/{image.id}/import", request.document
            )
        else:
            self._importer.start(ctx, image, request)

    def delete(self, ctx: Caller, image: Image) -> None:
        """Delete an image on the worker that has its staged data, when that worker answers."""
        host = self._other_stage_host(image) if image.status == ImageStatus.UPLOADING else None
        if host:
            try:
                stage_host.forward_request(
                    self._conf, ctx, host, "DELETE", f"/v2/images/{image.id}"
                )
                return
            except (errors.PeerUnreachable, errors.PeerFailed) as error:
                LOG.warning(
                    "Image %s is deleted, but data that %s staged for it may be left: %s",
                    image.id,
                    host,
                    error,
                )
            except errors.PeerRefused as refusal:
                if refusal.args[0] < 500:
                    raise
        self.inner.delete(ctx, image)

    def _other_stage_host(self, image: Image) -> str | None:
        """The URL of the worker that alone can read the staged data; None when this one can."""
        host = image.properties.get(STAGE_HOST)
        if not host or host == self._own_url or self._importer.has_staged_data(image.id):
            return None
        return host
