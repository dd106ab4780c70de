"""Ownership of metadata definitions: who sees a namespace, and who may change it.

Everything in a namespace is the namespace's: seen and changed with it.  This
layer stands behind the policy, so that whoever may not see a public namespace
is told that there is none, before ownership is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.metadef import (
    DefinitionT,
    Kind,
    Namespace,
    is_mutable,
    is_visible,
)
from glance_py.domain.ports import DefinitionOperations, NamespaceOperations
from glance_py.layers.base import DefinitionLayer, NamespaceLayer

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


def require_mutable(ctx: Caller, namespace: Namespace) -> None:
    """:raises errors.Forbidden: the namespace is another project's."""
    if not is_mutable(ctx, namespace):
        raise errors.Forbidden(f"You do not own the metadata namespace {namespace.name}.")


def require_unprotected(namespace: Namespace) -> None:
    """:raises errors.Forbidden: nothing of the namespace may be deleted, by nobody."""
    if namespace.protected:
        raise errors.Forbidden(
            f"The metadata namespace {namespace.name} is protected: nothing of it can be deleted."
        )


class NamespaceAuthorizationProxy(NamespaceLayer):
    """Namespaces of other projects are seen when public and never changed."""

    @classmethod
    def build(cls, inner: NamespaceOperations, deps: Dependencies) -> NamespaceOperations:
        return cls(inner)

    def get(self, ctx: Caller, name: str) -> Namespace:
        return self._visible(ctx, self.inner.get(ctx, name))

    def resolve(self, ctx: Caller, name: str) -> Namespace:
        return self._visible(ctx, self.inner.resolve(ctx, name))

    @staticmethod
    def _visible(ctx: Caller, namespace: Namespace) -> Namespace:
        if not is_visible(ctx, namespace):
            raise errors.NamespaceNotFound(namespace.name)
        return namespace

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        self._require_owner(namespace)
        if not is_mutable(ctx, namespace):
            raise errors.Forbidden(
                f"You are not permitted to create namespaces owned by '{namespace.owner}'."
            )
        return self.inner.create(ctx, namespace)

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        require_mutable(ctx, namespace)
        self._require_owner(after)
        if not is_mutable(ctx, after):
            raise errors.Forbidden("Only an administrator may give a namespace another owner.")
        return self.inner.update(ctx, namespace, after)

    @staticmethod
    def _require_owner(namespace: Namespace) -> None:
        if namespace.owner is None:
            raise errors.Invalid("A caller without a project must say who owns the namespace.")

    def delete(self, ctx: Caller, namespace: Namespace) -> None:
        require_mutable(ctx, namespace)
        require_unprotected(namespace)
        self.inner.delete(ctx, namespace)


class DefinitionAuthorizationProxy(DefinitionLayer):
    """Who owns a namespace owns what lies in it; from a protected one nothing is taken.

    Whoever holds a namespace was allowed to see it.
    """

    @classmethod
    def build(cls, inner: DefinitionOperations, deps: Dependencies) -> DefinitionOperations:
        return cls(inner)

    def create(self, ctx: Caller, namespace: Namespace, definition: DefinitionT) -> DefinitionT:
        require_mutable(ctx, namespace)
        return self.inner.create(ctx, namespace, definition)

    def create_all(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        definitions: Sequence[DefinitionT],
        append: bool,
    ) -> Sequence[DefinitionT]:
        # wire: even in a protected namespace others may be put in their place.
        require_mutable(ctx, namespace)
        return self.inner.create_all(ctx, namespace, kind, definitions, append)

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT:
        require_mutable(ctx, namespace)
        return self.inner.update(ctx, namespace, name, after)

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        require_mutable(ctx, namespace)
        if namespace.protected:
            # wire: what is not there is missed first.
            self.inner.get(ctx, namespace, kind, name)
            require_unprotected(namespace)
        return self.inner.delete(ctx, namespace, kind, name)

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        require_mutable(ctx, namespace)
        require_unprotected(namespace)
        self.inner.clear(ctx, namespace, kind)
