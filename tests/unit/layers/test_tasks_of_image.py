"""A task tells who asked for it: only that project and administrators see it."""

import unittest

from glance_py.context import RequestContext
from glance_py.domain.image import Image
from glance_py.domain.task import Task
from glance_py.layers.tasks import TaskRepository


class Conf:
    """Tasks that end are kept for two days."""

    task = type("Group", (), {"task_time_to_live": 48})


class Records:
    def of_image(self, image_id):
        return [Task(id=owner, type="api_image_import", owner=owner, image_id=image_id)
                for owner in ("mine", "theirs")]


class TestTasksOfAnImage(unittest.TestCase):

    def seen(self, **who):
        work = TaskRepository(Records(), Conf)
        return [task.id for task in work.of_image(RequestContext(**who), Image("i"))]

    def test_of_the_own_project_only(self):
        self.assertEqual(["mine"], self.seen(project_id="mine"))
        self.assertEqual([], self.seen(project_id="others"))
        self.assertEqual([], self.seen(project_id=None))

    def test_an_administrator_sees_all(self):
        self.assertEqual(["mine", "theirs"], self.seen(is_admin=True))
