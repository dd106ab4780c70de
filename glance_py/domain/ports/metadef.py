"""The operations on metadata namespaces and on what they hold; the DAL has the same ones."""

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
    """The operations on metadata namespaces, of the layers and of the DAL.

    ``get``, ``resolve``, ``update`` and ``delete`` may raise errors.NamespaceNotFound, and
    ``create`` and ``update`` errors.Duplicate.
    """

    def get(self, ctx: Caller, name: str) -> Namespace:
        """The namespace and all that it holds, for a caller that wants to look at it."""

    def resolve(self, ctx: Caller, name: str) -> Namespace:
        """The namespace alone, for a caller that will ask another operation about it."""

    def list(self, ctx: Caller, query: NamespaceQuery) -> NamespacePage: ...

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        """Record a namespace and all its contents, in one transaction."""

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        """Replace the fields of ``namespace``, its name included, but not its contents."""

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
    """The operations on definitions of one kind in a namespace, of the layers and of the DAL.

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
        """Record several definitions, in addition to the present ones or in their place."""

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT: ...

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        """Remove one definition and return it."""

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        """Remove all definitions of a kind."""


DEFINITION_OPERATIONS: tuple[str, ...] = (
    "list",
    "get",
    "create",
    "create_all",
    "update",
    "delete",
    "clear",
)
