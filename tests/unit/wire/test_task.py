"""Tasks: documents, requests and query strings."""

from __future__ import annotations

import datetime
import types
import unittest

import orjson

from glance_py.domain import errors
from glance_py.domain.task import Task, TaskQuery
from glance_py.wire import task as wire

NOW = datetime.datetime(2030, 1, 2, 3, 4, 5, 678)
SHOWN = "2030-01-02T03:04:05Z"
CTX = types.SimpleNamespace(project_id="p1", user_id="u", request_id="req-1")
ID = "11111111-1111-4111-8111-111111111111"


def make_task(**fields: object) -> Task:
    known = {
        "id": "t",
        "type": "import",
        "owner": "p1",
        "status": "success",
        "input": {"a": 1},
        "result": {"b": 2},
        "message": "m",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Task(**{**known, **fields})


SUMMARY = {
    "id": "t",
    "type": "import",
    "status": "success",
    "owner": "p1",
    "created_at": SHOWN,
    "updated_at": SHOWN,
    "self": "/v2/tasks/t",
    "schema": "/v2/schemas/task",
}
DETAIL = {**SUMMARY, "input": {"a": 1}, "result": {"b": 2}, "message": "m"}


class DumpTest(unittest.TestCase):
    def test_task(self) -> None:
        self.assertEqual(DETAIL, orjson.loads(wire.dump_task(make_task())))
        origin = {"image_id": "i", "request_id": "r", "user_id": "u"}
        self.assertEqual(
            {**DETAIL, **origin, "expires_at": SHOWN},
            orjson.loads(wire.dump_task(make_task(**origin, expires_at=NOW))),
        )

    def page(self, tasks: list[Task], query_string: str, limit: int = 1) -> dict[str, object]:
        page = orjson.loads(wire.dump_tasks(tasks, TaskQuery(limit=limit), query_string))
        self.assertEqual("/v2/schemas/tasks", page["schema"])
        return page

    def test_list(self) -> None:
        page = self.page([make_task(image_id="i")], "limit=1&marker=m&x=%20")
        self.assertEqual([SUMMARY], page["tasks"])
        self.assertEqual("/v2/tasks?limit=1&x=+", page["first"])
        self.assertEqual("/v2/tasks?limit=1&x=+&marker=t", page["next"])
        expiring = self.page([make_task(expires_at=NOW)], "")
        self.assertEqual(
            ([{**SUMMARY, "expires_at": SHOWN}], "/v2/tasks", "/v2/tasks?marker=t"),
            (expiring["tasks"], expiring["first"], expiring["next"]),
        )

    def test_the_last_page(self) -> None:
        for tasks, limit in (([make_task()], 2), ([], 1), ([], 0)):
            self.assertNotIn("next", self.page(tasks, "", limit))

    def test_tasks_of_an_image(self) -> None:
        body = wire.dump_image_tasks([make_task(image_id="i", request_id="r", user_id="u")])
        time = "2030-01-02T03:04:05.000678"
        self.assertEqual(
            {
                "tasks": [
                    {
                        "id": "t",
                        "type": "import",
                        "status": "success",
                        "owner": "p1",
                        "expires_at": None,
                        "created_at": time,
                        "updated_at": time,
                        "deleted_at": None,
                        "deleted": False,
                        "image_id": "i",
                        "request_id": "r",
                        "user_id": "u",
                        "input": {"a": 1},
                        "result": {"b": 2},
                        "message": "m",
                    }
                ]
            },
            orjson.loads(body),
        )
        whole = datetime.datetime(2030, 1, 2)
        shown = orjson.loads(wire.dump_image_tasks([make_task(expires_at=whole)]))["tasks"][0]
        self.assertEqual("2030-01-02T00:00:00.000000", shown["expires_at"])


class LoadTest(unittest.TestCase):
    def load(self, document: object, ctx: object = CTX) -> Task:
        return wire.load_task(ctx, "t", orjson.dumps(document))

    def test_task(self) -> None:
        task_input = {
            "import_from": "HTTPS://x",
            "image_properties": {"name": "n"},
            "import_from_format": "raw",
        }
        self.assertEqual(
            Task("t", "import", "p1", input=task_input, request_id="req-1", user_id="u"),
            self.load({"type": "import", "input": task_input}),
        )
        other = self.load(
            {"type": "api_image_import", "input": {}},
            types.SimpleNamespace(project_id=None, user_id=None, request_id=None),
        )
        self.assertEqual(("api_image_import", "", {}), (other.type, other.owner, other.input))

    def test_bad_requests(self) -> None:
        valid = {"import_from": "http://x"}
        for document, message in (
            ({}, "type of a task is one of import, api_image_import, location_import"),
            ({"type": "x", "input": valid}, "type of a task"),
            ({"type": ["import"], "input": valid}, "type of a task"),
            ({"type": "import"}, "input of a task must be a JSON object"),
            ({"type": "import", "input": []}, "input of a task must be"),
            ({"type": "import", "input": {}}, "import_from must be a URL"),
            ({"type": "import", "input": {"import_from": 5}}, "import_from must be a URL"),
            ({"type": "import", "input": {"import_from": "file:///x"}}, "must be a URL"),
            ({"type": "import", "input": {"import_from": "xhttp://x"}}, "must be a URL"),
            ({"type": "import", "input": {**valid, "image_properties": []}}, "image_properties"),
            ({"type": "import", "input": {**valid, "import_from_format": None}}, "from_format"),
        ):
            with self.subTest(document), self.assertRaisesRegex(errors.Invalid, message):
                self.load(document)


class QueryTest(unittest.TestCase):
    def load(self, query_string: str) -> TaskQuery:
        return wire.load_task_query(query_string, 25, 1000)

    def test_defaults(self) -> None:
        self.assertEqual(
            TaskQuery(None, None, ("created_at", "desc"), None, 25), self.load("unknown=1")
        )

    def test_values(self) -> None:
        self.assertEqual(
            TaskQuery("import", "failure", ("id", "asc"), ID, 7),
            self.load(f"type=import&status=failure&sort_key=id&sort_dir=asc&marker={ID}&limit=7"),
        )
        for limit, taken in (("0", 0), ("1000", 1000), ("1001", 1000), ("9" * 5000, 1000)):
            self.assertEqual(taken, self.load(f"limit={limit}").limit)
        for key in (
            "created_at",
            "expires_at",
            "id",
            "image_id",
            "owner",
            "request_id",
            "status",
            "type",
            "updated_at",
            "user_id",
        ):
            self.assertEqual((key, "desc"), self.load(f"sort_key={key}").sort)

    def test_bad_values(self) -> None:
        for query_string, message in (
            ("limit=-1", "limit must be an integer, zero or more"),
            ("limit=", "limit must be"),
            ("limit=%D9%A3", "limit must be"),
            ("sort_dir=up", "Invalid sort direction: up"),
            ("sort_key=message", "cannot be sorted by 'message'"),
            ("status=done", "Invalid status value: done"),
            ("type=api_image_import", "Invalid type value: api_image_import"),
            ("marker=t", "marker must be the id of a task"),
            (f"marker={ID}%0A", "marker must be"),
            ("marker=", "marker must be"),
            ("x=%FF", "not UTF-8"),
        ):
            with self.subTest(query_string), self.assertRaisesRegex(errors.Invalid, message):
                self.load(query_string)


if __name__ == "__main__":
    unittest.main()
