"""Notifications about metadata definitions, after the inner layers have done an operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from glance_py.domain.caller import Caller
from glance_py.domain.metadef import DefinitionT, Kind, Namespace
from glance_py.domain.ports import DefinitionOperations, NamespaceOperations
from glance_py.layers.base import DefinitionLayer, NamespaceLayer
from glance_py.layers.notifying import NotifyingLayer
from glance_py.notifications.events import emit
from glance_py.notifications.notifier import Notifier

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


class NamespaceNotifierProxy(NotifyingLayer, NamespaceLayer):
    """Announces changes of namespaces, and what a new one holds."""

    noun = "namespaces"

    def __init__(self, inner: NamespaceOperations, notifier: Notifier) -> None:
        super().__init__(inner)
        self.notifier = notifier

    @classmethod
    def build(cls, inner: NamespaceOperations, deps: Dependencies) -> NamespaceOperations:
        return cls(inner, deps.notifier) if deps.notifier.enabled else inner

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        created = self.inner.create(ctx, namespace)
        emit(self.notifier, "namespaces.create", created, ctx, namespace)
        for definitions in created.contents.values():
            for each in definitions:
                emit(self.notifier, "definitions.create", created, each, kind=type(each))
        return created


class DefinitionNotifierProxy(NotifyingLayer, DefinitionLayer):
    """Announces changes of what a namespace holds."""

    noun = "definitions"

    def __init__(self, inner: DefinitionOperations, notifier: Notifier) -> None:
        super().__init__(inner)
        self.notifier = notifier

    @classmethod
    def build(cls, inner: DefinitionOperations, deps: Dependencies) -> DefinitionOperations:
        return cls(inner, deps.notifier) if deps.notifier.enabled else inner

    def create(self, ctx: Caller, namespace: Namespace, definition: DefinitionT) -> DefinitionT:
        created = self.inner.create(ctx, namespace, definition)
        emit(self.notifier, "definitions.create", namespace, created, kind=type(created))
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
        for each in created:
            emit(self.notifier, "definitions.create", namespace, each, kind=kind)
        return created

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT:
        updated = self.inner.update(ctx, namespace, name, after)
        emit(self.notifier, "definitions.update", namespace, updated, name, kind=type(after))
        return updated

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        deleted = self.inner.delete(ctx, namespace, kind, name)
        emit(self.notifier, "definitions.delete", namespace, deleted, kind=kind)
        return deleted

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        self.inner.clear(ctx, namespace, kind)
        emit(self.notifier, "definitions.clear", namespace, kind=kind)
