"""Imports of the data of an image, and the tasks with their progress."""

from __future__ import annotations

import webob

from glance_py.domain.importing import check_importable
from glance_py.domain.ports import ImageOperations, TaskOperations
from glance_py.http.request import Request, accepted, json_response
from glance_py.settings import ApiSettings, ImportSettings
from glance_py.wire.importing import dump_import_info, load_import, load_method_and_stores
from glance_py.wire.task import dump_image_tasks


class ImportsController:
    """Imports of images."""

    def __init__(
        self,
        images: ImageOperations,
        tasks: TaskOperations,
        api: ApiSettings,
        imports: ImportSettings,
    ) -> None:
        self._images = images
        self._tasks = tasks
        self._enabled = tuple(api.enabled_import_methods)
        self._import_info = dump_import_info(self._enabled, imports.image_import_plugins)

    def create(self, request: Request, image_id: str) -> webob.Response:
        """POST /v2/images/{image_id}/import"""
        import_request = load_import(request.read_json_body(), self._enabled)
        image = self._images.resolve(request.context, image_id)
        check_importable(image, import_request)
        import_request = load_method_and_stores(
            import_request, request.header("X-Image-Meta-Store")
        )
        self._images.import_(request.context, image, import_request)
        return accepted()

    def tasks(self, request: Request, image_id: str) -> webob.Response:
        """GET /v2/images/{image_id}/tasks"""
        image = self._images.get(request.context, image_id)
        return json_response(dump_image_tasks(self._tasks.list_for_image(request.context, image)))

    def abilities(self, request: Request) -> webob.Response:
        """GET /v2/ext/info/import"""
        return json_response(self._import_info)
