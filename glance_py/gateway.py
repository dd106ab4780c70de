"""The layer stack: which layers stand in front of the DAL, and in which order.

Order is behaviour.  The tuples are read outermost first and folded once per
process; a layer holds no request state, so the result serves all threads.  A
layer that the configuration switches off is left out.  ``glance-manage layers``
prints what stands here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from glance_py.claims import Claims
from glance_py.domain.ports import (
    DefinitionOperations,
    ImageOperations,
    MemberOperations,
    NamespaceOperations,
    Repositories,
    TaskOperations,
)
from glance_py.importing.importer import Importer
from glance_py.importing.location_import import LocationImportProxy
from glance_py.importing.proxy import ImportProxy
from glance_py.importing.tasks_api import TaskStartProxy
from glance_py.layers.acls import MemberStoreAclProxy, StoreAclProxy
from glance_py.layers.authorization import AuthorizationProxy, MemberAuthorizationProxy
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

#: What judges callers.
REQUEST_LAYERS: tuple[Any, ...] = (
    AuthorizationProxy,  # may this project see it?
    PolicyProxy,  # what did the operator allow?
    OwnershipProxy,  # is it this project's to change?
    PropertyProtectionProxy,  # which properties may be read or changed?
    LocationValidationProxy,  # may the client name this address?
    ImportProxy,  # data that comes later, or lies with another worker
    LocationImportProxy,  # data that lies in a store already
)

#: What does the work.  Imports begin here: their callers were judged before.
INTERNAL_LAYERS: tuple[Any, ...] = (
    NotifierProxy,  # who wants to hear about it?
    QuotaProxy,  # is there room?
    StoreAclProxy,  # does a store have to know who may read?
    LocationProxy,  # bytes go to a store, the rest goes below
)

IMAGE_LAYERS = REQUEST_LAYERS + INTERNAL_LAYERS

MEMBER_LAYERS: tuple[Any, ...] = (
    MemberAuthorizationProxy,
    MemberPolicyProxy,
    MemberNotifierProxy,
    MemberQuotaProxy,
    MemberStoreAclProxy,
    MemberAdapter,  # from operations on an image to records by id
)

TASK_LAYERS: tuple[Any, ...] = (
    TaskPolicyProxy,
    TaskStartProxy,  # a new task is worked on
    TaskNotifierProxy,
    TaskAdapter,
)

#: Metadata definitions: here the policy comes first, since a rule that hides a namespace also
#: hides that somebody else owns it.
NAMESPACE_LAYERS: tuple[Any, ...] = (
    NamespacePolicyProxy,
    NamespaceAuthorizationProxy,
    NamespaceNotifierProxy,
)

DEFINITION_LAYERS: tuple[Any, ...] = (
    DefinitionPolicyProxy,
    DefinitionAuthorizationProxy,
    DefinitionNotifierProxy,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Dependencies:
    """What the layers work with; made once per process by ``app.py``.

    protections and limits are None where the operator uses neither; importer
    is made by :func:`build`, from the layers that do the work.
    """

    conf: Any
    repositories: Repositories
    stores: Any
    enforcer: Any
    notifier: Any
    claims: Claims
    uri_filter: Any
    protections: Any = None
    limits: Any = None
    task_executor: Any = None
    importer: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """What the controllers talk to."""

    images: ImageOperations
    members: MemberOperations
    tasks: TaskOperations
    importer: Importer
    namespaces: NamespaceOperations
    definitions: DefinitionOperations


def build_stack(layers: tuple[Any, ...], inner: Any, deps: Dependencies) -> Any:
    """Stand ``layers`` (outermost first) in front of ``inner``."""
    for layer in reversed(layers):
        inner = layer.build(inner, deps)
    return inner


def build(deps: Dependencies) -> Gateway:
    """The layer stacks of this process."""
    internal = build_stack(INTERNAL_LAYERS, deps.repositories.images, deps)
    deps = dataclasses.replace(deps, importer=Importer(internal, deps))
    return Gateway(
        images=build_stack(REQUEST_LAYERS, internal, deps),
        members=build_stack(MEMBER_LAYERS, deps.repositories.members, deps),
        tasks=build_stack(TASK_LAYERS, deps.repositories.tasks, deps),
        importer=deps.importer,
        namespaces=build_stack(NAMESPACE_LAYERS, deps.repositories.namespaces, deps),
        definitions=build_stack(DEFINITION_LAYERS, deps.repositories.definitions, deps),
    )
