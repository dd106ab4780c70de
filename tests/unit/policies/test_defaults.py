"""The default rules, as operators and their tools see them."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

from oslo_policy import generator, policy

from glance_py import policies

#: All default rules as oslopolicy-sample-generator writes them.
SAMPLE = pathlib.Path(__file__).resolve().parents[3] / "etc" / "policy.yaml.sample"

VISIBLE = (
    "(project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s "
    "or 'public':%(visibility)s or 'shared':%(visibility)s)"
)


class DefaultsTest(unittest.TestCase):
    def setUp(self):
        self.rules = {rule.name: rule for rule in policies.list_rules()}

    def test_the_sample_lists_them(self):
        with tempfile.NamedTemporaryFile("r") as file:
            generator._generate_sample(["glance"], file.name)
            same = file.read() == SAMPLE.read_text()
        self.assertTrue(same, "policy.yaml.sample is out of date: make samples")

    def test_the_rules_load_no_http_client(self):
        """oslo.policy imports one for a kind of check that no default rule has."""
        code = "import sys, glance_py.policies.enforcer; sys.exit('requests' in sys.modules)"
        self.assertEqual(0, subprocess.run([sys.executable, "-c", code]).returncode)

    def test_names_are_unique(self):
        self.assertEqual(len(policies.list_rules()), len(self.rules))

    def test_all_but_the_roles_have_scope_project(self):
        without = {name for name, rule in self.rules.items() if not rule.scope_types}
        self.assertEqual(
            {"default", "context_is_admin", "service_api", "metadef_default", "metadef_admin"},
            without,
        )
        for name in self.rules.keys() - without:
            self.assertEqual(["project"], self.rules[name].scope_types, name)

    def test_well_known_strings(self):
        for name, check in {
            "get_image": f"rule:context_is_admin or (role:reader and {VISIBLE})",
            "download_image": f"rule:context_is_admin or (role:member and {VISIBLE})",
            "modify_member": "rule:context_is_admin or (role:member and project_id:%(member_id)s)",
            "publicize_image": "rule:context_is_admin",
            "fetch_image_location": "rule:service_api",
            "default": "",
        }.items():
            self.assertEqual(check, self.rules[name].check_str)

    def test_every_check_string_parses(self):
        for rule in self.rules.values():
            if "!" not in rule.check_str:
                self.assertNotEqual("!", str(rule.check), rule.name)

    def test_old_defaults_are_there_for_those_who_still_want_them(self):
        self.assertEqual("rule:default", self.rules["get_image"].deprecated_rule.check_str)
        self.assertEqual(
            "rule:metadef_default", self.rules["get_metadef_tags"].deprecated_rule.check_str
        )
        self.assertIsNone(self.rules["publicize_image"].deprecated_rule)
        self.assertTrue(self.rules["modify_task"].deprecated_for_removal)

    def test_operations_are_requests_of_the_api(self):
        for rule in self.rules.values():
            if isinstance(rule, policy.DocumentedRuleDefault):
                for operation in rule.operations:
                    self.assertTrue(operation["path"].startswith("/v2/"), rule.name)
