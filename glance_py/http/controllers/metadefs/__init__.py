"""The catalogue of metadata definitions, one controller for each noun."""

from __future__ import annotations

from collections.abc import Mapping

from glance_py.http.controllers.metadefs.namespaces import MetadefNamespacesController
from glance_py.http.controllers.metadefs.objects import MetadefObjectsController
from glance_py.http.controllers.metadefs.properties import MetadefPropertiesController
from glance_py.http.controllers.metadefs.resource_types import MetadefResourceTypesController
from glance_py.http.controllers.metadefs.tags import MetadefTagsController
from glance_py.http.ports import Operations
from glance_py.settings import ApiSettings


def controllers(operations: Operations, api: ApiSettings) -> Mapping[str, object]:
    """The controllers, by the name that the table of routes uses."""
    namespaces, definitions = operations.namespaces, operations.definitions
    return {
        "metadef_namespaces": MetadefNamespacesController(namespaces, api),
        "metadef_objects": MetadefObjectsController(namespaces, definitions),
        "metadef_properties": MetadefPropertiesController(namespaces, definitions),
        "metadef_tags": MetadefTagsController(namespaces, definitions),
        "metadef_resource_types": MetadefResourceTypesController(namespaces, definitions),
    }
