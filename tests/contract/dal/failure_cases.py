"""What a DAL must do when others are in the way or the database goes away."""

import dataclasses
import functools
import threading
import uuid

from glance_py.db import engine, timeouts
from glance_py.db.database import Database
from glance_py.db.repositories import sql_repositories
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.query import ImageQuery
from tests.contract.dal.backends import caller, requires_server

CTX = caller("p1")


def at_once(*functions):
    """Run functions in threads that start together; their results or exceptions in order."""
    results = [None] * len(functions)
    barrier = threading.Barrier(len(functions))

    def run(n, function):
        barrier.wait()
        try:
            results[n] = function()
        except Exception as error:
            results[n] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class FailureCases:
    def create(self, **fields):
        return self.repositories.images.create(
            CTX, Image(fields.pop("id", None) or str(uuid.uuid4()), owner="p1", **fields)
        )

    def test_a_read_that_takes_too_long_is_ended_by_the_server_and_a_write_is_not(self):
        endless = "SELECT count(*) FROM " + ", ".join(
            f"information_schema.columns c{n}" for n in range(6)
        )
        sleep = {"postgresql": "SELECT pg_sleep(1)", "mysql": "DO SLEEP(1)"}
        if self.database.dialect not in sleep:
            return  # nothing but this process works on SQLite
        bounded = Database(
            engine.create_engine(self.url, limits=dataclasses.replace(timeouts.REQUEST, read=0.5))
        )
        self.addCleanup(bounded.dispose)
        self.assertRaises(
            errors.DatabaseUnavailable,
            bounded.read,
            lambda connection: connection.exec_driver_sql(endless).scalar(),
        )
        bounded.write(
            lambda connection: connection.exec_driver_sql(sleep[self.database.dialect]).close()
        )
        self.assertEqual(
            1, bounded.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
        )

    def test_sixteen_writers_all_succeed(self):
        def write(number):
            image = self.create(name=str(number), tags=["t"], properties={"k": "v"})
            self.repositories.images.update(CTX, image, ImageChange(set_properties={"k": "w"}))
            return image

        written = at_once(*(lambda n=n: write(n) for n in range(16)))
        self.assertEqual([str(n) for n in range(16)], [i.name for i in written])
        self.assertEqual(16, len(self.repositories.images.list(CTX, ImageQuery(limit=50)).images))

    def test_writers_of_one_image_lose_nothing(self):
        image = self.create(tags=["start"])
        at_once(
            *(
                lambda n=n: self.repositories.images.update(
                    CTX,
                    image,
                    ImageChange(
                        set_properties={f"k{n}": "v", "same": str(n)}, add_tags=(f"t{n}", "same")
                    ),
                )
                for n in range(8)
            )
        )
        now = self.repositories.images.get(CTX, image.id)
        self.assertEqual({f"k{n}" for n in range(8)} | {"same"}, set(now.properties))
        self.assertEqual({f"t{n}" for n in range(8)} | {"start", "same"}, set(now.tags))
        self.assertEqual(len(now.tags), len(set(now.tags)))

    def test_only_one_wins_a_guarded_transition(self):
        change = ImageChange.status("saving", expected="queued")
        for _ in range(5):
            update = functools.partial(self.repositories.images.update, CTX, self.create(), change)
            results = at_once(*[update] * 4)
            winners = [r for r in results if isinstance(r, Image)]
            losers = [r for r in results if isinstance(r, errors.StatusConflict)]
            self.assertEqual((1, 3), (len(winners), len(losers)), results)

    def test_only_one_adds_a_member_and_only_one_takes_an_id(self):
        image = self.create()
        added = at_once(*[lambda: self.repositories.members.create(CTX, image.id, "p2")] * 4)
        self.assertEqual(3, sum(isinstance(r, errors.Duplicate) for r in added), added)
        self.assertEqual(1, len(self.repositories.members.find(CTX, image.id)))
        taken = str(uuid.uuid4())
        made = at_once(*[lambda: self.create(id=taken, tags=["a"])] * 4)
        self.assertEqual(3, sum(isinstance(r, errors.Duplicate) for r in made), made)
        self.assertEqual(["a"], self.repositories.images.get(CTX, taken).tags)

    def test_two_that_wait_for_each_other_both_succeed(self):
        first, second = self.create(), self.create()
        meet = threading.Barrier(2)

        def crosswise(a, b):
            def work(connection):
                self.direct.images._set(connection, a.id, {"name": a.id}, None)
                try:
                    # Meet while each holds one row; where one writer waits for the other
                    # from the start, nobody comes.
                    meet.wait(timeout=1)
                except threading.BrokenBarrierError:
                    pass
                self.direct.images._set(connection, b.id, {"min_disk": 1}, None)
                return "done"

            return lambda: self.database.write(work)

        self.assertEqual(
            ["done", "done"], at_once(crosswise(first, second), crosswise(second, first))
        )

    def test_a_lock_that_nobody_releases_ends_in_a_clear_error(self):
        limits = dataclasses.replace(timeouts.REQUEST, lock=1)
        impatient = Database(engine.create_engine(self.url, limits=limits), retry_timeout=1)
        self.addCleanup(impatient.dispose)
        image = self.create()
        change = ImageChange(fields={"name": "n"})

        def hold(connection):
            self.direct.images._set(connection, image.id, {"min_disk": 1}, None)
            self.assertRaises(
                errors.DatabaseUnavailable,
                sql_repositories(impatient).images.update,
                CTX,
                image,
                change,
            )

        self.database.write(hold)
        self.assertEqual("n", sql_repositories(impatient).images.update(CTX, image, change).name)

    @requires_server
    def test_a_lost_connection_is_replaced(self):
        image = self.create()
        for _ in range(3):
            self.kill_connections()
            self.assertEqual(image.id, self.repositories.images.get(CTX, image.id).id)
            self.kill_connections()
            self.repositories.images.update(CTX, image, ImageChange(set_properties={"a": "b"}))
        self.kill_connections()
        self.repositories.ping()

    def test_a_failing_write_leaves_the_connection_usable(self):
        def fail(connection):
            self.direct.images._set(connection, image.id, {"name": "lost"}, None)
            raise ZeroDivisionError

        image = self.create(name="kept")
        for _ in range(60):
            self.assertRaises(ZeroDivisionError, self.database.write, fail)
        self.assertEqual("kept", self.repositories.images.get(CTX, image.id).name)
