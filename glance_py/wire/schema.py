"""The documents under /v2/schemas, written out once per process."""

from __future__ import annotations

from typing import Any

import orjson

from glance_py.wire import metadef
from glance_py.wire.field import Resource
from glance_py.wire.member import MEMBER
from glance_py.wire.task import TASK, TASK_SUMMARY


def _documents(image: Resource) -> dict[str, dict[str, Any]]:
    return {
        "image": image.document(),
        "images": image.collection("images"),
        "member": MEMBER.document(),
        "members": MEMBER.collection("members", paged=False),
        "task": TASK.document(),
        "tasks": TASK_SUMMARY.collection("tasks", paged=False),
        "metadefs/namespace": metadef.NAMESPACE.document(),
        "metadefs/namespaces": metadef.NAMESPACE.collection("namespaces"),
        "metadefs/resource_type": metadef.RESOURCE_TYPE.document(),
        "metadefs/resource_types": metadef.RESOURCE_TYPE.collection("resource_type_associations"),
        "metadefs/property": metadef.PROPERTY.document(),
        "metadefs/properties": metadef.PROPERTY_BY_NAME.collection("properties", keyed=True),
        "metadefs/object": metadef.OBJECT.document(),
        "metadefs/objects": metadef.OBJECT.collection("objects"),
        "metadefs/tag": metadef.TAG.document(),
        "metadefs/tags": metadef.TAG.collection("tags"),
    }


#: Every name under /v2/schemas/.
NAMES = (
    "image",
    "images",
    "member",
    "members",
    "task",
    "tasks",
    "metadefs/namespace",
    "metadefs/namespaces",
    "metadefs/resource_type",
    "metadefs/resource_types",
    "metadefs/property",
    "metadefs/properties",
    "metadefs/object",
    "metadefs/objects",
    "metadefs/tag",
    "metadefs/tags",
)


def schema_documents(image: Resource) -> dict[str, bytes]:
    """All schema documents as JSON, by their path below /v2/schemas/."""
    return {name: orjson.dumps(document) for name, document in _documents(image).items()}
