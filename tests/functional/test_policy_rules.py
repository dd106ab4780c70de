"""What single refused rules do to answers, compared with the original service.

Each case is a policy file that refuses some rules to everybody, and the statuses
with which Glance 33.0.0 answered.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import tempfile
import unittest

from tests.functional import service
from tests.functional.client import AppClient

NAMESPACES = "/v2/metadefs/namespaces"


class PolicyCase(unittest.TestCase):
    def start(self, *refused: str) -> None:
        """A service whose policy file refuses these rules."""
        running = contextlib.ExitStack()
        self.addCleanup(running.close)
        directory = running.enter_context(tempfile.TemporaryDirectory())
        file = pathlib.Path(directory, "policy.json")
        file.write_text(json.dumps(dict.fromkeys(refused, "!")))
        app, _directory = running.enter_context(
            service.running(f"[oslo_policy]\npolicy_file = {file}")
        )
        self.admin = AppClient(app, "u:p:admin")
        self.owner = AppClient(app, "u:p:member")
        self.reader = AppClient(app, "u:p:reader")
        self.friend = AppClient(app, "u:friend:member")

    def answer(self, caller: AppClient, method: str, path: str, body: object = None) -> tuple:
        """(status, document or the text of a refusal)."""
        response = caller.call(
            method,
            path,
            None if body is None else json.dumps(body).encode(),
            content_type="application/json",
        )
        if response.content_type == "application/json":
            return response.status_int, response.json
        return response.status_int, response.text


class MetadefTest(PolicyCase):
    def start(self, *refused: str) -> None:
        super().start(*refused)
        one = f"{NAMESPACES}/n"
        for path, body in (
            (NAMESPACES, {"namespace": "n", "visibility": "public"}),
            (f"{one}/objects", {"name": "o"}),
            (f"{one}/properties", {"name": "p", "type": "string", "title": "P"}),
            (f"{one}/tags/t", None),
            (f"{one}/resource_types", {"name": "r"}),
        ):
            self.assertEqual(201, self.answer(self.admin, "POST", path, body)[0], path)

    def found(self, noun: str, key: str) -> tuple[int, int]:
        """The status of a list and how many entries it has."""
        status, document = self.answer(self.owner, "GET", f"{NAMESPACES}/n/{noun}")
        return status, len(document[key]) if status == 200 else -1

    def test_lists_leave_out_what_the_rule_on_one_refuses(self) -> None:
        self.start(
            "get_metadef_object",
            "get_metadef_resource_type",
            "get_metadef_property",
            "get_metadef_tag",
        )
        self.assertEqual((200, 0), self.found("objects", "objects"))
        self.assertEqual((200, 0), self.found("resource_types", "resource_type_associations"))
        # The rules on one property and one tag are not asked for lists.
        self.assertEqual((200, 1), self.found("properties", "properties"))
        self.assertEqual((200, 1), self.found("tags", "tags"))
        self.assertEqual(200, self.answer(self.owner, "GET", f"{NAMESPACES}/n")[0])
        self.assertEqual(200, self.answer(self.owner, "GET", "/v2/metadefs/resource_types")[0])
        self.assertEqual(403, self.answer(self.owner, "GET", f"{NAMESPACES}/n/objects/o")[0])

    def test_associations_are_listed_by_the_rule_on_lists(self) -> None:
        self.start("list_metadef_resource_types")
        self.assertEqual((403, -1), self.found("resource_types", "resource_type_associations"))
        self.assertEqual((200, 1), self.found("objects", "objects"))


class MemberTest(PolicyCase):
    def start(self, *refused: str) -> None:
        super().start(*refused)
        self.path = f"/v2/images/{self.owner.create(visibility='shared')}/members"
        for project in ("friend", "other"):
            self.assertEqual(
                200, self.answer(self.owner, "POST", self.path, {"member": project})[0]
            )

    def test_a_member_that_may_not_be_seen_is_refused_and_not_missing(self) -> None:
        self.start("get_member")
        accept = {"status": "accepted"}
        for caller, method, project, body in (
            (self.friend, "PUT", "friend", accept),
            (self.friend, "PUT", "other", accept),
            (self.owner, "PUT", "friend", accept),
            (self.admin, "PUT", "missing", accept),
            (self.owner, "DELETE", "friend", None),
            (self.friend, "DELETE", "missing", None),
        ):
            status, text = self.answer(caller, method, f"{self.path}/{project}", body)
            self.assertEqual((403, True), (status, "get_member" in text), (method, project))
        self.assertEqual(404, self.answer(self.owner, "GET", f"{self.path}/friend")[0])
        status, document = self.answer(self.owner, "GET", self.path)
        self.assertEqual((200, []), (status, document["members"]))

    def test_the_rule_of_the_operation_decides_on_a_member_that_may_be_seen(self) -> None:
        self.start("modify_member", "delete_member")
        for caller, method, body in (
            (self.friend, "PUT", {"status": "accepted"}),
            (self.owner, "DELETE", None),
        ):
            status, text = self.answer(caller, method, f"{self.path}/friend", body)
            rule = "modify_member" if method == "PUT" else "delete_member"
            self.assertEqual((403, True), (status, rule in text))


class OwnerTest(PolicyCase):
    def test_a_creation_for_another_project_is_refused_with_its_name(self) -> None:
        self.start()
        for caller in (self.owner, self.reader):
            status, text = self.answer(caller, "POST", "/v2/images", {"owner": "elsewhere"})
            self.assertEqual(403, status)
            self.assertIn("create images owned by 'elsewhere'", text.replace("&#x27;", "'"))
        status, text = self.answer(self.reader, "POST", "/v2/images", {})
        self.assertEqual((403, True), (status, "add_image" in text))


if __name__ == "__main__":
    unittest.main()
