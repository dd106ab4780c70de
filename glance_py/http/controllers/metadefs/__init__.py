"""The catalogue of metadata definitions: one controller per noun."""

from __future__ import annotations

from typing import Any

from glance_py.http.controllers.metadefs.namespaces import Namespaces
from glance_py.http.controllers.metadefs.objects import Objects
from glance_py.http.controllers.metadefs.properties import Properties
from glance_py.http.controllers.metadefs.resource_types import ResourceTypes
from glance_py.http.controllers.metadefs.tags import Tags


def controllers(gateway, conf) -> dict[str, Any]:
    """The controllers, by the name that the route table uses."""
    namespaces, definitions = gateway.namespaces, gateway.definitions
    return {
        "metadef_namespaces": Namespaces(namespaces, conf),
        "metadef_objects": Objects(namespaces, definitions),
        "metadef_properties": Properties(namespaces, definitions),
        "metadef_tags": Tags(namespaces, definitions),
        "metadef_resource_types": ResourceTypes(namespaces, definitions),
    }
