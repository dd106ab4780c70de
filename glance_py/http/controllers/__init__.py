"""Thin translators between HTTP and the operations of the gateway, one per noun.

A controller reads the request with ``wire``, calls the gateway and writes the
answer with ``wire``.  It catches no domain error and decides nothing.
"""

from __future__ import annotations

from typing import Any

from glance_py.http.controllers.actions import Actions
from glance_py.http.controllers.cache import Cache
from glance_py.http.controllers.image_data import ImageData
from glance_py.http.controllers.images import Images
from glance_py.http.controllers.imports import Imports
from glance_py.http.controllers.info import Info
from glance_py.http.controllers.locations import Locations, Stores
from glance_py.http.controllers.members import Members
from glance_py.http.controllers.metadefs import controllers as metadef_controllers
from glance_py.http.controllers.schemas import Schemas
from glance_py.http.controllers.tags import Tags
from glance_py.http.controllers.tasks import Tasks
from glance_py.wire.field import Resource


def controllers(
    gateway, conf, stores, enforcer, image_schema: Resource, limits, cache
) -> dict[str, Any]:
    """All controllers, by the name that the route table uses."""
    return {
        "images": Images(gateway.images, conf, stores, image_schema),
        "image_data": ImageData(gateway.images, conf),
        "imports": Imports(gateway.images, gateway.tasks, conf),
        "tasks": Tasks(gateway.tasks, conf, enforcer),
        "actions": Actions(gateway.images),
        "tags": Tags(gateway.images),
        "members": Members(gateway.images, gateway.members),
        "info": Info(conf, stores, enforcer, limits),
        "cache": Cache(gateway.images, cache, enforcer),
        "locations": Locations(gateway.images),
        "stores": Stores(gateway.images, stores),
        "schemas": Schemas(image_schema),
        **metadef_controllers(gateway, conf),
    }
