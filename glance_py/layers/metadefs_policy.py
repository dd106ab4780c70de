"""The operator's policy: asks the rules about metadata definitions.

The target of a rule is always the namespace.  A refused caller gets 403 when it may see the
namespace and 404 when it may not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.metadef import (
    KINDS,
    Association,
    Definition,
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
from glance_py.layers.checks import Check, CheckedLayer, Method, OwnMethod, Unchecked
from glance_py.policies.enforcer import Enforcer

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

_VIEW_RULE = "get_metadef_namespace"

#: The rules for an answer with everything that a namespace holds.
_VIEW_CONTENTS_RULES = (
    _VIEW_RULE,
    "list_metadef_resource_types",
    "get_metadef_objects",
    "get_metadef_properties",
    "get_metadef_tags",
)

#: Kinds whose lists leave out definitions that the rule of ``get`` refuses.  The target is the
#: namespace, so that the rule has one answer for all of them.
_FILTERED_KINDS = (Object, Association)


def target(namespace: Namespace) -> dict[str, object]:
    """A namespace as the target of a rule."""
    return {
        "project_id": namespace.owner,
        "owner": namespace.owner,
        "visibility": namespace.visibility,
        "namespace": namespace.name,
    }


class MetadefRules:
    """Asks rules whose target is a namespace."""

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    def check(self, ctx: Caller, namespace: Namespace, *rules: str) -> None:
        """Ask the rules about a namespace, in their order.

        :raises errors.PolicyForbids: one refuses, and the caller may see the namespace.
        :raises errors.NamespaceNotFound: one refuses, and the caller may not see the namespace.
        """
        if not self._allowed(ctx, target(namespace), rules):
            raise errors.NamespaceNotFound(namespace.name)

    def check_in_own_project(self, ctx: Caller, *rules: str) -> None:
        """Ask the rules where there is no namespace, about one of the caller's project.

        :raises errors.PolicyForbids: one refuses, and the caller may see namespaces.
        :raises errors.NotFound: one refuses, and the caller may not see any namespace.
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


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceRules(Check):
    """All ``rules`` are asked about the namespace, in their order."""

    def method(self, operation: str) -> Method:
        rules = self.rules

        def checked(
            layer: NamespacePolicyProxy,
            ctx: Caller,
            namespace: Namespace,
            *arguments: object,
            **named: object,
        ) -> object:
            layer.rules.check(ctx, namespace, *rules)
            return getattr(layer.inner, operation)(ctx, namespace, *arguments, **named)

        return checked


def _kind_argument(kind: Kind, *_others: object) -> Kind:
    return kind


def _kind_of_created(definition: Definition) -> Kind:
    return type(definition)


def _kind_of_updated(_name: str, after: Definition) -> Kind:
    return type(after)


@dataclasses.dataclass(frozen=True, slots=True)
class KindRules(Check):
    """Rules that depend on the kind of the definitions.

    by_kind
        The rules of each kind, in their order; None where the API does not offer the operation
        for the kind.
    kind_of
        Returns the kind for the arguments that follow the namespace.
    :raises TypeError: a kind is missing.
    """

    by_kind: Mapping[Kind, tuple[str, ...] | None] = dataclasses.field(kw_only=True)
    kind_of: Callable[..., Kind] = dataclasses.field(default=_kind_argument, kw_only=True)

    def __post_init__(self) -> None:
        missing = set(KINDS) - self.by_kind.keys()
        if missing:
            nouns = sorted(kind.noun for kind in missing)
            raise TypeError(f"There are no rules for the kind {', '.join(nouns)}.")
        all_rules = [rule for kind in KINDS for rule in self.by_kind[kind] or ()]
        object.__setattr__(self, "rules", tuple(dict.fromkeys(all_rules)))

    def of(self, kind: Kind) -> tuple[str, ...]:
        """The rules of one kind.

        :raises errors.Forbidden: the API does not offer the operation for this kind.
        """
        rules = self.by_kind[kind]
        if rules is None:
            raise errors.Forbidden()
        return rules

    def method(self, operation: str) -> Method:
        kind_of, rules_of = self.kind_of, self.of

        def checked(
            layer: DefinitionPolicyProxy,
            ctx: Caller,
            namespace: Namespace,
            *arguments: object,
            **named: object,
        ) -> object:
            layer.rules.check(ctx, namespace, *rules_of(kind_of(*arguments)))
            return getattr(layer.inner, operation)(ctx, namespace, *arguments, **named)

        return checked


#: The rules of ``list`` and ``get``, which the list of a filtered kind asks too.
_LIST_RULES = KindRules(
    by_kind={
        Object: ("get_metadef_objects",),
        Property: ("get_metadef_properties",),
        Tag: ("get_metadef_tags",),
        Association: ("list_metadef_resource_types",),
    }
)
_GET_RULES = KindRules(
    by_kind={
        Object: ("get_metadef_object",),
        Property: ("get_metadef_property",),
        Tag: ("get_metadef_tag",),
        Association: ("get_metadef_resource_type",),
    }
)

#: The rules of ``create``, which the creation of a namespace with contents asks too.
_CREATE_RULES = KindRules(
    kind_of=_kind_of_created,
    by_kind={
        Object: ("add_metadef_object",),
        Property: ("add_metadef_property",),
        Tag: ("add_metadef_tag",),
        Association: ("add_metadef_resource_type_association",),
    },
)


class NamespacePolicyProxy(CheckedLayer, NamespaceLayer):
    """The rules about namespaces."""

    checks = {
        "get": OwnMethod(_VIEW_CONTENTS_RULES),
        "resolve": Unchecked(reason="the operation that follows asks its own rules"),
        "list": OwnMethod(("get_metadef_namespaces", "list_metadef_resource_types", _VIEW_RULE)),
        "create": OwnMethod(("add_metadef_namespace", *_CREATE_RULES.rules)),
        "update": NamespaceRules(("modify_metadef_namespace",)),
        "delete": NamespaceRules(("delete_metadef_namespace",)),
        "resource_types": OwnMethod(("list_metadef_resource_types",)),
    }

    def __init__(self, inner: NamespaceOperations, enforcer: Enforcer) -> None:
        super().__init__(inner)
        self._enforcer = enforcer
        self.rules = MetadefRules(enforcer)

    @classmethod
    def build(cls, inner: NamespaceOperations, deps: Dependencies) -> NamespaceOperations:
        return cls(inner, deps.enforcer)

    def get(self, ctx: Caller, name: str) -> Namespace:
        namespace = self.inner.get(ctx, name)
        self.rules.check(ctx, namespace, *_VIEW_CONTENTS_RULES)
        return namespace

    def list(self, ctx: Caller, query: NamespaceQuery) -> NamespacePage:
        """Leaves out namespaces that ``get_metadef_namespace`` refuses."""
        self.rules.check_in_own_project(
            ctx, "get_metadef_namespaces", "list_metadef_resource_types"
        )
        page = self.inner.list(ctx, query)
        visible = self._enforcer.memoized_check(ctx, _VIEW_RULE)
        return dataclasses.replace(
            page, namespaces=[each for each in page.namespaces if visible(target(each))]
        )

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        self.rules.check_in_own_project(
            ctx,
            "add_metadef_namespace",
            *(rule for kind in namespace.contents for rule in _CREATE_RULES.of(kind)),
        )
        return self.inner.create(ctx, namespace)

    def resource_types(self, ctx: Caller) -> Sequence[ResourceType]:
        self.rules.check_in_own_project(ctx, "list_metadef_resource_types")
        return self.inner.resource_types(ctx)


class DefinitionPolicyProxy(CheckedLayer, DefinitionLayer):
    """The rules about what a namespace holds."""

    checks = {
        "list": OwnMethod(
            (
                *_LIST_RULES.rules,
                *(rule for kind in _FILTERED_KINDS for rule in _GET_RULES.of(kind)),
            )
        ),
        "get": _GET_RULES,
        "create": _CREATE_RULES,
        "create_all": KindRules(
            by_kind={
                Object: None,
                Property: None,
                Tag: ("add_metadef_tags",),
                Association: None,
            }
        ),
        "update": KindRules(
            kind_of=_kind_of_updated,
            by_kind={
                Object: ("modify_metadef_object",),
                Property: ("modify_metadef_property",),
                Tag: ("modify_metadef_tag",),
                Association: None,
            },
        ),
        "delete": KindRules(
            by_kind={
                Object: ("delete_metadef_object",),
                Property: ("remove_metadef_property",),
                Tag: ("delete_metadef_tag",),
                Association: ("remove_metadef_resource_type_association",),
            }
        ),
        "clear": KindRules(
            by_kind={
                Object: ("delete_metadef_namespace",),
                Property: ("delete_metadef_namespace",),
                Tag: ("delete_metadef_namespace", "delete_metadef_tags"),
                Association: None,
            }
        ),
    }

    def __init__(self, inner: DefinitionOperations, enforcer: Enforcer) -> None:
        super().__init__(inner)
        self._enforcer = enforcer
        self.rules = MetadefRules(enforcer)

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
        """An empty list where the rule of ``get`` refuses definitions of a filtered kind."""
        self.rules.check(ctx, namespace, *_LIST_RULES.of(kind))
        # wire: lists of properties and tags do not ask the rule of ``get``.
        if kind in _FILTERED_KINDS and not all(
            self._enforcer.allows(ctx, rule, target(namespace)) for rule in _GET_RULES.of(kind)
        ):
            return []
        return self.inner.list(ctx, namespace, kind, listing)
