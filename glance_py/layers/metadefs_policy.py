"""What did the operator allow?  The rules about metadata definitions.

What the rules judge is always the namespace.  A refused caller learns 403 when
it may see the namespace and 404 when it may not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.metadef import (
    Association,
    DefinitionT,
    Kind,
    Listing,
    Namespace,
    NamespacePage,
    NamespaceQuery,
    Object,
    Property,
    ResourceType,
    Tag,
)
from glance_py.domain.ports import DefinitionOperations, NamespaceOperations
from glance_py.layers.base import DefinitionLayer, NamespaceLayer
from glance_py.policies.enforcer import Enforcer

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

_VIEW_RULE = "get_metadef_namespace"

#: The rules of each operation, by kind.
RULES: Mapping[Kind, Mapping[str, tuple[str, ...]]] = {
    Object: {
        "list": ("get_metadef_objects",),
        "get": ("get_metadef_object",),
        "create": ("add_metadef_object",),
        "update": ("modify_metadef_object",),
        "delete": ("delete_metadef_object",),
        "clear": ("delete_metadef_namespace",),
    },
    Property: {
        "list": ("get_metadef_properties",),
        "get": ("get_metadef_property",),
        "create": ("add_metadef_property",),
        "update": ("modify_metadef_property",),
        "delete": ("remove_metadef_property",),
        "clear": ("delete_metadef_namespace",),
    },
    Tag: {
        "list": ("get_metadef_tags",),
        "get": ("get_metadef_tag",),
        "create": ("add_metadef_tag",),
        "create_all": ("add_metadef_tags",),
        "update": ("modify_metadef_tag",),
        "delete": ("delete_metadef_tag",),
        "clear": ("delete_metadef_namespace", "delete_metadef_tags"),
    },
    Association: {
        "list": ("list_metadef_resource_types",),
        "get": ("get_metadef_resource_type",),
        "create": ("add_metadef_resource_type_association",),
        "delete": ("remove_metadef_resource_type_association",),
    },
}

#: Kinds whose lists leave out what the rule on reading one refuses.  It judges the namespace, and
#: so has one answer for all of them.
_FILTERED_KINDS = (Object, Association)

#: What one who looks at a whole namespace must be allowed.
_VIEW_CONTENTS_RULES = (
    _VIEW_RULE,
    "list_metadef_resource_types",
    "get_metadef_objects",
    "get_metadef_properties",
    "get_metadef_tags",
)


def target(namespace: Namespace) -> dict[str, object]:
    """A namespace as the target of a rule."""
    return {
        "project_id": namespace.owner,
        "owner": namespace.owner,
        "visibility": namespace.visibility,
        "namespace": namespace.name,
    }


class _MetadefRules:
    """Asks the rules about a namespace."""

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    def check(self, ctx: Caller, namespace: Namespace, *rules: str) -> None:
        """May the caller do this to the namespace?

        :raises errors.PolicyForbids: no, though it may see the namespace.
        :raises errors.NamespaceNotFound: it may not even see it.
        """
        if not self._allowed(ctx, target(namespace), rules):
            raise errors.NamespaceNotFound(namespace.name)

    def check_in_own_project(self, ctx: Caller, *rules: str) -> None:
        """The same where there is no namespace, judged as if it were one of the caller's.

        :raises errors.NotFound: it may not see any.
        """
        if not self._allowed(ctx, {"project_id": ctx.project_id}, rules):
            raise errors.NotFound("The resource could not be found.")

    def _allowed(self, ctx: Caller, about: Mapping[str, object], rules: Sequence[str]) -> bool:
        for rule in rules:
            if not self._enforcer.allows(ctx, rule, about):
                if rule != _VIEW_RULE and self._enforcer.allows(ctx, _VIEW_RULE, about):
                    raise errors.PolicyForbids(rule)
                return False
        return True


class NamespacePolicyProxy(NamespaceLayer):
    """The rules about namespaces."""

    def __init__(self, inner: NamespaceOperations, enforcer: Enforcer) -> None:
        super().__init__(inner)
        self._enforcer = enforcer
        self._rules = _MetadefRules(enforcer)

    @classmethod
    def build(cls, inner: NamespaceOperations, deps: Dependencies) -> NamespaceOperations:
        return cls(inner, deps.enforcer)

    def get(self, ctx: Caller, name: str) -> Namespace:
        namespace = self.inner.get(ctx, name)
        self._rules.check(ctx, namespace, *_VIEW_CONTENTS_RULES)
        return namespace

    def list(self, ctx: Caller, query: NamespaceQuery) -> NamespacePage:
        self._rules.check_in_own_project(
            ctx, "get_metadef_namespaces", "list_metadef_resource_types"
        )
        page = self.inner.list(ctx, query)
        visible = self._enforcer.memoized_check(ctx, _VIEW_RULE)
        return dataclasses.replace(
            page, namespaces=[each for each in page.namespaces if visible(target(each))]
        )

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        self._rules.check_in_own_project(
            ctx,
            "add_metadef_namespace",
            *(rule for kind in namespace.contents for rule in RULES[kind]["create"]),
        )
        return self.inner.create(ctx, namespace)

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        self._rules.check(ctx, namespace, "modify_metadef_namespace")
        return self.inner.update(ctx, namespace, after)

    def delete(self, ctx: Caller, namespace: Namespace) -> None:
        self._rules.check(ctx, namespace, "delete_metadef_namespace")
        self.inner.delete(ctx, namespace)

    def resource_types(self, ctx: Caller) -> Sequence[ResourceType]:
        self._rules.check_in_own_project(ctx, "list_metadef_resource_types")
        return self.inner.resource_types(ctx)


class DefinitionPolicyProxy(DefinitionLayer):
    """The rules about what lies in a namespace."""

    def __init__(self, inner: DefinitionOperations, enforcer: Enforcer) -> None:
        super().__init__(inner)
        self._enforcer = enforcer
        self._rules = _MetadefRules(enforcer)

    @classmethod
    def build(cls, inner: DefinitionOperations, deps: Dependencies) -> DefinitionOperations:
        return cls(inner, deps.enforcer)

    def list(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        listing: Listing | None = None,
    ) -> Sequence[DefinitionT]:
        self._rules.check(ctx, namespace, *RULES[kind]["list"])
        # wire: lists of properties and tags do not ask the rule on reading one.
        if kind in _FILTERED_KINDS and not all(
            self._enforcer.allows(ctx, rule, target(namespace)) for rule in RULES[kind]["get"]
        ):
            return []
        return self.inner.list(ctx, namespace, kind, listing)

    def get(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        self._rules.check(ctx, namespace, *RULES[kind]["get"])
        return self.inner.get(ctx, namespace, kind, name)

    def create(self, ctx: Caller, namespace: Namespace, definition: DefinitionT) -> DefinitionT:
        self._rules.check(ctx, namespace, *RULES[type(definition)]["create"])
        return self.inner.create(ctx, namespace, definition)

    def create_all(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        definitions: Sequence[DefinitionT],
        append: bool,
    ) -> Sequence[DefinitionT]:
        self._rules.check(ctx, namespace, *RULES[kind]["create_all"])
        return self.inner.create_all(ctx, namespace, kind, definitions, append)

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT:
        self._rules.check(ctx, namespace, *RULES[type(after)]["update"])
        return self.inner.update(ctx, namespace, name, after)

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        self._rules.check(ctx, namespace, *RULES[kind]["delete"])
        return self.inner.delete(ctx, namespace, kind, name)

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        self._rules.check(ctx, namespace, *RULES[kind]["clear"])
        self.inner.clear(ctx, namespace, kind)
