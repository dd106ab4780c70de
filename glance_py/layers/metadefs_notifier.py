"""Who wants to hear about metadata definitions?  Announces what was really changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from glance_py.domain.caller import Caller
from glance_py.domain.metadef import (
    Association,
    Definition,
    DefinitionT,
    Kind,
    Namespace,
    Object,
    Property,
    Tag,
)
from glance_py.domain.ports import DefinitionOperations, NamespaceOperations
from glance_py.layers.base import DefinitionLayer, NamespaceLayer
from glance_py.notifications.metadef_payloads import definition_payload, namespace_payload
from glance_py.notifications.notifier import Notifier

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

#: First part of the events about a kind, and what its removal as a whole is called.
EVENTS: dict[Kind, str] = {
    Association: "metadef_resource_type",
    Property: "metadef_property",
    Object: "metadef_object",
    Tag: "metadef_tag",
}
_CLEAR_EVENTS: dict[Kind, str] = {
    Property: "metadef_namespace.delete_properties",
    Object: "metadef_namespace.delete_objects",
    Tag: "metadef_namespace.delete_tags",
}


def _notify_created(
    notifier: Notifier, namespace: Namespace, definitions: Sequence[Definition]
) -> None:
    for definition in definitions:
        notifier.info(
            f"{EVENTS[type(definition)]}.create", definition_payload(namespace, definition)
        )


class NamespaceNotifierProxy(NamespaceLayer):
    """Announces changes of namespaces, and what came with a new one."""

    def __init__(self, inner: NamespaceOperations, notifier: Notifier) -> None:
        super().__init__(inner)
        self._notifier = notifier

    @classmethod
    def build(cls, inner: NamespaceOperations, deps: Dependencies) -> NamespaceOperations:
        return cls(inner, deps.notifier) if deps.notifier.enabled else inner

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        created = self.inner.create(ctx, namespace)
        self._notifier.info("metadef_namespace.create", namespace_payload(created))
        for definitions in created.contents.values():
            _notify_created(self._notifier, created, definitions)
        return created

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        updated = self.inner.update(ctx, namespace, after)
        self._notifier.info(
            "metadef_namespace.update", namespace_payload(updated, old=namespace.name)
        )
        return updated

    def delete(self, ctx: Caller, namespace: Namespace) -> None:
        self.inner.delete(ctx, namespace)
        self._notifier.info("metadef_namespace.delete", namespace_payload(namespace, deleted=True))


class DefinitionNotifierProxy(DefinitionLayer):
    """Announces changes of what lies in a namespace."""

    def __init__(self, inner: DefinitionOperations, notifier: Notifier) -> None:
        super().__init__(inner)
        self._notifier = notifier

    @classmethod
    def build(cls, inner: DefinitionOperations, deps: Dependencies) -> DefinitionOperations:
        return cls(inner, deps.notifier) if deps.notifier.enabled else inner

    def create(self, ctx: Caller, namespace: Namespace, definition: DefinitionT) -> DefinitionT:
        created = self.inner.create(ctx, namespace, definition)
        _notify_created(self._notifier, namespace, [created])
        return created

    def create_all(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        definitions: Sequence[DefinitionT],
        append: bool,
    ) -> Sequence[DefinitionT]:
        created = self.inner.create_all(ctx, namespace, kind, definitions, append)
        _notify_created(self._notifier, namespace, created)
        return created

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT:
        updated = self.inner.update(ctx, namespace, name, after)
        self._notifier.info(
            f"{EVENTS[type(after)]}.update", definition_payload(namespace, updated, old=name)
        )
        return updated

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        removed = self.inner.delete(ctx, namespace, kind, name)
        self._notifier.info(
            f"{EVENTS[kind]}.delete", definition_payload(namespace, removed, deleted=True)
        )
        return removed

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        self.inner.clear(ctx, namespace, kind)
        self._notifier.info(_CLEAR_EVENTS[kind], namespace_payload(namespace))
