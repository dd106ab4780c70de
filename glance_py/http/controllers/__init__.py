"""Translators between HTTP and the operations, one class for each noun.

A controller reads the request with ``wire``, calls an operation and writes the response with
``wire``.  It catches no error of the domain, except where the API has another status for it, and
decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from glance_py.http.controllers.actions import ActionsController
from glance_py.http.controllers.cache import CacheController
from glance_py.http.controllers.image_data import ImageDataController
from glance_py.http.controllers.images import ImagesController
from glance_py.http.controllers.imports import ImportsController
from glance_py.http.controllers.info import InfoController
from glance_py.http.controllers.locations import LocationsController, StoresController
from glance_py.http.controllers.members import MembersController
from glance_py.http.controllers.metadefs import controllers as metadef_controllers
from glance_py.http.controllers.schemas import SchemasController
from glance_py.http.controllers.tags import TagsController
from glance_py.http.controllers.tasks import TasksController
from glance_py.http.ports import Cache, Operations, PolicyEnforcer, ProjectLimits, StoreList
from glance_py.settings import Settings
from glance_py.wire.field import Resource


def controllers(
    operations: Operations,
    settings: Settings,
    stores: StoreList,
    enforcer: PolicyEnforcer,
    image_schema: Resource,
    limits: ProjectLimits | None,
    cache: Cache | None,
) -> Mapping[str, object]:
    """All controllers, by the name that the table of routes uses."""
    api, images, tasks = settings.api, operations.images, operations.tasks
    return {
        "images": ImagesController(images, api, stores, image_schema),
        "image_data": ImageDataController(images, api),
        "imports": ImportsController(images, tasks, api, settings.imports),
        "tasks": TasksController(tasks, api, enforcer),
        "actions": ActionsController(images),
        "tags": TagsController(images),
        "members": MembersController(images, operations.members),
        "info": InfoController(api, stores, enforcer, limits),
        "cache": CacheController(images, cache, enforcer),
        "locations": LocationsController(images),
        "stores": StoresController(images, stores),
        "schemas": SchemasController(image_schema),
        **metadef_controllers(operations, api),
    }
