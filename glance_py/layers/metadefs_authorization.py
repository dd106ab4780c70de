"""Ownership of metadata definitions: which callers see a namespace, and which may change it.

What a namespace holds is seen and changed with it.  These layers stand behind the policy, so that
a caller whom the policy does not let see a public namespace gets 404 before ownership is checked.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.metadef import DefinitionT, Namespace
from glance_py.domain.ports import DefinitionOperations, NamespaceOperations
from glance_py.domain.visibility import (
    is_namespace_mutable,
    require_namespace_mutable,
    require_namespace_visible,
)
from glance_py.layers.base import DefinitionLayer, NamespaceLayer
from glance_py.layers.checks import Check, CheckedLayer, Method, OwnMethod, Unchecked

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies


def require_unprotected(namespace: Namespace) -> None:
    """:raises errors.Forbidden: the namespace is protected, also against administrators."""
    if namespace.protected:
        raise errors.Forbidden(
            f"The metadata namespace {namespace.name} is protected: nothing of it can be deleted."
        )


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceOwned(Check):
    """The namespace belongs to the caller's project, or the caller is an administrator.

    deletes
        The operation deletes something, so the namespace must not be protected.
    """

    deletes: bool = False

    def method(self, operation: str) -> Method:
        deletes = self.deletes

        def checked(
            layer: NamespaceLayer | DefinitionLayer,
            ctx: Caller,
            namespace: Namespace,
            *arguments: object,
            **named: object,
        ) -> object:
            require_namespace_mutable(ctx, namespace)
            if deletes:
                require_unprotected(namespace)
            return getattr(layer.inner, operation)(ctx, namespace, *arguments, **named)

        return checked


class NamespaceAuthorizationProxy(CheckedLayer, NamespaceLayer):
    """Shows namespaces of other projects when they are public; refuses to change them."""

    checks = {
        "get": OwnMethod(),
        "resolve": OwnMethod(),
        "list": Unchecked(reason="the DAL lists visible namespaces only"),
        "create": OwnMethod(),
        "update": OwnMethod(),
        "delete": NamespaceOwned(deletes=True),
        "resource_types": Unchecked(reason="resource types belong to no project"),
    }

    @classmethod
    def build(cls, inner: NamespaceOperations, deps: Dependencies) -> NamespaceOperations:
        return cls(inner)

    def get(self, ctx: Caller, name: str) -> Namespace:
        namespace = self.inner.get(ctx, name)
        require_namespace_visible(ctx, namespace)
        return namespace

    def resolve(self, ctx: Caller, name: str) -> Namespace:
        namespace = self.inner.resolve(ctx, name)
        require_namespace_visible(ctx, namespace)
        return namespace

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        self._require_owner(namespace)
        if not is_namespace_mutable(ctx, namespace):
            raise errors.Forbidden(
                f"You are not permitted to create namespaces owned by '{namespace.owner}'."
            )
        return self.inner.create(ctx, namespace)

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        require_namespace_mutable(ctx, namespace)
        self._require_owner(after)
        if not is_namespace_mutable(ctx, after):
            raise errors.Forbidden("Only an administrator may give a namespace another owner.")
        return self.inner.update(ctx, namespace, after)

    @staticmethod
    def _require_owner(namespace: Namespace) -> None:
        if namespace.owner is None:
            raise errors.Invalid("A caller without a project must say who owns the namespace.")


_RESOLVED = Unchecked(reason="the caller got the namespace from resolve, which checks visibility")


class DefinitionAuthorizationProxy(CheckedLayer, DefinitionLayer):
    """The owner of a namespace owns what it holds; nothing is deleted from a protected one."""

    checks = {
        "list": _RESOLVED,
        "get": _RESOLVED,
        "create": NamespaceOwned(),
        # wire: it may replace definitions, even in a protected namespace.
        "create_all": NamespaceOwned(),
        "update": NamespaceOwned(),
        "delete": OwnMethod(),
        "clear": NamespaceOwned(deletes=True),
    }

    @classmethod
    def build(cls, inner: DefinitionOperations, deps: Dependencies) -> DefinitionOperations:
        return cls(inner)

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        require_namespace_mutable(ctx, namespace)
        if namespace.protected:
            # wire: 404 for a missing definition comes before 403 for the protection.
            self.inner.get(ctx, namespace, kind, name)
            require_unprotected(namespace)
        return self.inner.delete(ctx, namespace, kind, name)
