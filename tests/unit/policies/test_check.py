"""Compiled rules: which answers they give, and whether the answers may be reused."""

from __future__ import annotations

import unittest
from collections.abc import Iterator, Mapping
from unittest import mock

from oslo_policy import _checks, _parser, policy

from glance_py.domain.image import Image
from glance_py.policies.check import CompiledRules
from glance_py.policies.extension import LazyExtensionChecks, install_lazy_extension_checks
from glance_py.policies.target import ImageTarget, RecordingTarget, new_image_target

LIBRARY = object()


class Recording(policy.Check):
    """A check that is not one of the library: records what it is called with."""

    calls: list[tuple] = []

    def __call__(self, target, creds, enforcer, current_rule=None):
        Recording.calls.append((target, creds, enforcer, current_rule))
        return self.match


class Unreadable(Mapping):
    """A target that fails the test when a rule reads it."""

    def __getitem__(self, key: str) -> object:
        raise AssertionError(f"the rule read {key}")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class CompiledRulesTest(unittest.TestCase):
    def compiled(self, default_rule: str | None = None, /, **texts: str) -> CompiledRules:
        trees = {name: _parser.parse_rule(text) for name, text in texts.items()}
        return CompiledRules(policy.Rules(trees, default_rule), LIBRARY)

    def allows(self, text: str, target: Mapping | None = None, **credentials: object) -> bool:
        check, is_reusable = self.compiled(rule=text).get("rule")
        self.assertTrue(is_reusable)
        return check(target if target is not None else {}, credentials)

    def test_constants(self) -> None:
        for text, expected in (("@", True), ("", True), ("!", False)):
            self.assertIs(expected, self.allows(text), text)

    def test_roles(self) -> None:
        for roles, expected in (
            (["Reader"], True),
            (["x", "READER"], True),
            (["x"], False),
            ([], False),
            (None, False),
        ):
            self.assertIs(expected, self.allows("role:reader", roles=roles), roles)
            self.assertIs(expected, self.allows("role:READER", roles=roles), roles)
            self.assertIs(expected, self.allows("role:%(r)s", {"r": "Reader"}, roles=roles), roles)
        self.assertFalse(self.allows("role:reader"))
        self.assertFalse(self.allows("role:%(r)s", {"r": "reader"}))

    def test_a_role_that_the_target_does_not_name(self) -> None:
        for text in ("role:%(r)s", "role:x%(r)s", "role:%(r)d"):
            self.assertFalse(self.allows(text, {}, roles=["reader", "none"]), text)
        self.assertFalse(self.allows("role:x%(r)d", {"r": "text"}, roles=["xtext"]))
        self.assertFalse(self.allows("role:x%(r)", {"r": "r"}, roles=["xr"]))

    def test_credentials(self) -> None:
        for text, target, credentials, expected in (
            ("project:%(owner)s", {"owner": "p"}, {"project": "p"}, True),
            ("project:%(owner)s", {"owner": "p"}, {"project": "q"}, False),
            ("project:%(owner)s", {"owner": None}, {"project": None}, True),
            ("project:%(owner)s", {}, {"project": "p"}, False),
            ("project:%(owner)s", {"owner": "p"}, {}, False),
            ("project:x%(owner)s", {"owner": "p"}, {"project": "xp"}, True),
            ("project:x%(owner)s", {"owner": "p"}, {"project": "p"}, False),
            ("project:x%(owner)d", {"owner": "p"}, {"project": "xp"}, False),
            ("project:x%(owner)", {"owner": "p"}, {"project": "xp"}, False),
            ("project:%(a)s%(b)s", {"a": "1", "b": "2"}, {"project": "12"}, True),
            ("project:fixed", {}, {"project": "fixed"}, True),
            ("project:fixed", {}, {"project": "other"}, False),
            ("user.id:%(u)s", {"u": "7"}, {"user": {"id": 7}}, True),
            ("user.id:%(u)s", {"u": "8"}, {"user": {"id": 7}}, False),
            ("roles:a", {}, {"roles": ["b", "a"]}, True),
            ("roles:c", {}, {"roles": ["b", "a"]}, False),
        ):
            with self.subTest(text, target=target, credentials=credentials):
                self.assertIs(expected, self.allows(text, target, **credentials))

    def test_literals(self) -> None:
        for text, target, expected in (
            ("'public':%(visibility)s", {"visibility": "public"}, True),
            ("'public':%(visibility)s", {"visibility": "private"}, False),
            ("'public':%(visibility)s", {}, False),
            ("True:%(protected)s", {"protected": True}, True),
            ("True:%(protected)s", {"protected": False}, False),
            ("7:%(n)s", {"n": 7}, True),
            ("None:%(owner)s", {"owner": None}, True),
        ):
            with self.subTest(text, target=target):
                self.assertIs(expected, self.allows(text, target))
        self.assertFalse(self.allows("'a':b", a="b"))

    def test_combinations(self) -> None:
        for text, expected in (
            ("@ and @", True),
            ("@ and !", False),
            ("! and @", False),
            ("! or @", True),
            ("@ or !", True),
            ("! or !", False),
            ("not @", False),
            ("not !", True),
            ("@ and @ and !", False),
            ("! or ! or @", True),
        ):
            self.assertIs(expected, self.allows(text), text)

    def test_the_first_answer_decides(self) -> None:
        """The parts behind it are not asked."""
        self.assertTrue(self.allows("role:a or x:%(unread)s", Unreadable(), roles=["a"]))
        self.assertFalse(self.allows("role:a and x:%(unread)s", Unreadable(), roles=["b"]))

    def test_rules_refer_to_rules(self) -> None:
        rules = self.compiled(a="rule:b and role:x", b="role:y", c="rule:nowhere")
        check, is_reusable = rules.get("a")
        self.assertTrue(is_reusable)
        self.assertTrue(check({}, {"roles": ["x", "y"]}))
        self.assertFalse(check({}, {"roles": ["x"]}))
        self.assertIs(check, rules.get("a")[0])
        self.assertEqual((False, True), (rules.get("c")[0]({}, {}), rules.get("c")[1]))

    def test_an_undefined_rule_is_the_default(self) -> None:
        for default, expected in (("role:x", True), ("role:y", False)):
            rules = self.compiled("default", default=default, a="rule:nowhere")
            for name in ("nowhere", "a"):
                self.assertIs(expected, rules.get(name)[0]({}, {"roles": ["x"]}))
        without = self.compiled()
        check, is_reusable = without.get("nowhere")
        self.assertEqual((False, True), (check({}, {"roles": ["x"]}), is_reusable))

    def test_a_rule_that_refers_to_itself_allows_nothing(self) -> None:
        rules = self.compiled(a="rule:b", b="rule:c or role:x", c="rule:b")
        with self.assertLogs("glance_py.policies.check", "ERROR") as logs:
            check, is_reusable = rules.get("a")
        self.assertIn("Policy rule b refers to itself", logs.output[0])
        self.assertTrue(is_reusable)
        self.assertFalse(check({}, {"roles": []}))
        self.assertTrue(check({}, {"roles": ["x"]}))

    def test_a_rule_may_be_referred_to_twice(self) -> None:
        with self.assertNoLogs("glance_py.policies.check", "ERROR"):
            check, _ = self.compiled(a="rule:b or rule:b", b="role:x").get("a")
        self.assertTrue(check({}, {"roles": ["x"]}))

    def test_other_checks_are_called_as_the_library_calls_them(self) -> None:
        trees = {
            "a": Recording("k", "yes"),
            "b": policy._checks.RuleCheck("rule", "a"),
            "c": policy._checks.NotCheck(Recording("k", "")),
            "d": policy._checks.AndCheck([policy._checks.TrueCheck(), Recording("k", "yes")]),
        }
        rules = CompiledRules(policy.Rules(trees), LIBRARY)
        target, credentials = {"t": 1}, {"c": 2}
        for name in trees:
            Recording.calls.clear()
            check, is_reusable = rules.get(name)
            self.assertFalse(is_reusable)
            self.assertIs(True, check(target, credentials))
            [(seen_target, seen, library, rule)] = Recording.calls
            self.assertIs(target, seen_target)
            self.assertEqual(credentials, seen)
            self.assertIsNot(credentials, seen)
            self.assertEqual((LIBRARY, name), (library, rule))

    def test_a_subclass_of_a_check_is_not_compiled(self) -> None:
        class Reversed(policy._checks.TrueCheck):
            def __call__(self, target, creds, enforcer, current_rule=None):
                return False

        rules = CompiledRules(policy.Rules({"a": Reversed()}), LIBRARY)
        check, is_reusable = rules.get("a")
        self.assertEqual((False, False), (check({}, {}), is_reusable))

    def test_a_snapshot(self) -> None:
        """Rules that the library replaces afterwards do not count."""
        trees = policy.Rules({"a": _parser.parse_rule("@")})
        rules = CompiledRules(trees, LIBRARY)
        trees["a"] = _parser.parse_rule("!")
        self.assertTrue(rules.get("a")[0]({}, {}))


class TargetTest(unittest.TestCase):
    IMAGE = Image(
        id="i", owner="p", visibility="shared", caller_membership="m", properties={"os": "x"}
    )

    def test_an_image(self) -> None:
        target = ImageTarget(self.IMAGE)
        for key, value in (
            ("id", "i"),
            ("image_id", "i"),
            ("owner", "p"),
            ("project_id", "p"),
            ("member_id", "m"),
            ("visibility", "shared"),
            ("os", "x"),
        ):
            self.assertEqual(value, target[key], key)
        for key in ("properties", "locations", "caller_membership", "nothing"):
            self.assertNotIn(key, target)
        self.assertEqual(dict(target.items()).keys(), set(target))
        self.assertEqual(len(list(target)), len(target))
        self.assertIn("os", list(target))
        self.assertIn("project_id", list(target))

    def test_a_property_hides_no_field(self) -> None:
        image = Image(id="i", owner="p", properties={"owner": "q", "project_id": "q", "a": "b"})
        target = ImageTarget(image)
        self.assertEqual(("p", "p"), (target["owner"], target["project_id"]))
        self.assertEqual(1, list(target).count("owner"))

    def test_a_new_image(self) -> None:
        self.assertEqual(
            {"project_id": "p", "owner": "p", "visibility": "private"},
            new_image_target("p", "private"),
        )

    def test_what_is_read_is_recorded(self) -> None:
        target = RecordingTarget({"a": 1, "b": 2})
        self.assertEqual((["a", "b"], 2, set()), (list(target), len(target), target.read))
        self.assertEqual(1, target["a"])
        with self.assertRaises(KeyError):
            target["c"]
        self.assertEqual({"a", "c"}, target.read)


class ExtensionTest(unittest.TestCase):
    def test_the_library_finds_them(self) -> None:
        with mock.patch.object(_checks, "extension_checks", None):
            install_lazy_extension_checks()
            self.assertIsInstance(_checks.extension_checks, LazyExtensionChecks)
            self.assertTrue(callable(_checks.extension_checks["http"]))

    def test_what_the_library_has_loaded_stays(self) -> None:
        loaded = {"mine": Recording}
        with mock.patch.object(_checks, "extension_checks", loaded):
            install_lazy_extension_checks()
            self.assertIs(loaded, _checks.extension_checks)

    def test_a_kind_is_imported_when_it_is_asked_for(self) -> None:
        checks = LazyExtensionChecks()
        self.assertIn("http", checks)
        loaded = []

        class Point:
            def load(self) -> type:
                loaded.append(1)
                return Recording

        checks["mine"] = Point()
        self.assertEqual([], loaded)
        self.assertIs(Recording, checks["mine"])
