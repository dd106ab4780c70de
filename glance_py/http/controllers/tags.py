"""Single tags of an image."""

from __future__ import annotations

import webob

from glance_py.domain.change import ImageChange
from glance_py.domain.ports import ImageOperations
from glance_py.http.request import Request, no_content
from glance_py.wire.load import load_tag


class TagsController:
    """One tag of an image."""

    def __init__(self, images: ImageOperations) -> None:
        self._images = images

    def update(self, request: Request, image_id: str, tag: str) -> webob.Response:
        """PUT /v2/images/{image_id}/tags/{tag}"""
        tag = load_tag(tag)
        image = self._images.resolve(request.context, image_id)
        self._images.update(request.context, image, ImageChange(add_tags=(tag,)))
        return no_content()

    def delete(self, request: Request, image_id: str, tag: str) -> webob.Response:
        """DELETE /v2/images/{image_id}/tags/{tag}"""
        image = self._images.resolve(request.context, image_id)
        self._images.update(request.context, image, ImageChange(remove_tags=(tag,)))
        return no_content()
