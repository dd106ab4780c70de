"""A task tells who asked for it: only that project and administrators see it."""

import unittest

from glance_py.context import RequestContext
from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.task import Task, TaskQuery
from glance_py.layers.tasks import TaskAdapter
from glance_py.settings import TaskSettings


class FakeRepository:
    def get(self, task_id):
        return Task(
            id=task_id,
            type="import",
            owner="mine",
            input={"import_from": "https://user:secret@example.org/"},
        )

    def list(self, query, owner=None):
        return [
            Task(id=each, type="import", owner=each)
            for each in ("mine", "theirs")
            if owner in (None, each)
        ]

    def expire(self):
        return 0

    def list_for_image(self, image_id):
        return [
            Task(id=owner, type="api_image_import", owner=owner, image_id=image_id)
            for owner in ("mine", "theirs")
        ]


class TestTasksOfAnImage(unittest.TestCase):
    def seen(self, **who):
        work = TaskAdapter(FakeRepository(), TaskSettings())
        return [task.id for task in work.list_for_image(RequestContext(**who), Image("i"))]

    def test_of_the_own_project_only(self):
        self.assertEqual(["mine"], self.seen(project_id="mine"))
        self.assertEqual([], self.seen(project_id="others"))
        self.assertEqual([], self.seen(project_id=None))

    def test_an_administrator_sees_all(self):
        self.assertEqual(["mine", "theirs"], self.seen(is_admin=True))


class TestTasksOfAProject(unittest.TestCase):
    """The same of the tasks API, whoever the policy lets in."""

    def setUp(self):
        self.work = TaskAdapter(FakeRepository(), TaskSettings())

    def test_one_task(self):
        self.assertEqual("mine", self.work.get(RequestContext(project_id="mine"), "t").owner)
        self.assertEqual("mine", self.work.get(RequestContext(is_admin=True), "t").owner)
        for project in ("others", None, ""):
            with self.subTest(project), self.assertRaises(errors.TaskNotFound):
                self.work.get(RequestContext(project_id=project), "t")

    def test_a_list(self):
        for who, seen in (
            ({"project_id": "mine"}, ["mine"]),
            ({"project_id": None}, []),
            ({"is_admin": True}, ["mine", "theirs"]),
        ):
            self.assertEqual(
                seen, [task.id for task in self.work.list(RequestContext(**who), TaskQuery())]
            )
