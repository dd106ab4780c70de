"""The enforcer: same answers as oslo.policy, faster, and never from a stale file."""

import concurrent.futures
import os
import random
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

from oslo_config import cfg
from oslo_policy import policy

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.policies import enforcer as enforcer_module
from glance_py.policies.check import CompiledRules
from glance_py.policies.enforcer import Enforcer
from glance_py.policies.target import ImageTarget
from glance_py.watched_file import CHECK_INTERVAL
from tests.unit.factories import make_caller, make_conf, make_member


class Foreign(policy.Check):
    """A check that somebody else registered: counts how often it is asked."""

    asked = 0

    def __call__(self, target, creds, enforcer, current_rule=None):
        Foreign.asked += 1
        return target["name"] == self.match


class EnforcerCase(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def enforcer(self, rules: str = "", **more) -> Enforcer:
        return Enforcer(
            make_conf(self.directory, {"glance-api.conf": "", "policy.yaml": rules or "{}"}), **more
        )

    def write(self, name: str, text: str, later: int = 5) -> None:
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        os.utime(path, (time.time() + later, time.time() + later))
        os.utime(os.path.dirname(path), (time.time() + later, time.time() + later))


class DefaultAnswersTest(EnforcerCase):
    """Roles, visibility and scope under the rules as they are shipped."""

    def setUp(self):
        super().setUp()
        self.rules = self.enforcer()

    def allows(self, ctx, rule, **fields):
        image = Image(id="i", **{"owner": "p1", "visibility": "private", **fields})
        return self.rules.allows(ctx, rule, ImageTarget(image))

    def test_reading_needs_the_role_reader(self):
        self.assertTrue(self.allows(make_caller("reader"), "get_image"))
        self.assertFalse(self.allows(make_caller("member"), "get_image"))
        self.assertFalse(self.allows(make_caller(), "get_image"))

    def test_others_see_by_visibility_and_membership(self):
        other = make_member("p2")
        self.assertFalse(self.allows(other, "get_image"))
        self.assertTrue(self.allows(other, "get_image", visibility="public"))
        self.assertTrue(self.allows(other, "get_image", visibility="community"))
        self.assertTrue(self.allows(other, "get_image", caller_membership="p2"))
        self.assertFalse(self.allows(other, "get_image", caller_membership="p3"))

    def test_roles_do_not_depend_on_case(self):
        self.assertTrue(self.allows(make_caller("Reader"), "get_image"))

    def test_admin(self):
        self.assertTrue(self.rules.is_admin(make_caller("admin")))
        self.assertFalse(self.rules.is_admin(make_member()))
        self.assertTrue(self.allows(make_caller("admin", project="p9"), "delete_image"))

    def test_a_token_of_the_wrong_scope_is_refused_even_for_an_admin(self):
        system = make_caller("admin", "reader", project=None, system_scope="all")
        domain = make_caller("admin", project=None, domain_id="d")
        for ctx in (system, domain):
            self.assertFalse(self.rules.allows(ctx, "get_images", {"project_id": None}))
            self.assertTrue(self.rules.is_admin(ctx))

    def test_custom_properties_are_keys_of_the_target(self):
        rules = self.enforcer('"get_image": "\'yes\':%(open)s"')
        self.assertTrue(
            rules.allows(
                make_member(), "get_image", ImageTarget(Image(id="i", properties={"open": "yes"}))
            )
        )
        self.assertFalse(rules.allows(make_member(), "get_image", ImageTarget(Image(id="i"))))

    def test_check_image_tells_403_from_404(self):
        reader = make_caller("reader")
        with self.assertRaises(errors.PolicyForbids) as raised:
            self.rules.enforce_image(reader, "delete_image", Image(id="i", owner="p1"))
        self.assertEqual(
            "You are not authorized to complete delete_image action.", str(raised.exception)
        )
        with self.assertRaises(errors.ImageNotFound):
            self.rules.enforce_image(
                reader, "delete_image", Image(id="i", owner="p2", visibility="private")
            )
        with self.assertRaises(errors.ImageNotFound):
            self.rules.enforce_image(make_caller(), "get_image", Image(id="i", owner="p1"))

    def test_old_defaults_can_be_asked_for(self):
        legacy = make_conf(self.directory)
        legacy.set_override("enforce_new_defaults", False, "oslo_policy")
        rules = Enforcer(legacy)
        image = ImageTarget(Image(id="i", owner="p1"))
        self.assertTrue(rules.allows(make_caller(), "delete_image", image))
        self.assertFalse(rules.allows(make_caller(), "publicize_image", image))


class SameAnswersTest(EnforcerCase):
    """Compiled and remembered answers are those of the library, for rules of all shapes."""

    PARTS = (
        "@",
        "!",
        "role:reader",
        "role:%(role)s",
        "rule:other",
        "rule:nowhere",
        "project_id:%(owner)s",
        "project_id:%(gone)s",
        "'public':%(visibility)s",
        "True:%(protected)s",
        "7:%(min_disk)s",
        "user_id:%(id)s",
        "roles:reader",
        "name:x%(owner)s",
        "user.id:%(owner)s",
        "None:%(member_id)s",
    )

    def rule(self, choose: random.Random, depth: int = 0) -> str:
        kind = choose.choice(("part", "and", "or", "not") if depth < 3 else ("part",))
        if kind == "part":
            return choose.choice(self.PARTS)
        if kind == "not":
            return f"not {choose.choice(self.PARTS)}"
        return f"({self.rule(choose, depth + 1)} {kind} {self.rule(choose, depth + 1)})"

    def test_random_rules(self):
        choose = random.Random(7)
        names = [f"r{number}" for number in range(60)]
        text = "\n".join(f'"{name}": "{self.rule(choose)}"' for name in names)
        rules = self.enforcer(text + '\n"other": "role:member or \'a\':%(name)s"')
        library = enforcer_module.oslo_enforcer(rules._conf)
        images = [
            Image(
                id=choose.choice("uv"),
                owner=choose.choice(("p1", "p2", None)),
                visibility=choose.choice(("public", "private")),
                name=choose.choice(("a", None)),
                protected=choose.choice((True, False)),
                min_disk=choose.choice((0, 7)),
                caller_membership=choose.choice(("p1", None)),
                properties=choose.choice(({}, {"role": "Member"}, {"role": "reader"})),
            )
            for _ in range(40)
        ]
        for ctx in (make_caller("reader"), make_member("p2"), make_caller(project=None)):
            for name in names:
                remembered = rules.memoized_check(ctx, name)
                for image in images:
                    target = ImageTarget(image)
                    expected = bool(library.enforce(name, target, dict(ctx.credentials)))
                    self.assertEqual(expected, bool(rules.allows(ctx, name, target)), name)
                    self.assertEqual(expected, bool(remembered(target)), name)

    def test_a_token_of_another_scope_sees_nothing_of_a_page(self):
        rules = self.enforcer('"get_image": ""')
        system = make_caller("admin", "reader", project=None, system_scope="all")
        self.assertFalse(rules.memoized_check(system, "get_image")(ImageTarget(Image(id="i"))))
        self.assertTrue(
            rules.memoized_check(make_member(), "get_image")(ImageTarget(Image(id="i")))
        )

    def test_a_page_asks_a_foreign_check_for_every_image(self):
        policy.register("name_is", Foreign)
        rules = self.enforcer('"get_image": "name_is:a or rule:context_is_admin"')
        visible = rules.memoized_check(make_member(), "get_image")
        Foreign.asked = 0
        answers = [visible(ImageTarget(Image(id="i", name=name))) for name in "aabb"]
        self.assertEqual([True, True, False, False], answers)
        self.assertEqual(4, Foreign.asked)

    def test_a_value_that_cannot_be_remembered(self):
        rules = self.enforcer('"get_image": "role:reader and [7]:%(tags)s"')
        visible = rules.memoized_check(make_member(), "get_image")
        for tags, expected in (([7], True), ([8], False), ([7], True)):
            self.assertEqual(expected, visible(ImageTarget(Image(id="i", tags=tags))))

    def test_rules_in_a_circle_allow_nothing(self):
        rules = self.enforcer('"a": "rule:b"\n"b": "rule:a or role:x"\n"get_image": "rule:a"')
        self.assertFalse(rules.allows(make_member(), "get_image", {}))
        self.assertTrue(rules.allows(make_caller("x"), "get_image", {}))


class FilesTest(EnforcerCase):
    """Changed files count without a restart; broken ones do no harm."""

    def test_a_changed_file_is_read(self):
        rules = self.enforcer('"get_image": "!"')
        self.assertFalse(rules.allows(make_member(), "get_image", {}))
        self.write("policy.yaml", '"get_image": "@"')
        self.assertTrue(rules.allows(make_member(), "get_image", {}))

    def test_each_request_looks(self):
        """Replaced by an older file, changed in the same second, removed: the next one knows."""
        rules = self.enforcer('"get_image": "@"')
        self.write("older.yaml", '"get_image": "!"', later=-5000)
        os.rename(
            os.path.join(self.directory, "older.yaml"), os.path.join(self.directory, "policy.yaml")
        )
        self.assertFalse(rules.allows(make_member(), "get_image", {}))
        for rule, expected in (("@", True), ("!", False), ("role:reader", True)):
            self.write("policy.yaml", f'"get_image": "{rule}"', later=0)
            self.assertEqual(expected, rules.allows(make_member(), "get_image", {}))
        self.write("policy.d/more.yaml", '"get_image": "!"')
        self.assertFalse(rules.allows(make_member(), "get_image", {}))
        os.remove(os.path.join(self.directory, "policy.d/more.yaml"))
        self.assertTrue(rules.allows(make_member(), "get_image", {}))

    def test_one_request_is_judged_by_the_rules_of_its_first_question(self):
        rules, ctx = self.enforcer('"get_image": "@"'), make_member()
        self.assertTrue(rules.allows(ctx, "get_image", {}))
        self.write("policy.yaml", '"get_image": "!"')
        self.assertTrue(rules.allows(ctx, "get_image", {}))
        self.assertFalse(rules.allows(make_member(), "get_image", {}))
        ctx.next_policy_check = 0.0  # what one request does in the background, a second later
        self.assertFalse(rules.allows(ctx, "get_image", {}))

    def test_nobody_is_judged_by_old_rules_while_new_ones_are_read(self):
        rules = self.enforcer('"get_image": "@"')
        self.write("policy.yaml", '"get_image": "!"')
        reading, go_on = threading.Event(), threading.Event()
        read = rules._files._read

        def slow_read() -> CompiledRules:
            reading.set()
            go_on.wait(60)
            return read()

        with (
            mock.patch.object(rules._files, "_read", slow_read),
            concurrent.futures.ThreadPoolExecutor(4) as pool,
        ):
            first = pool.submit(rules.allows, make_member(), "get_image", {})
            reading.wait(60)
            others = [pool.submit(rules.allows, make_member(), "get_image", {}) for _ in range(3)]
            go_on.set()
            self.assertEqual([False] * 4, [each.result(60) for each in (first, *others)])

    def test_a_directory_adds_to_the_file(self):
        rules = self.enforcer('"get_image": "!"')
        self.write("policy.d/more.yaml", '"get_image": "@"')
        self.assertTrue(rules.allows(make_member(), "get_image", {}))

    def test_a_broken_file_leaves_the_rules_as_they_were(self):
        rules = self.enforcer('"get_image": "@"')
        self.write("policy.yaml", '"get_image": [')
        with self.assertLogs(enforcer_module.LOG, "ERROR"):
            self.assertTrue(rules.allows(make_member(), "get_image", {}))
        self.assertTrue(rules.allows(make_member(), "get_image", {}))
        self.write("policy.yaml", '"get_image": "!"', later=9)
        self.assertFalse(rules.allows(make_member(), "get_image", {}))

    def test_a_broken_file_stops_the_start(self):
        with self.assertRaises(ValueError):
            self.enforcer('"get_image": [')

    def test_registered_rules_can_be_overridden(self):
        rules = self.enforcer('"mine": "role:reader"')
        rules.register({"mine": "!", "yours": "role:member"})
        self.assertTrue(rules.allows(make_caller("reader"), "mine", {}))
        self.assertTrue(rules.allows(make_caller("member"), "yours", {}))
        self.assertFalse(rules.allows(make_caller("reader"), "yours", {}))

    def test_registered_rules_survive_a_change_of_the_files(self):
        rules = self.enforcer()
        rules.register({"mine": "role:member"})
        self.write("policy.yaml", '"get_image": "!"')
        self.assertFalse(rules.allows(make_member(), "get_image", {}))
        self.assertTrue(rules.allows(make_caller("member"), "mine", {}))
        self.assertFalse(rules.allows(make_caller("x"), "mine", {}))

    def test_registered_rules_change(self):
        """Nothing is read for those that are known already."""
        rules = self.enforcer()
        rules.register({"mine": "role:a", "yours": "role:b"})
        with mock.patch.object(rules._files, "reload", side_effect=AssertionError):
            rules.register({"yours": "role:b"})
            rules.register({})
        rules.register({"mine": "role:b"})
        self.assertTrue(rules.allows(make_caller("b"), "mine", {}))
        self.assertFalse(rules.allows(make_caller("a"), "mine", {}))
        self.assertTrue(rules.allows(make_caller("b"), "yours", {}))

    def test_a_long_request_looks_again(self):
        """After CHECK_INTERVAL of its own time, and not before."""
        now = [100.0]
        rules = self.enforcer('"get_image": "@"', clock=lambda: now[0])
        ctx = make_member()
        self.assertTrue(rules.allows(ctx, "get_image", {}))
        self.write("policy.yaml", '"get_image": "!"')
        now[0] += CHECK_INTERVAL - 0.001
        self.assertTrue(rules.allows(ctx, "get_image", {}))
        now[0] += 0.001
        self.assertFalse(rules.allows(ctx, "get_image", {}))

    def test_a_request_that_is_refused_by_scope_reads_nothing(self):
        rules = self.enforcer()
        with mock.patch.object(rules._files, "refresh", side_effect=AssertionError):
            system = make_caller("admin", project=None, system_scope="all")
            self.assertFalse(rules.allows(system, "get_image", {}))

    def test_files_that_appear(self):
        """In a directory of configuration files, under other names."""
        other = os.path.join(self.directory, "conf.d")
        os.makedirs(other)
        conf = make_conf(self.directory)
        conf(["--config-dir", other], project="glance", prog="glance-api")
        conf.set_override("policy_file", "rules.yaml", "oslo_policy")
        conf.set_override("policy_dirs", ["more.d", "most.d"], "oslo_policy")
        rules = Enforcer(conf)
        self.assertTrue(rules.allows(make_member(), "get_images", {"project_id": "p1"}))
        self.write("conf.d/rules.yaml", '"get_images": "!"')
        self.assertFalse(rules.allows(make_member(), "get_images", {"project_id": "p1"}))
        self.write("conf.d/most.d/a.yaml", '"get_images": "@"')
        self.assertTrue(rules.allows(make_member(), "get_images", {"project_id": "p1"}))

    def test_deprecated_rules_in_the_files_are_logged(self):
        with self.assertLogs(enforcer_module.LOG, "WARNING") as logs:
            self.enforcer('"modify_task": "role:admin"\n"get_images": ""\n"mine": ""')
        [line] = logs.output
        self.assertIn("the rule modify_task, which is deprecated: No request changes", line)

    def test_old_defaults_are_logged(self):
        conf = make_conf(self.directory)
        with self.assertNoLogs(enforcer_module.LOG, "WARNING"):
            Enforcer(conf)
        conf.set_override("enforce_new_defaults", False, "oslo_policy")
        with self.assertLogs(enforcer_module.LOG, "WARNING") as logs:
            Enforcer(conf)
        self.assertRegex(logs.output[0], "enforce_new_defaults is off.*get_image,")
        self.assertNotIn("publicize_image", logs.output[0])


class MemoTest(EnforcerCase):
    """Answers are reused for targets in which all that the rule reads is equal."""

    def count(self, text: str, targets: list[dict]) -> tuple[list[bool], int]:
        """The answers for targets, and how often the rule was evaluated."""
        rules, asked = self.enforcer(f'"get_image": "{text}"'), []
        check, _ = rules._files.value.get("get_image")

        def counting(target, credentials):
            asked.append(target)
            return check(target, credentials)

        rules._files.value._compiled["get_image"] = (counting, True)
        memo = rules.memoized_check(make_member(), "get_image")
        return [memo(target) for target in targets], len(asked)

    def test_equal_values(self):
        answers = self.count("'a':%(x)s", [{"x": "a", "y": n} for n in range(5)])
        self.assertEqual(([True] * 5, 1), answers)
        answers = self.count("'a':%(x)s", [{"x": "b"}, {"x": "a"}, {"x": "b"}, {"x": "a"}])
        self.assertEqual(([False, True, False, True], 2), answers)

    def test_a_missing_value_is_a_value(self):
        answers = self.count("'a':%(x)s", [{}, {"x": "a"}, {}, {"x": None}])
        self.assertEqual(([False, True, False, False], 3), answers)

    def test_a_key_that_is_read_later(self):
        """What was remembered without it is forgotten."""
        text = "'a':%(x)s or 'b':%(y)s"
        answers = self.count(
            text,
            [
                {"x": "a", "y": "c"},
                {"x": "c", "y": "b"},
                {"x": "c", "y": "c"},
                {"x": "a", "y": "c"},
                {"x": "c", "y": "b"},
            ],
        )
        self.assertEqual(([True, True, False, True, True], 4), answers)

    def test_values_that_cannot_be_keys(self):
        answers = self.count("'[1]':%(x)s", [{"x": [1]}, {"x": [2]}, {"x": [1]}])
        self.assertEqual(([True, False, True], 3), answers)


class ToolsTest(EnforcerCase):
    """What the command line tools of oslo.policy get."""

    def test_the_files_of_the_command_line(self):
        path = os.path.join(self.directory, "api.conf")
        directory = os.path.join(self.directory, "api.d")
        os.makedirs(directory)
        for name, text in (
            (path, "[oslo_policy]\npolicy_file = mine.yaml\n"),
            (os.path.join(directory, "more.conf"), "[oslo_policy]\npolicy_dirs = mine.d\n"),
        ):
            with open(name, "w") as file:
                file.write(text)
        conf = cfg.ConfigOpts()
        arguments = ["tool", "--config-file", path, "--config-dir", directory, "--rule", "x"]
        with mock.patch.object(sys, "argv", arguments), mock.patch.object(cfg, "CONF", conf):
            library = enforcer_module.get_enforcer()
        self.assertIs(conf, library.conf)
        self.assertEqual("mine.yaml", conf.oslo_policy.policy_file)
        self.assertEqual(["mine.d"], conf.oslo_policy.policy_dirs)
        self.assertEqual(("glance", "glance-api"), (conf.project, conf.prog))
        self.assertIn("get_image", library.registered_rules)
        self.assertTrue(library.suppress_default_change_warnings)

    def test_no_files(self):
        conf = cfg.ConfigOpts()
        with mock.patch.object(sys, "argv", ["tool"]), mock.patch.object(cfg, "CONF", conf):
            self.assertIn("get_image", enforcer_module.get_enforcer().registered_rules)
