"""The layer stacks: which layers stand in front of the DAL, and in which order.

Order is behaviour.  The tuples are read outermost first.  The stacks are built once per process;
a layer holds no state of a request, so they serve all threads.  A layer that the configuration
disables is left out.  ``glance-manage layers`` prints the tuples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from glance_py.dependencies import Dependencies
from glance_py.domain.ports import (
    DefinitionOperations,
    ImageOperations,
    InternalImageOperations,
    MemberOperations,
    NamespaceOperations,
    TaskOperations,
)
from glance_py.importing.importer import Importer
from glance_py.importing.location_import import LocationImportProxy
from glance_py.importing.proxy import ImportProxy
from glance_py.importing.tasks_api import TaskStartProxy
from glance_py.layers.acls import MemberStoreAclProxy, StoreAclProxy
from glance_py.layers.authorization import AuthorizationProxy, MemberAuthorizationProxy
from glance_py.layers.base import Proxy
from glance_py.layers.location import LocationProxy
from glance_py.layers.location_validation import LocationValidationProxy
from glance_py.layers.members import MemberAdapter
from glance_py.layers.metadefs_authorization import (
    DefinitionAuthorizationProxy,
    NamespaceAuthorizationProxy,
)
from glance_py.layers.metadefs_notifier import (
    DefinitionNotifierProxy,
    NamespaceNotifierProxy,
)
from glance_py.layers.metadefs_policy import DefinitionPolicyProxy, NamespacePolicyProxy
from glance_py.layers.notifier import MemberNotifierProxy, NotifierProxy
from glance_py.layers.ownership import OwnershipProxy
from glance_py.layers.policy import MemberPolicyProxy, PolicyProxy
from glance_py.layers.property_protection import PropertyProtectionProxy
from glance_py.layers.quota import MemberQuotaProxy, QuotaProxy
from glance_py.layers.tasks import TaskAdapter, TaskNotifierProxy, TaskPolicyProxy

PortT = TypeVar("PortT")


class Layer(Protocol[PortT]):
    """A class of layers of one port."""

    def build(self, inner: PortT, deps: Dependencies) -> PortT:
        """A layer in front of ``inner``, or ``inner`` when the configuration disables it."""


#: The layers that check what the caller may do.
REQUEST_LAYERS: tuple[Layer[ImageOperations], ...] = (
    AuthorizationProxy,  # Does the caller see the image?
    PolicyProxy,  # Do the operator's rules allow the operation?
    OwnershipProxy,  # Does the image belong to the caller's project?
    PropertyProtectionProxy,  # Which properties may the caller read and change?
    LocationValidationProxy,  # May the caller name this URL?
)

#: The layers that turn the internal operations into those of a request.
_IMPORT_LAYERS: tuple[type[Proxy[Any]], ...] = (
    ImportProxy,  # imports, and forwards to the worker that staged the data
    LocationImportProxy,  # data that is in a store already
)

#: The layers that requests and background work pass; the caller's rights are checked before.
INTERNAL_LAYERS: tuple[Layer[InternalImageOperations], ...] = (
    NotifierProxy,  # sends notifications about what the inner layers did
    QuotaProxy,  # limits per image and per project
    StoreAclProxy,  # keeps the read permissions in stores up to date
)

MEMBER_LAYERS: tuple[Layer[MemberOperations], ...] = (
    MemberAuthorizationProxy,
    MemberPolicyProxy,
    MemberNotifierProxy,
    MemberQuotaProxy,
    MemberStoreAclProxy,
)

#: For metadata definitions the policy is asked first: a rule that hides a namespace also hides
#: that the namespace belongs to another project.
NAMESPACE_LAYERS: tuple[Layer[NamespaceOperations], ...] = (
    NamespacePolicyProxy,
    NamespaceAuthorizationProxy,
    NamespaceNotifierProxy,
)

DEFINITION_LAYERS: tuple[Layer[DefinitionOperations], ...] = (
    DefinitionPolicyProxy,
    DefinitionAuthorizationProxy,
    DefinitionNotifierProxy,
)

#: All layers of each port, outermost first, down to the one that calls the DAL.
STACKS: dict[str, tuple[Any, ...]] = {
    "Images": (*REQUEST_LAYERS, *_IMPORT_LAYERS, *INTERNAL_LAYERS, LocationProxy),
    "Members": (*MEMBER_LAYERS, MemberAdapter),
    "Tasks": (TaskPolicyProxy, TaskStartProxy, TaskNotifierProxy, TaskAdapter),
    "Metadata namespaces": NAMESPACE_LAYERS,
    "Metadata definitions": DEFINITION_LAYERS,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """The operations that the controllers call, and the imports of this process."""

    images: ImageOperations
    members: MemberOperations
    tasks: TaskOperations
    importer: Importer
    namespaces: NamespaceOperations
    definitions: DefinitionOperations


def build_stack(layers: Sequence[Layer[PortT]], inner: PortT, deps: Dependencies) -> PortT:
    """Put ``layers`` (outermost first) in front of ``inner``."""
    for layer in reversed(layers):
        inner = layer.build(inner, deps)
    return inner


def build_internal_images(deps: Dependencies) -> InternalImageOperations:
    """The operations on images for work whose caller's rights have been checked."""
    return build_stack(INTERNAL_LAYERS, LocationProxy.build(deps.repositories.images, deps), deps)


def build(deps: Dependencies) -> Gateway:
    """The layer stacks of this process."""
    internal = build_internal_images(deps)
    importer = Importer(internal, deps)
    images = ImportProxy(LocationImportProxy(internal, deps), deps, importer)
    members = MemberAdapter.build(deps.repositories.members, deps)
    tasks = TaskStartProxy(deps.task_executor.tasks, deps, importer)
    return Gateway(
        images=build_stack(REQUEST_LAYERS, images, deps),
        members=build_stack(MEMBER_LAYERS, members, deps),
        tasks=TaskPolicyProxy.build(tasks, deps),
        importer=importer,
        namespaces=build_stack(NAMESPACE_LAYERS, deps.repositories.namespaces, deps),
        definitions=build_stack(DEFINITION_LAYERS, deps.repositories.definitions, deps),
    )
