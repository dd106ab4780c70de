"""Who may do what, compared with what the original service answered (``rbac.json``).

Every role of every kind of project, on images of every visibility; and callers
without a token where the operator lets them look around.
"""

from __future__ import annotations

import json
import pathlib
import tempfile
import unittest

import webob

from tests.functional import rbac, service
from tests.functional.client import AppClient

FACTS = pathlib.Path(__file__).with_name("rbac.json")


class Service(unittest.TestCase):
    def ask(self, options: str = ""):
        """How to ask a service of one's own."""
        running = service.running(options)
        app, _directory = running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

        def call(method, path, body, headers):
            request = webob.Request.blank(path, method=method, body=body or b"")
            request.headers.update(headers)
            answer = request.get_response(app)
            return answer.status_int, answer.body

        self.app = app
        return rbac.AccessProbe(call)


class RolesTest(Service):
    maxDiff = None

    def compare(self, asked):
        facts = json.loads(FACTS.read_text())
        wrong = []
        for kind, name, project, statuses in asked:
            expected = facts[kind][name][project]
            found = " ".join(str(status) for status in statuses)
            if found != expected:
                wrong.append(f"{kind} image, {name}, {project}: {found} instead of {expected}")
        self.assertEqual([], wrong)

    def test_images(self):
        self.compare(self.ask().image_statuses())

    def test_lists(self):
        self.compare(self.ask().list_statuses())

    def test_what_concerns_no_image(self):
        self.compare(self.ask().without_image())


class AnonymousTest(Service):
    """``allow_anonymous_access``: callers without a token look, where the rules let them."""

    OPEN = dict.fromkeys(
        (
            "get_image",
            "get_images",
            "download_image",
            "add_image",
            "modify_image",
            "delete_image",
            "upload_image",
            "get_members",
            "get_member",
            "deactivate",
        ),
        "",
    )

    #: Requests and their statuses for a public, a community and a shared image.
    LOOKS = (
        ("GET", "", (200, 200, 404)),
        ("GET", "/file", (200, 200, 404)),
        ("GET", "/members", (403, 403, 404)),
    )
    CHANGES = (
        ("PATCH", ""),
        ("DELETE", ""),
        ("PUT", "/file"),
        ("PUT", "/tags/x"),
        ("POST", "/actions/deactivate"),
    )

    def service(self, **rules: str) -> None:
        # It stays: without it the default rules are back for the next request.
        file = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".json"))
        json.dump(rules, file)
        file.flush()
        self.ask(f"allow_anonymous_access = true\n[oslo_policy]\npolicy_file = {file.name}")
        admin = AppClient(self.app, "u:p:admin")
        self.images = []
        for visibility in ("public", "community", "shared"):
            image_id = admin.create(visibility=visibility)
            admin.upload(image_id, b"data")
            self.images.append(image_id)
        self.anonymous = AppClient(self.app, "")

    def statuses(self, method: str, path: str) -> tuple[int, ...]:
        return tuple(
            self.anonymous.call(method, f"/v2/images/{image_id}{path}").status_int
            for image_id in self.images
        )

    def test_where_the_rules_ask_for_no_role(self):
        self.service(**self.OPEN)
        for method, path, expected in self.LOOKS:
            self.assertEqual(expected, self.statuses(method, path), f"{method} {path}")
        listed = self.anonymous.call("GET", "/v2/images").json["images"]
        self.assertEqual(self.images[:1], [image["id"] for image in listed])
        for method, path in self.CHANGES:
            self.assertEqual((403, 403, 403), self.statuses(method, path), f"{method} {path}")
        self.assertEqual(
            403,
            self.anonymous.call(
                "POST", "/v2/images", b"{}", content_type="application/json"
            ).status_int,
        )

    def test_the_default_rules_ask_for_roles(self):
        self.service()
        self.assertEqual((404, 404, 404), self.statuses("GET", ""))
        self.assertEqual(403, self.anonymous.call("GET", "/v2/images").status_int)
        for path, status in (
            ("/v2/info/stores", 200),
            ("/v2/schemas/image", 200),
            ("/v2/tasks", 403),
        ):
            self.assertEqual(status, self.anonymous.call("GET", path).status_int, path)

    def test_unless_the_operator_says_so_a_token_is_needed(self):
        self.ask()
        self.assertEqual(401, AppClient(self.app, "").call("GET", "/v2/images").status_int)


if __name__ == "__main__":
    unittest.main()
