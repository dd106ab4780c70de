"""Deactivation of an image, and reactivation."""

from __future__ import annotations

import webob

from glance_py.domain.image import ImageStatus
from glance_py.domain.ports import ImageOperations
from glance_py.http.request import Request, no_content


class ActionsController:
    """Changes of the status of an image."""

    def __init__(self, images: ImageOperations) -> None:
        self._images = images

    def deactivate(self, request: Request, image_id: str) -> webob.Response:
        """POST /v2/images/{image_id}/actions/deactivate"""
        return self._set_status(request, image_id, ImageStatus.DEACTIVATED)

    def reactivate(self, request: Request, image_id: str) -> webob.Response:
        """POST /v2/images/{image_id}/actions/reactivate"""
        return self._set_status(request, image_id, ImageStatus.ACTIVE)

    def _set_status(self, request: Request, image_id: str, status: ImageStatus) -> webob.Response:
        image = self._images.resolve(request.context, image_id)
        self._images.set_status(request.context, image, status)
        return no_content()
