"""Taking an image out of use, and back."""

from __future__ import annotations

import webob

from glance_py.domain.ports import ImageOperations
from glance_py.http.request import Request, no_content


class ActionsController:
    """Changes of state that a client asks for by name."""

    def __init__(self, images: ImageOperations) -> None:
        self._images = images

    def deactivate(self, request: Request, image_id: str) -> webob.Response:
        """POST /v2/images/{image_id}/actions/deactivate"""
        return self._set_status(request, image_id, "deactivated")

    def reactivate(self, request: Request, image_id: str) -> webob.Response:
        """POST /v2/images/{image_id}/actions/reactivate"""
        return self._set_status(request, image_id, "active")

    def _set_status(self, request: Request, image_id: str, status: str) -> webob.Response:
        image = self._images.resolve(request.context, image_id)
        self._images.set_status(request.context, image, status)
        return no_content()
