"""Imports, locations and tasks over HTTP."""

from __future__ import annotations

import unittest

from glance_py.domain.image import Location
from glance_py.domain.task import Task, TaskQuery
from tests.unit.http.fakes import NOW, Service


class ImportTest(unittest.TestCase):
    def setUp(self) -> None:
        self.service = Service(enabled_import_methods=("web-download", "glance-direct"))
        self.image = self.service.image(disk_format="raw", container_format="bare")
        self.path = f"/images/{self.image}/import"
        self.body = {"method": {"name": "web-download", "uri": "http://x"}}

    def test_import(self) -> None:
        answer = self.service.call("POST", self.path, self.body, x_image_meta_store="slow")
        self.assertEqual((202, b""), (answer.status, answer.body))
        imported = self.service.images.imported
        self.assertEqual(
            ("web-download", "http://x", ("slow",)),
            (imported.method_name, imported.method["uri"], imported.stores),
        )

    def test_the_status_comes_before_the_arguments_of_the_method(self) -> None:
        self.service.images.images[self.image].status = "active"
        del self.body["method"]["uri"]
        self.assertEqual(409, self.service.call("POST", self.path, self.body).status)
        self.service.images.images[self.image].status = "queued"
        self.assertEqual(400, self.service.call("POST", self.path, self.body).status)

    def test_tasks_of_an_image(self) -> None:
        self.service.tasks.list_for_image.return_value = [Task("t", "api_image_import", "p1")]
        answer = self.service.call("GET", f"/images/{self.image}/tasks")
        self.assertEqual(["t"], [task["id"] for task in answer.json["tasks"]])
        _, image = self.service.tasks.list_for_image.call_args.args
        self.assertEqual(self.image, image.id)

    def test_what_an_import_can_do(self) -> None:
        found = self.service.call("GET", "/ext/info/import").json["import"]
        self.assertEqual(["inject_image_metadata"], found["plugins"]["value"])
        self.assertIn("sha256", found["checksum-algorithms"]["value"])
        other = Service(enabled_import_methods=("glance-direct",)).call("GET", "/ext/info/import")
        self.assertNotIn("checksum-algorithms", other.json["import"])


class LocationsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.service = Service()
        self.image = self.service.image()

    def test_list(self) -> None:
        self.service.images.images[self.image].locations = [
            Location("a://1", {"store": "fast"}, id=5)
        ]
        self.assertEqual(
            [{"url": "a://1", "metadata": {"store": "fast"}}],
            self.service.call("GET", f"/images/{self.image}/locations").json,
        )

    def test_add(self) -> None:
        answer = self.service.call("POST", f"/images/{self.image}/locations", {"url": "a://1"})
        self.assertEqual((202, b""), (answer.status, answer.body))
        self.assertEqual("a://1", self.service.images.registration.url)

    def test_delete_from_store(self) -> None:
        path = f"/stores/fast/{self.image}"
        self.assertEqual(204, self.service.call("DELETE", path).status)
        self.assertEqual("fast", self.service.images.deleted_from)
        self.assertEqual(409, self.service.call("DELETE", f"/stores/none/{self.image}").status)
        self.assertEqual(404, self.service.call("DELETE", "/stores/fast/none").status)
        self.service.stores.multi = False
        self.assertEqual(404, self.service.call("DELETE", path).status)


class TasksTest(unittest.TestCase):
    def setUp(self) -> None:
        self.service = Service(limit_param_default=2, api_limit_max=5)
        self.task = Task("t", "import", "p1", created_at=NOW, updated_at=NOW)

    def test_list(self) -> None:
        self.service.tasks.list.return_value = [self.task, self.task]
        body = self.service.call("GET", "/tasks?status=pending").json
        self.assertEqual(
            ("/v2/tasks?status=pending", "/v2/tasks?status=pending&marker=t"),
            (body["first"], body["next"]),
        )
        ctx, query = self.service.tasks.list.call_args.args
        self.assertEqual(("p1", TaskQuery(None, "pending", limit=2)), (ctx.project_id, query))
        self.service.call("GET", "/tasks?limit=9")
        self.assertEqual(5, self.service.tasks.list.call_args.args[1].limit)

    def test_show(self) -> None:
        self.service.tasks.get.return_value = self.task
        self.assertEqual("t", self.service.call("GET", "/tasks/t").json["id"])
        self.assertEqual("t", self.service.tasks.get.call_args.args[1])

    def test_create(self) -> None:
        self.service.tasks.create.side_effect = lambda ctx, task: task
        body = {"type": "import", "input": {"import_from": "http://x"}}
        answer = self.service.call("POST", "/tasks", body, admin=True)
        self.assertEqual(201, answer.status)
        self.assertEqual(f"http://host/v2/tasks/{answer.json['id']}", answer.headers["location"])
        self.assertEqual(body["input"], answer.json["input"])

    def test_the_policy_comes_before_the_body(self) -> None:
        self.assertEqual(403, self.service.call("POST", "/tasks", {}).status)
        self.assertEqual(400, self.service.call("POST", "/tasks", {}, admin=True).status)

    def test_tasks_are_not_deleted(self) -> None:
        self.assertEqual(403, self.service.call("DELETE", "/tasks/t").status)
        answer = self.service.call("DELETE", "/tasks/t", admin=True)
        self.assertEqual((405, "GET"), (answer.status, answer.headers["allow"]))


if __name__ == "__main__":
    unittest.main()
