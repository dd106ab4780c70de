"""A page must cost what a page costs, however large the catalogue is.

The effort is how many rows the database looked at, as each product counts it.
"""

import datetime
import functools
import uuid

import sqlalchemy as sa

from glance_py.db import list_query, location_index, purge
from glance_py.db.cipher import UrlCipher
from glance_py.db.database import Database
from glance_py.db.tables import image_locations, image_members, image_tags, images
from glance_py.domain.query import Filter, ImageQuery
from tests.contract.dal.backends import caller

COUNT = 100_000
START = datetime.datetime(2020, 1, 1)
NAMESPACE = uuid.UUID("6f1c7c1e-8d0f-4a58-9a55-3b1f3f0b2d11")
#: Rows for a page of 20: the beginning of the catalogue is looked at more than once at most.
MAX_ROWS_PER_PAGE = 6000


def image_id(number):
    return str(uuid.uuid5(NAMESPACE, str(number)))


def owner(number):
    """Nearly all images belong to many small projects; three to one that has no other."""
    if number in (5, 50_000, 90_000):
        return "three"
    return "big" if number % 2 else f"small-{number % 5000}"


def visibility(number):
    if owner(number) == "three":
        return "private"
    if number % 1000 == 0:
        return "public"
    return "shared" if number % 2 else "private"


def image(number):
    when = START + datetime.timedelta(seconds=number)
    return {
        "id": image_id(number),
        "name": f"n{number % 977}",
        "status": "active",
        "size": number,
        "owner": owner(number),
        "visibility": visibility(number),
        "created_at": when,
        "updated_at": when,
        "deleted": False,
        "min_disk": 0,
        "min_ram": 0,
        "protected": False,
        "os_hidden": False,
    }


class QueryCostCases:
    #: The catalogue is made once and nobody changes it.
    starts_empty = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.database.write(cls.fill)
        # Servers gather statistics by themselves, a little later; SQLite only when asked.
        analyze = {"postgresql": "ANALYZE", "mysql": "ANALYZE TABLE images, image_members"}
        if cls.database.dialect in analyze:
            with cls.database.engine.connect() as connection:
                connection.exec_driver_sql(analyze[cls.database.dialect]).close()

    @staticmethod
    def fill(connection):
        for start in range(0, COUNT, 5000):
            connection.execute(images.insert(), [image(n) for n in range(start, start + 5000)])
        connection.execute(
            image_members.insert(),
            [
                {
                    "image_id": image_id(n),
                    "member": "guest" if n == 501 else f"m{n}",
                    "can_share": False,
                    "status": "accepted",
                    "deleted": False,
                    "created_at": START,
                    "updated_at": START,
                }
                for n in range(1, COUNT, 100)
            ],
        )

    def rows_examined_by(self, ctx, query, after=None):
        with self.database.engine.connect() as connection:
            found = []
            rows_examined = self.rows_examined(
                connection,
                lambda: found.extend(list_query.fetch_page(connection, ctx, query, after)),
            )
            return rows_examined, [row.id for row in found]

    def check(self, ctx, expected, most=MAX_ROWS_PER_PAGE, after=None, **wanted):
        rows_examined, found = self.rows_examined_by(
            ctx, ImageQuery(**{"limit": 20, **wanted}), after
        )
        self.assertEqual(expected, len(found))
        self.assertLess(rows_examined, most)

    def test_who_sees_many(self):
        self.check(caller("big"), 20)
        self.check(caller("admin", True), 20)
        self.check(
            caller("big"), 20, sort=(("updated_at", "asc"), ("created_at", "asc"), ("id", "asc"))
        )

    def test_who_sees_many_deep_in_the_catalogue(self):
        marker = (START + datetime.timedelta(seconds=50_001), image_id(50_001))
        self.check(caller("big"), 20, after=marker)
        self.check(caller("admin", True), 20, after=marker)

    def test_who_sees_three(self):
        self.check(caller("three"), 3, visibility="private")
        self.check(caller("three"), 20)
        self.check(
            caller("three"), 20, sort=(("name", "asc"), ("created_at", "asc"), ("id", "asc"))
        )

    def test_who_sees_little_but_public_images(self):
        self.check(caller("stranger"), 20)
        self.check(
            caller("stranger"),
            20,
            after=(START + datetime.timedelta(seconds=50_000), image_id(50_000)),
        )
        self.check(caller("stranger"), 20, visibility="public")
        self.check(caller("admin", True), 20, visibility="public")

    def test_who_sees_one_share(self):
        self.check(caller("guest"), 1, visibility="shared")

    def test_filters_that_many_images_pass(self):
        self.check(
            caller("big"), 20, filters=(Filter("status", "eq", "active"), Filter("size", "gte", 7))
        )

    def test_filters_that_name_images(self):
        ids = tuple(image_id(n) for n in (1, 3, 5, 7))
        self.check(caller("big"), 3, filters=(Filter("id", "in", ids),))
        self.check(caller("admin", True), 4, filters=(Filter("id", "in", ids),))

    def test_filters_that_few_images_pass_look_at_each_part_of_the_scope_once(self):
        # One of the public images and none of the 20 of a small project: no walk finds a page.
        self.check(caller("small-10"), 1, filters=(Filter("size", "eq", 77_000),))
        # A property that no image has is asked of the window and of what the project sees.
        self.check(caller("three"), 0, properties=(("none", "none"),))
        self.check(caller("three"), 0, tags=("none",))

    def test_filters_that_one_in_a_hundred_passes(self):
        """Some of the first images are wanted: a page is where it should be, if they come so."""
        names = tuple(f"n{n}" for n in range(10))
        self.check(caller("admin", True), 20, filters=(Filter("name", "in", names),))

    def test_who_else_has_data_at_an_address(self):
        """Neither the number of locations nor their encryption matters, once they are known."""
        if self.database.dialect == "sqlite":
            return  # there they are read
        for cipher, first in ((None, 0), (UrlCipher("0123456789abcdef"), 20_000)):
            urls = [f"cinder://store/{image_id(-n)}" for n in range(first, first + 20_000)]
            for start in range(0, len(urls), 5000):
                self.execute(
                    image_locations.insert(),
                    [
                        {
                            "image_id": image_id(first + n),
                            "value": cipher.encrypt(url) if cipher else url,
                            "created_at": START,
                            "deleted": False,
                            "status": "active",
                        }
                        for n, url in enumerate(urls[start : start + 5000], start)
                    ],
                )
            index = location_index.LocationIndex(Database(self.database.engine, cipher=cipher))
            for _ in range(100):
                self.assertTrue(index.has_other_image("other", urls[7]))
                last_indexed, last = self.database.read(index._read_state)
                if last - last_indexed <= location_index.MAX_UNINDEXED_ROWS:
                    break
            bound = {"this_image": "other", "digest": index._digest(urls[7]), "reach": last_indexed}
            with self.database.engine.connect() as connection:
                rows_examined = sum(
                    self.rows_examined(connection, functools.partial(work, connection))
                    for work in (
                        index._read_state,
                        lambda on, bound=bound: on.execute(location_index._INDEXED, bound).all(),
                        lambda on, bound=bound: on.execute(location_index._UNINDEXED, bound).all(),
                    )
                )
            self.assertLess(rows_examined, 3 * location_index.MAX_UNINDEXED_ROWS)
            self.assertFalse(index.has_other_image(image_id(first + 7), urls[7]))

    def test_purge_reads_a_table_once_for_many_batches(self):
        gone = START - datetime.timedelta(days=1)
        rows = 3 * purge.BATCH
        self.execute(
            image_tags.insert(),
            [
                {
                    "image_id": image_id(n),
                    "value": "gone",
                    "created_at": gone,
                    "updated_at": gone,
                    "deleted": True,
                    "deleted_at": gone,
                }
                for n in range(rows)
            ],
        )
        searched = []

        def note(connection, cursor, statement, *rest):
            if "SELECT" in statement and "FROM image_tags" in statement:
                searched.append(statement)

        sa.event.listen(self.database.engine, "before_cursor_execute", note)
        self.addCleanup(sa.event.remove, self.database.engine, "before_cursor_execute", note)
        self.assertEqual(rows, purge.purge(self.database, 30, -1))
        # Once for the rows that are deleted, once for those whose image is.
        self.assertEqual(2, len(searched))
