"""Metadata definitions: what can be asked of namespaces and of what lies in them.

Their records have the same operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from glance_py.domain.caller import Caller
from glance_py.domain.metadef import (
    DefinitionT,
    Kind,
    Listing,
    Namespace,
    NamespacePage,
    NamespaceQuery,
    ResourceType,
)


class NamespaceOperations(Protocol):
    """What can be asked of metadata namespaces; the DAL for them has the same operations.

    ``get``, ``resolve``, ``update`` and ``delete`` may raise errors.NamespaceNotFound, and
    ``create`` and ``update`` errors.Duplicate.
    """

    def get(self, ctx: Caller, name: str) -> Namespace:
        """The namespace and everything in it, for one who wants to look at it."""

    def resolve(self, ctx: Caller, name: str) -> Namespace:
        """The namespace alone, for one who will ask something else about it."""

    def list(self, ctx: Caller, query: NamespaceQuery) -> NamespacePage: ...

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        """Record a namespace and its contents, whole or not at all."""

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        """Replace what ``namespace`` says of itself, its name included; not its contents."""

    def delete(self, ctx: Caller, namespace: Namespace) -> None: ...

    def resource_types(self, ctx: Caller) -> Sequence[ResourceType]: ...


NAMESPACE_OPERATIONS: tuple[str, ...] = (
    "get",
    "resolve",
    "list",
    "create",
    "update",
    "delete",
    "resource_types",
)


class DefinitionOperations(Protocol):
    """What can be asked of one kind of things in a namespace; the DAL has the same operations.

    All of them may raise errors.NamespaceNotFound; ``get``, ``update`` and
    ``delete`` errors.DefinitionNotFound; those that write errors.Duplicate.
    """

    def list(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        listing: Listing | None = None,
    ) -> Sequence[DefinitionT]: ...

    def get(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT: ...

    def create(self, ctx: Caller, namespace: Namespace, definition: DefinitionT) -> DefinitionT: ...

    def create_all(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        definitions: Sequence[DefinitionT],
        append: bool,
    ) -> Sequence[DefinitionT]:
        """Record several at once, beside those that are there or instead of them."""

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT: ...

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        """Remove one and return what it was."""

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        """Remove all of this kind."""


DEFINITION_OPERATIONS: tuple[str, ...] = (
    "list",
    "get",
    "create",
    "create_all",
    "update",
    "delete",
    "clear",
)
