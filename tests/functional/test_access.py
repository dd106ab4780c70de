"""From every route to its operations and the rules that they ask, and back.

Each row says how a route is asked and which rules that takes, in their order. A route
without a row fails the test, and so does a rule that no route asks. Each rule is then
refused: the request fails, and the refusal names the rule.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import unittest
from collections.abc import Iterator
from unittest import mock

from oslo_policy import policy

from glance_py import gateway, policies
from glance_py.domain import ports
from glance_py.http.routes import ROUTES
from glance_py.policies.enforcer import Enforcer
from tests.functional import service
from tests.functional.client import AppClient

OCTETS, JSON = "application/octet-stream", "application/json"
PATCH = "application/openstack-images-v2.1-json-patch"

#: Rules that no route asks: those that other rules refer to, and those of deprecated features.
NOT_ASKED = {
    "default": "what holds for a rule that is defined nowhere",
    "context_is_admin": "asked once for each caller",
    "service_api": "part of other rules",
    "metadef_default": "part of old defaults",
    "metadef_admin": "part of other rules",
    "get_task": "without effect, see tasks_api_access",
    "get_tasks": "without effect, see tasks_api_access",
    "add_task": "without effect, see tasks_api_access",
    "modify_task": "without effect, see tasks_api_access",
    "manage_image_cache": "asked by the middleware that manages the cache",
}

#: Operations by noun, as the gateway has them.
OPERATIONS = {
    "images": ports.IMAGE_OPERATIONS,
    "members": ports.MEMBER_OPERATIONS,
    "tasks": ports.TASK_OPERATIONS,
    "namespaces": ports.NAMESPACE_OPERATIONS,
    "definitions": ports.DEFINITION_OPERATIONS,
}

#: Routes that ask a rule themselves, since no operation of the gateway does what they do.
THEMSELVES = {
    "GET /info/stores/detail",
    "POST /tasks",
    "DELETE /tasks/{task_id}",
    "GET /cache",
    "DELETE /cache",
    "POST /cache/clean",
    "POST /cache/prune",
    "GET /cache/nodes/{image_id}",
    "PUT /cache/{image_id}",
    "DELETE /cache/{image_id}",
}

NAMESPACE = ("get_metadef_namespace",)
WHOLE_NAMESPACE = (
    "get_metadef_namespace",
    "list_metadef_resource_types",
    "get_metadef_objects",
    "get_metadef_properties",
    "get_metadef_tags",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """How one route is asked.

    rules
        Those that a request takes which succeeds, in their order.
    body, kind
        Of the request; a body that is no bytes is JSON.
    state
        In which state the image is: queued, active, deactivated, staged.
    status
        Of the answer when nothing is refused.
    filters
        Rules whose refusal leaves things out of the answer.
    hides
        Rules whose refusal is 404.
    query
        What is asked for in addition.
    """

    rules: tuple[str, ...] = ()
    body: object = None
    kind: str = JSON
    state: str = "active"
    status: int = 200
    filters: tuple[str, ...] = ()
    hides: tuple[str, ...] = ("get_image", "get_metadef_namespace")
    query: str = ""


def _replace(name: str, value: object) -> list:
    return [{"op": "replace", "path": f"/{name}", "value": value}]


def _contents(
    noun: str,
    one: str,
    create: str,
    modify: str,
    remove: str,
    body: object,
    after: object,
    filters: bool = False,
) -> dict[str, Row]:
    everything = f"/metadefs/namespaces/{{namespace}}/{noun}"
    many = f"get_metadef_{noun}"
    clear = ("delete_metadef_namespace",)
    if noun == "tags":
        clear += ("delete_metadef_tags",)
    return {
        f"GET {everything}": Row(
            (many, one) if filters else (many,), filters=(one,) if filters else ()
        ),
        f"POST {everything}": Row((create,), body, status=201),
        f"DELETE {everything}": Row(clear, status=204),
        f"GET {everything}/{{name}}": Row((one,)),
        f"PUT {everything}/{{name}}": Row((modify,), after),
        f"DELETE {everything}/{{name}}": Row((remove,), status=204),
    }


#: Route -> how it is asked, several ways where the rules depend on the body.
TABLE: dict[str, Row | tuple[Row, ...]] = {
    "GET /images": Row(("get_images", "get_image"), filters=("get_image",)),
    "POST /images": (
        Row(("add_image",), {"name": "n"}, status=201),
        Row(("add_image", "publicize_image"), {"visibility": "public"}, status=201),
        Row(("add_image", "communitize_image"), {"visibility": "community"}, status=201),
    ),
    "GET /images/{image_id}": Row(("get_image",)),
    "PATCH /images/{image_id}": (
        Row(("modify_image",), _replace("name", "n"), PATCH),
        Row(("publicize_image", "modify_image"), _replace("visibility", "public"), PATCH),
        Row(("communitize_image", "modify_image"), _replace("visibility", "community"), PATCH),
        Row(
            ("set_image_location",),
            _replace("locations", [{"url": "http://127.0.0.1:1/x", "metadata": {}}]),
            PATCH,
            "queued",
            400,
        ),
        Row(
            ("delete_image_location",),
            [{"op": "remove", "path": "/locations/0"}],
            PATCH,
            status=403,
        ),
    ),
    "DELETE /images/{image_id}": Row(("delete_image",), status=204),
    "GET /images/{image_id}/file": (
        Row(("download_image",)),
        Row(("download_image", "download_from_store"), query="?prefer=fast"),
    ),
    "PUT /images/{image_id}/file": Row(("upload_image",), b"data", OCTETS, "queued", 204),
    "PUT /images/{image_id}/stage": Row(("modify_image",), b"data", OCTETS, "queued", 204),
    "POST /images/{image_id}/import": (
        Row(("modify_image",), {"method": {"name": "glance-direct"}}, state="staged", status=202),
        Row(("copy_image",), {"method": {"name": "copy-image"}, "stores": ["slow"]}, status=202),
    ),
    "GET /images/{image_id}/tasks": Row(("get_image",)),
    "POST /images/{image_id}/actions/deactivate": Row(("deactivate",), status=204),
    "POST /images/{image_id}/actions/reactivate": Row(
        ("reactivate",), state="deactivated", status=204
    ),
    "GET /images/{image_id}/locations": Row(("fetch_image_location",)),
    "POST /images/{image_id}/locations": Row(
        ("add_image_location",), {"url": "http://127.0.0.1:1/x"}, state="queued", status=403
    ),
    "DELETE /stores/{store_id}/{image_id}": Row(
        ("get_image_location", "delete_image_location"), status=403
    ),
    "PUT /images/{image_id}/tags/{tag}": Row(("modify_image",), status=204),
    "DELETE /images/{image_id}/tags/{tag}": Row(("modify_image",), status=204),
    "GET /images/{image_id}/members": Row(
        ("get_image", "get_members", "get_member"), filters=("get_member",)
    ),
    "POST /images/{image_id}/members": Row(("get_image", "add_member"), {"member": "new"}),
    "GET /images/{image_id}/members/{member_id}": Row(
        ("get_image", "get_member"), hides=("get_image", "get_member")
    ),
    "PUT /images/{image_id}/members/{member_id}": Row(
        ("get_image", "get_member", "get_image", "modify_member"), {"status": "accepted"}
    ),
    "DELETE /images/{image_id}/members/{member_id}": Row(
        ("get_image", "get_member", "get_image", "delete_member"), status=204
    ),
    "GET /info/import": Row(),
    "GET /ext/info/import": Row(),
    "GET /info/stores": Row(),
    "GET /info/stores/detail": Row(("stores_info_detail",)),
    "GET /info/usage": Row(),
    "GET /tasks": Row(("tasks_api_access",)),
    "POST /tasks": Row(
        ("tasks_api_access", "tasks_api_access"),
        {
            "type": "import",
            "input": {
                "import_from": "http://127.0.0.1:1/x",
                "image_properties": {},
                "import_from_format": "raw",
            },
        },
        status=400,
    ),
    "GET /tasks/{task_id}": Row(("tasks_api_access",), status=404),
    "DELETE /tasks/{task_id}": Row(("tasks_api_access",), status=405),
    "GET /cache": Row(("cache_list",), status=404),
    "DELETE /cache": Row(("cache_delete",), status=404),
    "POST /cache/clean": Row(("cache_clean",), status=404),
    "POST /cache/prune": Row(("cache_prune",), status=404),
    "GET /cache/nodes/{image_id}": Row(("list_cached_nodes",), status=404),
    "PUT /cache/{image_id}": Row(("cache_image",), status=404),
    "DELETE /cache/{image_id}": Row(("cache_delete",), status=404),
    "GET /metadefs/resource_types": Row(("list_metadef_resource_types",)),
    "GET /metadefs/namespaces": Row(
        ("get_metadef_namespaces", "list_metadef_resource_types", "get_metadef_namespace"),
        filters=NAMESPACE,
    ),
    "POST /metadefs/namespaces": (
        Row(("add_metadef_namespace",), {"namespace": "new"}, status=201),
        Row(
            (
                "add_metadef_namespace",
                "add_metadef_resource_type_association",
                "add_metadef_object",
                "add_metadef_tag",
                "add_metadef_property",
            ),
            {
                "namespace": "whole",
                "objects": [{"name": "o"}],
                "tags": [{"name": "t"}],
                "properties": {"p": {"type": "string", "title": "P"}},
                "resource_type_associations": [{"name": "r"}],
            },
            status=201,
        ),
    ),
    "GET /metadefs/namespaces/{namespace}": Row(WHOLE_NAMESPACE),
    "PUT /metadefs/namespaces/{namespace}": Row(
        ("modify_metadef_namespace",), {"namespace": "n", "visibility": "public"}
    ),
    "DELETE /metadefs/namespaces/{namespace}": Row(("delete_metadef_namespace",), status=204),
    **_contents(
        "objects",
        "get_metadef_object",
        "add_metadef_object",
        "modify_metadef_object",
        "delete_metadef_object",
        {"name": "new"},
        {"name": "x"},
        filters=True,
    ),
    **_contents(
        "properties",
        "get_metadef_property",
        "add_metadef_property",
        "modify_metadef_property",
        "remove_metadef_property",
        {"name": "new", "type": "string", "title": "P"},
        {"name": "x", "type": "string", "title": "P"},
    ),
    **_contents(
        "tags",
        "get_metadef_tag",
        "add_metadef_tags",
        "modify_metadef_tag",
        "delete_metadef_tag",
        {"tags": [{"name": "new"}]},
        {"name": "x"},
    ),
    "POST /metadefs/namespaces/{namespace}/tags/{name}": Row(("add_metadef_tag",), status=201),
    "GET /metadefs/namespaces/{namespace}/resource_types": Row(
        ("list_metadef_resource_types", "get_metadef_resource_type"),
        filters=("get_metadef_resource_type",),
    ),
    "POST /metadefs/namespaces/{namespace}/resource_types": Row(
        ("add_metadef_resource_type_association",), {"name": "new"}, status=201
    ),
    "DELETE /metadefs/namespaces/{namespace}/resource_types/{name}": Row(
        ("remove_metadef_resource_type_association",), status=204
    ),
}
TABLE["GET /metadefs/namespaces/{namespace}/properties/{name}"] = (
    Row(("get_metadef_property",)),
    Row(("get_metadef_resource_type", "get_metadef_property"), query="?resource_type=x"),
)

#: Schemas are for everybody with a token.
OPEN = {f"{row.method} {row.path}" for row in ROUTES if row.action.startswith("schemas.")}


def rows() -> Iterator[tuple[str, str, Row]]:
    """(method, path, row) of the table."""
    for route, several in TABLE.items():
        method, path = route.split()
        for row in several if isinstance(several, tuple) else (several,):
            yield method, path, row


class Witness:
    """Stands before the operations of a noun and notes which is being asked for."""

    def __init__(self, noun: str, inner: object, begun: list[str], running: list[str]) -> None:
        self._noun, self._inner, self._begun, self._running = noun, inner, begun, running

    def __getattr__(self, operation: str):
        method = getattr(self._inner, operation)

        def witnessed(*arguments):
            self._begun.append(f"{self._noun}.{operation}")
            self._running.append(operation)
            try:
                return method(*arguments)
            finally:
                self._running.pop()

        return witnessed


class AccessTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        running = contextlib.ExitStack()
        cls.addClassCleanup(running.close)
        cls.operations: list[str] = []
        under_way: list[str] = []
        build = gateway.build

        def witnessed(deps):
            made = build(deps)
            return dataclasses.replace(
                made,
                **{
                    noun: Witness(noun, getattr(made, noun), cls.operations, under_way)
                    for noun in OPERATIONS
                },
            )

        running.enter_context(mock.patch.object(gateway, "build", witnessed))
        options = (
            "enabled_import_methods = [glance-direct,web-download,copy-image]\n"
            "show_multiple_locations = true\n"
        )
        app, _directory = running.enter_context(service.running(options))
        cls.admin = AppClient(app, "u:p:admin")
        cls.refused: frozenset[str] = frozenset()
        cls.asked: list[str] = []
        cls.asked_outside: list[str] = []
        real = Enforcer._resolve_check

        def question(self, ctx, rule):
            judge, pure, credentials = real(self, ctx, rule)
            if rule != "context_is_admin":
                cls.asked.append(rule)
                if not under_way:
                    cls.asked_outside.append(rule)
            return None if rule in cls.refused else judge, pure, credentials

        running.enter_context(mock.patch.object(Enforcer, "_resolve_check", question))

    def send(self, method: str, path: str, body: object = None, kind: str = JSON):
        data = (
            b""
            if body is None
            else body
            if isinstance(body, bytes)
            else (json.dumps(body).encode())
        )
        headers = {} if body is None else {"content_type": kind}
        return self.admin.call(method, f"/v2{path}", data, **headers)

    def fine(self, method: str, path: str, body: object = None, kind: str = JSON):
        answer = self.send(method, path, body, kind)
        self.assertLess(answer.status_int, 400, f"{method} {path}: {answer.text}")
        return answer

    def image(self, state: str) -> str:
        image_id = self.admin.create(visibility="shared", tags=["t"])
        one = f"/images/{image_id}"
        self.fine("POST", f"{one}/members", {"member": "m"})
        if state == "staged":
            self.fine("PUT", f"{one}/stage", b"data", OCTETS)
        elif state != "queued":
            self.fine("PUT", f"{one}/file", b"data", OCTETS)
        if state == "deactivated":
            self.fine("POST", f"{one}/actions/deactivate")
        return image_id

    def namespace(self) -> None:
        """One with a thing of each kind, all named x, and none that a row creates."""
        for name in ("n", "new", "whole"):
            self.send("DELETE", f"/metadefs/namespaces/{name}")
        self.fine(
            "POST",
            "/metadefs/namespaces",
            {
                "namespace": "n",
                "visibility": "public",
                "objects": [{"name": "x"}],
                "properties": {"x": {"type": "string", "title": "X"}},
                "resource_type_associations": [{"name": "x", "prefix": "x_"}],
                "tags": [{"name": "x"}],
            },
        )

    def request(self, method: str, path: str, row: Row, *refused: str):
        """Ask with some rules refused; the answer, and what was asked."""
        type(self).refused = frozenset(refused)
        for noted in (self.asked, self.asked_outside, self.operations):
            noted.clear()
        try:
            answer = self.send(method, path, row.body, row.kind)
        finally:
            type(self).refused = frozenset()
        return answer, list(self.asked)

    def prepared(self, path: str, row: Row) -> str:
        """The path of what is there to be asked about."""
        values = {
            "member_id": "m",
            "tag": "t",
            "store_id": "fast",
            "namespace": "n",
            "name": "new"
            if path.endswith("/tags/{name}")
            and not row.rules[0].startswith(("get", "modify", "delete"))
            else "x",
            "task_id": "t",
        }
        if "{image_id}" in path:
            values["image_id"] = self.image(row.state)
        if "/metadefs" in path:
            self.namespace()
        if "resource_type=" in row.query:
            values["name"] = "x_x"
        return path.format(**values) + row.query

    # --- The way there -----------------------------------------------------------------------

    def test_every_route_has_a_row(self) -> None:
        routes = {f"{row.method} {row.path}" for row in ROUTES}
        self.assertEqual(routes - OPEN, set(TABLE))

    def test_which_rules_a_request_asks(self) -> None:
        for method, path, row in rows():
            with self.subTest(f"{method} {path}", rules=row.rules):
                answer, asked = self.request(method, self.prepared(path, row), row)
                # Lists ask as often as there are entries.
                once = [
                    rule
                    for n, rule in enumerate(asked)
                    if rule not in row.filters or rule not in asked[:n]
                ]
                self.assertEqual(row.rules, tuple(once))
                self.assertEqual(row.status, answer.status_int, answer.text)

    def test_a_refused_rule_fails_the_request(self) -> None:
        for method, path, row in rows():
            if not row.rules:
                continue
            where = self.prepared(path, row)
            for rule in set(row.rules) - set(row.filters):
                with self.subTest(f"{method} {path}", rule=rule):
                    answer, _asked = self.request(method, where, row, rule)
                    if rule in row.hides:
                        self.assertEqual(404, answer.status_int, answer.text)
                    else:
                        self.assertEqual(403, answer.status_int, answer.text)
                        self.assertIn(f"to complete {rule} action", answer.text)

    def test_what_may_not_be_seen_is_not_there(self) -> None:
        """A refusal does not tell of an image or namespace that the caller may not see."""
        for method, path, row in rows():
            for see, place in (
                ("get_image", "/images/{image_id}"),
                ("get_metadef_namespace", "/metadefs"),
            ):
                if place not in path:
                    continue
                where = self.prepared(path, row)
                for rule in set(row.rules) - set(row.filters):
                    with self.subTest(f"{method} {path}", rule=rule):
                        answer, _asked = self.request(method, where, row, rule, see)
                        blunt = rule in ("publicize_image", "communitize_image")
                        self.assertEqual(403 if blunt else 404, answer.status_int, answer.text)

    def test_rules_are_asked_by_operations(self) -> None:
        themselves = set()
        for method, path, row in rows():
            self.request(method, self.prepared(path, row), row)
            if self.asked_outside:
                themselves.add(f"{method} {path}")
        self.assertEqual(THEMSELVES, themselves)

    # --- The way back ------------------------------------------------------------------------

    def test_every_operation_is_asked_for_by_a_route(self) -> None:
        begun = set()
        for method, path, row in rows():
            self.request(method, self.prepared(path, row), row)
            begun |= set(self.operations)
        self.assertEqual(
            {
                f"{noun}.{operation}"
                for noun, operations in OPERATIONS.items()
                for operation in operations
            },
            begun,
        )

    def test_every_rule_is_asked_by_a_route(self) -> None:
        asked = {rule for _method, _path, row in rows() for rule in row.rules}
        known = {rule.name for rule in policies.list_rules()}
        self.assertEqual(known, asked | NOT_ASKED.keys())
        self.assertEqual(set(), asked & NOT_ASKED.keys())

    def test_rules_name_the_requests_that_ask_them(self) -> None:
        """In the sample of the policy file, by which operators go."""
        asked: dict[str, set[str]] = {}
        for method, path, row in rows():
            for rule in row.rules:
                asked.setdefault(rule, set()).add(_plain(method, f"/v2{path}"))
        for rule in policies.list_rules():
            if isinstance(rule, policy.DocumentedRuleDefault) and rule.name not in NOT_ASKED:
                with self.subTest(rule.name):
                    named = {_plain(each["method"], each["path"]) for each in rule.operations}
                    self.assertEqual(asked[rule.name], named)


def _plain(method: str, path: str) -> str:
    return f"{method} {re.sub('{[^}]*}', '{}', path)}"


if __name__ == "__main__":
    unittest.main()
