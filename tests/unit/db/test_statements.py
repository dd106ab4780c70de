"""How many statements an operation costs, and that they are written once."""

import tempfile
import uuid

import sqlalchemy as sa
import testtools
from sqlalchemy.dialects import mysql, postgresql, sqlite

from glance_py.context import RequestContext
from glance_py.db import engine, hints, list_query, list_shape
from glance_py.db.database import Database
from glance_py.db.repositories import sql_repositories
from glance_py.db.tables import images, metadata
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.query import Filter, ImageQuery

CTX = RequestContext(project_id="p1")


class TestCosts(testtools.TestCase):
    """Numbers of statements, BEGIN and COMMIT included."""

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.database = Database(engine.create_engine(f"sqlite:///{directory.name}/x"))
        self.addCleanup(self.database.dispose)
        metadata.create_all(self.database.engine)
        self.repositories = sql_repositories(self.database)
        self.image = self.create()
        self.statements = []
        sa.event.listen(
            self.database.engine,
            "before_cursor_execute",
            lambda *args: self.statements.append(args[2]),
        )

    def create(self):
        return self.repositories.images.create(
            CTX,
            Image(
                str(uuid.uuid4()),
                owner="p1",
                tags=["a", "b", "c"],
                properties={f"k{n}": "v" for n in range(20)},
                locations=[Location("file:///a")],
            ),
        )

    def cost(self, operation, *arguments):
        self.statements.clear()
        operation(*arguments)
        return len(self.statements)

    def test_show(self):
        self.assertEqual(2, self.cost(self.repositories.images.get, CTX, self.image.id))

    def test_a_missing_image(self):
        self.assertEqual(
            1,
            self.cost(
                self.assertRaises, errors.ImageNotFound, self.repositories.images.get, CTX, "none"
            ),
        )

    def test_a_page_costs_the_same_whatever_its_size(self):
        for _ in range(30):
            newest = self.create()
        for limit in (1, 10, 1000):
            self.assertIn(
                self.cost(self.repositories.images.list, CTX, ImageQuery(limit=limit)), (2, 3)
            )
        admin = RequestContext(project_id="p1", is_admin=True)
        self.assertEqual(2, self.cost(self.repositories.images.list, admin, ImageQuery(limit=10)))
        page = ImageQuery(limit=10, marker=newest.id)
        self.assertEqual(3, self.cost(self.repositories.images.list, admin, page))

    def test_writes(self):
        self.assertEqual(6, self.cost(self.create))
        change = ImageChange(
            fields={"name": "n"},
            set_properties={"a": "1", "b": "2"},
            remove_properties={"k1", "k2"},
            add_tags=("x", "y"),
        )
        self.assertEqual(7, self.cost(self.repositories.images.update, CTX, self.image, change))
        self.assertEqual(7, self.cost(self.repositories.images.delete, CTX, self.image))

    def test_a_guarded_transition(self):
        change = ImageChange.status("saving", expected="queued")
        self.assertEqual(3, self.cost(self.repositories.images.update, CTX, self.image, change))


class TestShapes(testtools.TestCase):
    def test_values_do_not_make_a_new_statement(self):
        def statement(name, limit):
            query = ImageQuery(filters=(Filter("name", "eq", name),), limit=limit)
            return list_query.full_query(list_shape.shape_of(CTX, query, None))

        self.assertIs(statement("a", 1), statement("b", 2))

    def test_a_null_in_the_marker_makes_another_statement(self):
        query = ImageQuery(sort=(("name", "asc"), ("created_at", "asc"), ("id", "asc")))
        shapes = {
            list_shape.shape_of(CTX, query, marker)
            for marker in (None, ("a", 1, "x"), ("b", 2, "y"), (None, 1, "x"))
        }
        self.assertEqual(3, len(shapes))

    def test_numbers_stay_within_what_drivers_can_send(self):
        query = ImageQuery(
            filters=(
                Filter("size", "gte", 10**30),
                Filter("size", "in", (-(10**30),)),
                Filter("protected", "eq", True),
            )
        )
        values = list_shape.bind_values(CTX, query, None)
        self.assertEqual(
            (2**63 - 1, [1 - 2**63], True),
            (values["filter_0"], values["filter_1"], values["filter_2"]),
        )

    def test_no_index_hides_a_column_from_the_planner(self):
        condition = hints.not_deleted(images)
        written = {
            dialect.__name__.rpartition(".")[2]: str(condition.compile(dialect=dialect.dialect()))
            for dialect in (sqlite, postgresql, mysql)
        }
        self.assertEqual(
            {
                "sqlite": "+(images.deleted) = 0",
                "postgresql": "((images.deleted) IS TRUE) = false",
                "mysql": "coalesce(images.deleted) = false",
            },
            written,
        )
