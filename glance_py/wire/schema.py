"""The documents under /v2/schemas, encoded once per process."""

from __future__ import annotations

import orjson

from glance_py.domain.json_types import JsonDocument
from glance_py.wire import metadef
from glance_py.wire.field import Resource
from glance_py.wire.member import MEMBER
from glance_py.wire.task import TASK, TASK_SUMMARY


def _documents(image: Resource) -> dict[str, JsonDocument]:
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


#: The name of each document under /v2/schemas/; the routes are made of them.
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
    """The schema documents in JSON, by their path below /v2/schemas/.

    :param image: the image as the configuration declares it.
    """
    return {name: orjson.dumps(document) for name, document in _documents(image).items()}
