"""Thin translators between HTTP and the operations of the gateway, one per noun.

A controller reads the request with ``wire``, calls the gateway and writes the
answer with ``wire``.  It catches no domain error and decides nothing.
"""

from __future__ import annotations

from typing import Any

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
from glance_py.wire.field import Resource


def controllers(
    gateway, conf, stores, enforcer, image_schema: Resource, limits, cache
) -> dict[str, Any]:
    """All controllers, by the name that the route table uses."""
    return {
        "images": ImagesController(gateway.images, conf, stores, image_schema),
        "image_data": ImageDataController(gateway.images, conf),
        "imports": ImportsController(gateway.images, gateway.tasks, conf),
        "tasks": TasksController(gateway.tasks, conf, enforcer),
        "actions": ActionsController(gateway.images),
        "tags": TagsController(gateway.images),
        "members": MembersController(gateway.images, gateway.members),
        "info": InfoController(conf, stores, enforcer, limits),
        "cache": CacheController(gateway.images, cache, enforcer),
        "locations": LocationsController(gateway.images),
        "stores": StoresController(gateway.images, stores),
        "schemas": SchemasController(image_schema),
        **metadef_controllers(gateway, conf),
    }
