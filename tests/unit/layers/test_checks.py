"""Tables of checks: complete or refused, and in agreement with the rules of the service."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import unittest

from glance_py import policies
from glance_py.domain import errors
from glance_py.domain.metadef import KINDS, Association, Object, Property, Tag
from glance_py.layers.authorization import AuthorizationProxy, MemberAuthorizationProxy
from glance_py.layers.base import TaskLayer
from glance_py.layers.checks import Check, CheckedLayer, OwnMethod, Unchecked
from glance_py.layers.metadefs_authorization import (
    DefinitionAuthorizationProxy,
    NamespaceAuthorizationProxy,
)
from glance_py.layers.metadefs_policy import (
    DefinitionPolicyProxy,
    KindRules,
    NamespacePolicyProxy,
)
from glance_py.layers.ownership import Owned, OwnershipProxy
from glance_py.layers.policy import MemberPolicyProxy, PolicyProxy
from glance_py.layers.tasks import TaskPolicyProxy
from tests.unit.layers.test_access import (
    DEFINITION_ROWS,
    IMAGE_ROWS,
    MEMBER_ROWS,
    NAMESPACE_ROWS,
)

#: Rules that no operation of a port asks, and the module that asks them, or why none does.
ASKED_ELSEWHERE = {
    "stores_info_detail": "glance_py.http.controllers.info",
    "cache_list": "glance_py.http.controllers.cache",
    "cache_image": "glance_py.http.controllers.cache",
    "cache_delete": "glance_py.http.controllers.cache",
    "cache_clean": "glance_py.http.controllers.cache",
    "cache_prune": "glance_py.http.controllers.cache",
    "list_cached_nodes": "glance_py.http.controllers.cache",
    "manage_image_cache": "glance_py.middleware.cache_manage",
    "context_is_admin": "glance_py.policies.enforcer",
}
NOT_ASKED = {
    "default": "the rule for names that are defined nowhere",
    "service_api": "part of other rules",
    "metadef_default": "part of old defaults",
    "metadef_admin": "part of other rules",
    "get_task": "replaced by tasks_api_access",
    "get_tasks": "replaced by tasks_api_access",
    "add_task": "replaced by tasks_api_access",
    "modify_task": "replaced by tasks_api_access",
}

POLICY_LAYERS = (
    PolicyProxy,
    MemberPolicyProxy,
    TaskPolicyProxy,
    NamespacePolicyProxy,
    DefinitionPolicyProxy,
)

#: Operations that only read; a layer of ownership may pass only these on without a check.
READS = {"get", "resolve", "list", "download", "list_locations", "resource_types"}


@dataclasses.dataclass(frozen=True, slots=True)
class Counted(Check):
    """Counts calls."""

    def method(self, operation):
        def checked(layer, *arguments):
            layer.count += 1
            return getattr(layer.inner, operation)(*arguments)

        return checked


class Tasks:
    def list(self, ctx, query):
        return ["t"]

    def get(self, ctx, task_id):
        return task_id

    def create(self, ctx, task):
        return task

    def list_for_image(self, ctx, image):
        return []


class CheckedLayerTest(unittest.TestCase):
    def define(self, checks, **methods):
        return type("Layer", (CheckedLayer, TaskLayer), {"checks": checks, **methods})

    def test_an_operation_without_an_entry_is_refused(self) -> None:
        checks = dict.fromkeys(TaskLayer.operations, Unchecked(reason="r"))
        self.define(checks)
        for name in TaskLayer.operations:
            with self.assertRaisesRegex(TypeError, f"no entry for the operation '{name}'"):
                self.define({each: checks[each] for each in checks if each != name})

    def test_an_entry_without_an_operation_is_refused(self) -> None:
        checks = dict.fromkeys((*TaskLayer.operations, "other"), Unchecked(reason="r"))
        with self.assertRaisesRegex(TypeError, "no operation 'other'"):
            self.define(checks)

    def test_a_layer_without_a_table_is_refused(self) -> None:
        for bases in ((CheckedLayer, TaskLayer), (TaskPolicyProxy,)):
            with self.assertRaisesRegex(TypeError, "Layer has no table"):
                type("Layer", bases, {})

    def test_unchecked_needs_a_reason(self) -> None:
        checks = dict.fromkeys(TaskLayer.operations, Unchecked())
        with self.assertRaisesRegex(TypeError, "must give a reason"):
            self.define(checks)

    def test_a_method_that_the_table_does_not_name_is_refused(self) -> None:
        checks = dict.fromkeys(TaskLayer.operations, Unchecked(reason="r"))
        for check in (Unchecked(reason="r"), Counted()):
            with self.assertRaisesRegex(TypeError, "Layer.get must be a method"):
                self.define({**checks, "get": check}, get=lambda *_: None)

    def test_a_method_that_the_table_names_and_the_class_lacks_is_refused(self) -> None:
        checks = dict.fromkeys(TaskLayer.operations, Unchecked(reason="r"))
        with self.assertRaisesRegex(TypeError, "Layer.get must be a method"):
            self.define({**checks, "get": OwnMethod()})

    def test_checks_are_made_and_unchecked_operations_bound(self) -> None:
        checks = {**dict.fromkeys(TaskLayer.operations, Unchecked(reason="r")), "get": Counted()}
        cls = self.define(checks, count=0)
        inner = Tasks()
        layer = cls(inner)
        self.assertEqual("t", layer.get("ctx", "t"))
        self.assertEqual(1, layer.count)
        self.assertEqual(inner.list, layer.list)
        self.assertEqual(("get",), cls.overrides())
        self.assertEqual(("get", "Layer.get"), (cls.get.__name__, cls.get.__qualname__))

    def test_a_check_without_a_method_fails(self) -> None:
        with self.assertRaises(NotImplementedError):
            Check().method("get")


class OwnershipTablesTest(unittest.TestCase):
    def test_only_reads_pass_unchecked(self) -> None:
        for layer in (OwnershipProxy, NamespaceAuthorizationProxy, DefinitionAuthorizationProxy):
            unchecked = {
                name for name, check in layer.checks.items() if isinstance(check, Unchecked)
            }
            self.assertEqual(set(), unchecked - READS, layer.__name__)
        self.assertEqual(
            {"upload", "stage", "set_status", "delete_from_store"},
            {name for name, check in OwnershipProxy.checks.items() if isinstance(check, Owned)},
        )

    def test_layers_of_visibility_check_what_finds_by_id(self) -> None:
        for layer in (AuthorizationProxy, MemberAuthorizationProxy, NamespaceAuthorizationProxy):
            for name in ("get", "resolve"):
                self.assertIsInstance(layer.checks[name], OwnMethod, layer.__name__)


class PolicyTablesTest(unittest.TestCase):
    """The tables of the layers against the rows of test_access, which were written apart."""

    def assert_rules(self, layer: type, expected: dict[str, set[str]]) -> None:
        for name, check in layer.checks.items():
            with self.subTest(f"{layer.__name__}.{name}"):
                self.assertEqual(expected.get(name, set()), set(check.rules))

    def rules_of(self, rows) -> dict[str, set[str]]:
        """Operation -> the rules of its rows."""
        expected: dict[str, set[str]] = {}
        for name, row in rows.items():
            rules = {rule.partition("@")[0] for rule in row.rules}
            expected.setdefault(name.partition(" ")[0], set()).update(rules)
        return expected

    def test_images(self) -> None:
        expected = self.rules_of(IMAGE_ROWS)
        expected["create"] = {"add_image", "publicize_image", "communitize_image"}
        self.assert_rules(PolicyProxy, expected)

    def test_members(self) -> None:
        self.assert_rules(MemberPolicyProxy, self.rules_of(MEMBER_ROWS))

    def test_tasks(self) -> None:
        self.assert_rules(
            TaskPolicyProxy, dict.fromkeys(("list", "get", "create"), {"tasks_api_access"})
        )

    def test_namespaces(self) -> None:
        expected = self.rules_of(NAMESPACE_ROWS)
        expected["create"] = {
            "add_metadef_namespace",
            *DefinitionPolicyProxy.checks["create"].rules,
        }
        self.assert_rules(NamespacePolicyProxy, expected)

    def test_definitions(self) -> None:
        self.assert_rules(DefinitionPolicyProxy, self.rules_of(DEFINITION_ROWS))

    def test_each_rule_is_asked_by_an_operation_or_elsewhere(self) -> None:
        asked = {
            rule
            for layer in POLICY_LAYERS
            for check in layer.checks.values()
            for rule in check.rules
        }
        known = {rule.name for rule in policies.list_rules()}
        self.assertEqual(known, asked | ASKED_ELSEWHERE.keys() | NOT_ASKED.keys())
        self.assertEqual(
            len(known), len(asked) + len(ASKED_ELSEWHERE) + len(NOT_ASKED), "a rule stands twice"
        )
        for rule, module in ASKED_ELSEWHERE.items():
            self.assertIn(f'"{rule}"', inspect.getsource(importlib.import_module(module)), rule)


class KindRulesTest(unittest.TestCase):
    def test_a_kind_without_rules_is_refused(self) -> None:
        for kind in KINDS:
            by_kind = {each: ("r",) for each in KINDS if each is not kind}
            with self.assertRaisesRegex(TypeError, f"no rules for the kind {kind.noun}"):
                KindRules(by_kind=by_kind)

    def test_rules_are_those_of_all_kinds_once(self) -> None:
        rules = KindRules(
            by_kind={Object: ("a", "b"), Property: None, Tag: ("b", "c"), Association: ()}
        )
        self.assertEqual(("a", "b", "c"), rules.rules)
        self.assertEqual(("a", "b"), rules.of(Object))
        self.assertEqual((), rules.of(Association))

    def test_an_operation_that_the_api_does_not_offer_is_refused(self) -> None:
        for name, kind in (
            ("clear", Association),
            ("create_all", Object),
            ("create_all", Property),
            ("create_all", Association),
            ("update", Association),
        ):
            with self.subTest(name, kind=kind), self.assertRaises(errors.Forbidden):
                DefinitionPolicyProxy.checks[name].of(kind)


if __name__ == "__main__":
    unittest.main()
