"""The catalogue of metadata definitions: one controller per noun."""

from __future__ import annotations

from typing import Any

from glance_py.http.controllers.metadefs.namespaces import MetadefNamespacesController
from glance_py.http.controllers.metadefs.objects import MetadefObjectsController
from glance_py.http.controllers.metadefs.properties import MetadefPropertiesController
from glance_py.http.controllers.metadefs.resource_types import MetadefResourceTypesController
from glance_py.http.controllers.metadefs.tags import MetadefTagsController


def controllers(gateway, conf) -> dict[str, Any]:
    """The controllers, by the name that the route table uses."""
    namespaces, definitions = gateway.namespaces, gateway.definitions
    return {
        "metadef_namespaces": MetadefNamespacesController(namespaces, conf),
        "metadef_objects": MetadefObjectsController(namespaces, definitions),
        "metadef_properties": MetadefPropertiesController(namespaces, definitions),
        "metadef_tags": MetadefTagsController(namespaces, definitions),
        "metadef_resource_types": MetadefResourceTypesController(namespaces, definitions),
    }
