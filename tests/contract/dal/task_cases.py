"""Tasks, and the lock of an import: of many who want to, one does."""

import concurrent.futures
import datetime
import uuid

import sqlalchemy as sa

from glance_py.db.tables import tasks
from glance_py.domain import errors
from glance_py.domain.task import Task, TaskQuery


class TaskCases:
    def create(self, owner="p", **fields):
        task = Task(
            str(uuid.uuid4()), fields.pop("type", "api_image_import"), owner=owner, **fields
        )
        return self.repositories.tasks.create(task)

    def age(self, task, **columns):
        """Rewrite columns behind the DAL's back."""
        self.execute(sa.update(tasks).where(tasks.c.id == task.id).values(**columns))

    def test_a_life(self):
        made = self.create(input={"a": [1, "ü"]}, image_id="i", request_id="r", user_id="u")
        self.assertEqual(made, self.repositories.tasks.get(made.id))
        started = self.repositories.tasks.update(made, status="processing")
        updated = self.repositories.tasks.update(started, message="half")
        self.assertEqual(("processing", "half"), (updated.status, updated.message))
        ended = self.repositories.tasks.update(
            updated, status="success", result={"b": None}, expires_at=made.created_at
        )
        self.assertEqual(ended, self.repositories.tasks.get(made.id))
        self.assertRaises(
            errors.TaskAlreadyFinished, self.repositories.tasks.update, updated, message="more"
        )
        self.assertEqual("half", self.repositories.tasks.get(made.id).message)

    def test_unknown(self):
        self.assertRaises(errors.TaskNotFound, self.repositories.tasks.get, str(uuid.uuid4()))

    def test_of_several_who_end_a_task_one_does(self):
        task = self.create(status="processing")

        def end(number):
            try:
                self.repositories.tasks.update(task, status="failure", message=str(number))
            except errors.TaskAlreadyFinished:
                return None
            return str(number)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            ended = [number for number in pool.map(end, range(4)) if number]
        self.assertEqual([self.repositories.tasks.get(task.id).message], ended)

    def test_tasks_of_an_image_are_in_the_order_in_which_they_came(self):
        made = [self.create(image_id="j") for _ in range(3)]
        for age, task in enumerate(reversed(made)):
            self.age(task, created_at=datetime.datetime(2030, 1, 1 + age))
        self.assertEqual(
            [task.id for task in reversed(made)],
            [task.id for task in self.repositories.tasks.list_for_image("j")],
        )

    def test_expiry(self):
        past = datetime.datetime(2020, 1, 1)
        gone, kept = self.create(image_id="i"), self.create(image_id="i")
        self.age(gone, expires_at=past)
        self.assertEqual([kept], list(self.repositories.tasks.list_for_image("i")))
        self.assertEqual(1, self.repositories.tasks.expire())
        self.assertEqual(0, self.repositories.tasks.expire())
        self.assertRaises(errors.TaskNotFound, self.repositories.tasks.get, gone.id)
        self.assertEqual([kept.id], [task.id for task in self.repositories.tasks.list(TaskQuery())])

    def test_lists(self):
        """Of one project or of all, by state and type, and walked page by page."""
        mine = [
            self.create(type=kind, status=status)
            for kind in ("import", "location_import")
            for status in ("pending", "success")
        ]
        other = self.create("q")
        ids = {task.id for task in mine}
        every = self.repositories.tasks.list(TaskQuery(limit=9))
        self.assertEqual(ids | {other.id}, {task.id for task in every})
        self.assertEqual(ids, {task.id for task in self.repositories.tasks.list(TaskQuery(), "p")})
        self.assertEqual(
            [mine[1].id],
            [
                task.id
                for task in self.repositories.tasks.list(
                    TaskQuery(type="import", status="success"), "p"
                )
            ],
        )
        for key in ("created_at", "type", "expires_at", "image_id", "id"):
            for direction in ("asc", "desc"):
                self.assertEqual(ids, self.walk((key, direction)))

    def walk(self, sort):
        seen, marker = [], None
        while page := self.repositories.tasks.list(
            TaskQuery(sort=sort, marker=marker, limit=1), "p"
        ):
            seen.append(page[0].id)
            marker = page[0].id
        self.assertEqual(len(seen), len(set(seen)), sort)
        return set(seen)

    def test_markers(self):
        other = self.create("q")
        for marker in (other.id, str(uuid.uuid4())):
            self.assertRaises(
                errors.Invalid, self.repositories.tasks.list, TaskQuery(marker=marker), "p"
            )
