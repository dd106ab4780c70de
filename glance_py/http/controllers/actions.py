"""Taking an image out of use, and back."""

from __future__ import annotations

import webob

from glance_py.domain.ports import ImageVerbs
from glance_py.http.request import Request, no_content


class Actions:
    def __init__(self, images: ImageVerbs) -> None:
        self._images = images

    def deactivate(self, request: Request, image_id: str) -> webob.Response:
        return self._transition(request, image_id, "deactivated")

    def reactivate(self, request: Request, image_id: str) -> webob.Response:
        return self._transition(request, image_id, "active")

    def _transition(self, request: Request, image_id: str, to: str) -> webob.Response:
        image = self._images.get(request.context, image_id)
        self._images.transition(request.context, image, to)
        return no_content()
