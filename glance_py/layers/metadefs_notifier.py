"""Who wants to hear about metadata definitions?  Announces what was really changed."""

from __future__ import annotations

from collections.abc import Sequence

from glance_py.domain.caller import Caller
from glance_py.domain.metadef import (
    Association,
    Definition,
    Kind,
    Namespace,
    Object,
    Property,
    Tag,
)
from glance_py.domain.ports import DEFINITION_OPERATIONS, NAMESPACE_OPERATIONS
from glance_py.layers.notifying import NotifyingProxy
from glance_py.notifications.metadef_payloads import definition_payload, namespace_payload

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


class _MetadefNotifierProxy(NotifyingProxy):
    """What both layers of this module announce."""

    def _notify_created(self, namespace: Namespace, definitions: Sequence[Definition]) -> None:
        for definition in definitions:
            self._notifier.info(
                f"{EVENTS[type(definition)]}.create", definition_payload(namespace, definition)
            )


class NamespaceNotifierProxy(_MetadefNotifierProxy):
    """Announces changes of namespaces, and what came with a new one."""

    operations = NAMESPACE_OPERATIONS

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        created = self.inner.create(ctx, namespace)
        self._notifier.info("metadef_namespace.create", namespace_payload(created))
        for definitions in created.contents.values():
            self._notify_created(created, definitions)
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


class DefinitionNotifierProxy(_MetadefNotifierProxy):
    """Announces changes of what lies in a namespace."""

    operations = DEFINITION_OPERATIONS

    def create(self, ctx: Caller, namespace: Namespace, definition: Definition) -> Definition:
        created = self.inner.create(ctx, namespace, definition)
        self._notify_created(namespace, [created])
        return created

    def create_all(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: Kind,
        definitions: Sequence[Definition],
        append: bool,
    ) -> Sequence[Definition]:
        created = self.inner.create_all(ctx, namespace, kind, definitions, append)
        self._notify_created(namespace, created)
        return created

    def update(self, ctx: Caller, namespace: Namespace, name: str, after: Definition) -> Definition:
        updated = self.inner.update(ctx, namespace, name, after)
        self._notifier.info(
            f"{EVENTS[type(after)]}.update", definition_payload(namespace, updated, old=name)
        )
        return updated

    def delete(self, ctx: Caller, namespace: Namespace, kind: Kind, name: str) -> Definition:
        removed = self.inner.delete(ctx, namespace, kind, name)
        self._notifier.info(
            f"{EVENTS[kind]}.delete", definition_payload(namespace, removed, deleted=True)
        )
        return removed

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        self.inner.clear(ctx, namespace, kind)
        self._notifier.info(_CLEAR_EVENTS[kind], namespace_payload(namespace))
