"""Tasks of the deprecated tasks API, over records in memory."""

from __future__ import annotations

import unittest

from glance_py.domain import errors
from glance_py.domain.task import Task
from glance_py.importing.tasks_api import TaskStartProxy
from glance_py.settings import FormatSettings, Settings
from tests.unit.importing.fakes import CALLER, World


class TasksApiTest(unittest.TestCase):
    def setUp(self) -> None:
        self.make()

    def make(self) -> None:
        formats = FormatSettings(disk_formats=("raw", "qcow2"))
        self.world = World(self, Settings(formats=formats))
        self.layer = TaskStartProxy(self.world.tasks, self.world.deps, self.world.importer)

    def create(self, uri: str = "http://source/x", **more: object) -> Task:
        task_input = {"import_from": uri, "import_from_format": "qcow2", **more}
        return self.layer.create(CALLER, Task("t", "import", "p", input=task_input))

    def run_task(self) -> tuple[str, str]:
        self.world.executor.run_all()
        self.assertEqual([], self.world.claim_records.held())
        self.assertTrue(self.world.claims.is_idle)
        return self.world.task.status, self.world.task.message

    def test_an_import(self) -> None:
        created = self.create(image_properties={"name": "n", "os_distro": "d", "min_ram": 1})
        self.assertEqual(("t", "pending"), (created.id, created.status))
        [claim] = self.world.claim_records.held()
        self.assertEqual(("task", "t"), (claim.kind, claim.task_id))
        self.assertEqual({}, self.world.images.images)
        self.assertEqual("success", self.run_task()[0])
        [image] = self.world.images.images.values()
        self.assertEqual(claim.image_id, image.id)
        self.assertEqual(
            ("active", "p", "n", 1, "qcow2", "bare", 4),
            (
                image.status,
                image.owner,
                image.name,
                image.min_ram,
                image.disk_format,
                image.container_format,
                image.size,
            ),
        )
        self.assertEqual("d", image.properties["os_distro"])
        self.assertEqual({"image_id": image.id}, self.world.task.result)
        self.assertEqual(["create", "start"], self.world.tasks.events[:2])

    def test_formats_of_the_image(self) -> None:
        self.create(image_properties={"disk_format": "raw", "container_format": "ovf"})
        self.run_task()
        [image] = self.world.images.images.values()
        self.assertEqual(("raw", "ovf"), (image.disk_format, image.container_format))

    def test_properties_that_cannot_be_set(self) -> None:
        for properties in (
            {"status": "active"},
            {"os_glance_import_task": "x"},
            {"number": 1},
            {"checksum": "c"},
        ):
            self.make()
            self.create(image_properties=properties)
            status, message = self.run_task()
            self.assertEqual("failure", status)
            self.assertIn(f"image_properties cannot set {next(iter(properties))!r}", message)
            self.assertEqual({}, self.world.images.images)

    def test_formats_that_are_not_allowed(self) -> None:
        for name in ("vdi", "", None):
            self.make()
            self.create(import_from_format=name)
            self.assertEqual(
                ("failure", "import_from_format is no disk_format of this service."),
                self.run_task(),
            )

    def test_an_import_that_fails_leaves_no_image(self) -> None:
        self.create()
        self.world.stores.broken["one"] = errors.StoreFull("full")
        self.assertEqual(("failure", "full"), self.run_task())
        self.assertEqual(({}, {}), (self.world.images.images, self.world.stores.objects))

    def test_a_url_that_the_filter_refuses(self) -> None:
        self.assertRaises(errors.Invalid, self.create, "http://bad/")
        self.assertEqual({}, self.world.images.held)

    def test_other_types(self) -> None:
        for task_input, message in (
            ({"a": 1}, "A task of type api_image_import is started by a request about an image."),
            ({}, "Input to api_image_import task is empty."),
            (None, "Input to api_image_import task is empty."),
        ):
            self.make()
            self.layer.create(CALLER, Task("t", "api_image_import", "p", input=task_input))
            self.assertEqual(("failure", message), self.run_task())

    def test_a_task_that_cannot_be_recorded(self) -> None:
        for error, is_held in (
            (errors.DatabaseUnavailable(), True),
            (errors.Duplicate("x"), False),
        ):
            self.make()

            def refuse(ctx, task, error=error):
                raise error

            self.world.tasks.create = refuse
            self.layer = TaskStartProxy(self.world.tasks, self.world.deps, self.world.importer)
            self.assertRaises(type(error), self.create)
            self.assertEqual(is_held, bool(self.world.claim_records.held()))
            self.assertTrue(self.world.claims.is_idle)


if __name__ == "__main__":
    unittest.main()
