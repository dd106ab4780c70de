"""Files of rules that change while the service runs: policies and property protections.

What they say counts within a second or two, without a restart.  A file that
cannot be read changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import unittest

from glance_py import app
from glance_py.layers import property_rules
from glance_py.policies import enforcer
from tests.functional import service
from tests.functional.client import AppClient
from tests.waiting import eventually


def section(name: str, **who: str) -> str:
    lines = [f"[{name}]"] + [
        f"{operation} = {who.get(operation, '@')}"
        for operation in ("create", "read", "update", "delete")
    ]
    return "\n".join(lines) + "\n"


class ReloadCase(unittest.TestCase):
    def start(self, options: str = "", **files: str) -> None:
        """A service whose directory holds ``files``; dots are written as underscores."""
        running = contextlib.ExitStack()
        self.addCleanup(running.close)
        conf, self.directory = running.enter_context(service.configured(options))
        for name, text in files.items():
            self.write(name.replace("_", "."), text)
        self.app = app.build(conf)
        self.member = AppClient(self.app, "u:p1:member")

    def write(self, name: str, text: str) -> None:
        """As editors do: another file in the place of the old one."""
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.new", "w") as file:
            file.write(text)
        os.rename(f"{path}.new", path)

    def soon(self, look, expected) -> None:
        """``look()`` becomes ``expected`` without anybody's help."""
        eventually(look, lambda found: found == expected)

    def until_logged(self, logs, ask) -> set[int]:
        """Ask until the log has a line; all answers, the one after it too."""
        answers: set[int] = set()

        def look() -> bool:
            answers.add(ask())
            return bool(logs.records)

        eventually(look)
        return answers | {ask()}

    def status(self, path: str = "/v2/images") -> int:
        return self.member.call("GET", path).status_int


class PolicyTest(ReloadCase):
    def test_the_file_appears_changes_and_breaks(self):
        self.start()
        self.assertEqual(200, self.status())
        self.write("policy.yaml", '"get_images": "role:auditor"\n')
        self.soon(self.status, 403)
        with self.assertLogs(enforcer.LOG, "ERROR") as logs:
            self.write("policy.yaml", '"get_images": [unfinished\n')
            statuses = self.until_logged(logs, self.status)
        self.assertEqual({403}, statuses)
        self.write("policy.yaml", "{}\n")
        self.soon(self.status, 200)

    def test_a_directory_of_files(self):
        self.start(policy_yaml="{}\n")
        self.write("policy.d/10-lists.yaml", '"get_images": "!"\n')
        self.soon(self.status, 403)

    def test_deprecated_rules_are_named(self):
        with self.assertLogs(enforcer.LOG, "WARNING") as logs:
            self.start(
                "[oslo_policy]\nenforce_new_defaults = false\n",
                policy_yaml='"modify_task": "role:admin"\n"get_images": ""\n',
            )
        text = "\n".join(logs.output)
        self.assertIn("set the rule modify_task, which is deprecated", text)
        self.assertNotIn("set the rule get_images", text)
        self.assertRegex(text, "enforce_new_defaults is off.*modify_image")


class PropertyProtectionTest(ReloadCase):
    def create(self, name: str) -> int:
        return self.member.call(
            "POST", "/v2/images", json.dumps({name: "v"}).encode(), content_type="application/json"
        ).status_int

    def test_roles(self):
        self.start(
            "property_protection_file = rules.conf\n",
            rules_conf=section("^x_", create="admin") + section(".*"),
        )
        self.assertEqual((403, 201), (self.create("x_a"), self.create("other")))
        self.write("rules.conf", section("^x_") + section(".*"))
        self.soon(lambda: self.create("x_a"), 201)
        with self.assertLogs(property_rules.LOG, "ERROR") as logs:
            self.write("rules.conf", "[^x_]\ncreate = admin\n")
            statuses = self.until_logged(logs, lambda: self.create("x_a"))
        self.assertEqual({201}, statuses)
        self.assertIn("[^x_] does not say who may read, update, delete", logs.output[0])
        self.write("rules.conf", section("^x_", read="!") + section(".*"))
        image_id = self.member.create(x_a="v")
        self.soon(lambda: "x_a" in self.member.show(image_id), False)

    def test_policies(self):
        """A section may point to another rule, and the rule itself may change."""
        self.start(
            "property_protection_file = rules.conf\nproperty_protection_rule_format = policies\n",
            rules_conf=section("^x_", create="some"),
            policy_yaml='"some": "role:admin"\n"all": "role:member"\n',
        )
        self.assertEqual((403, 403), (self.create("x_a"), self.create("other")))
        self.write("rules.conf", section("^x_", create="all"))
        self.soon(lambda: self.create("x_a"), 201)
        self.write("policy.yaml", '"all": "role:admin"\n')
        self.soon(lambda: self.create("x_a"), 403)
        self.write("policy.yaml", '"all": "role:admin"\n"^x_:create": "@"\n')
        self.soon(lambda: self.create("x_a"), 201)

    def test_names_of_the_service_are_always_allowed(self):
        """A file that forbids everything, and says so of os_glance, stops no import."""
        self.start(
            "property_protection_file = rules.conf\n",
            rules_conf=section(
                "^os_glance", **dict.fromkeys(("create", "read", "update", "delete"), "!")
            )
            + section(".*", **dict.fromkeys(("create", "read", "update", "delete"), "!")),
        )
        image_id = self.member.create()
        self.assertEqual(
            204,
            self.member.call(
                "PUT",
                f"/v2/images/{image_id}/stage",
                b"data",
                content_type="application/octet-stream",
            ).status_int,
        )
        answer = self.member.call(
            "POST",
            f"/v2/images/{image_id}/import",
            b'{"method": {"name": "glance-direct"}, "stores": ["fast"]}',
            content_type="application/json",
        )
        self.assertEqual(202, answer.status_int, answer.text)
        self.soon(lambda: self.member.show(image_id)["status"], "active")


if __name__ == "__main__":
    unittest.main()
