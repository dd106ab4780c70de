"""What a DAL must do with lists: scope, filters, order and pages.

Random images are listed by the DAL and by a model of a few lines of Python;
both must agree for every caller, filter, order and page size.
"""

import copy
import datetime
import itertools
import operator
import random
import uuid

from glance_py.db import list_filters, list_query, list_shape
from glance_py.db.tables import images
from glance_py.domain import errors
from glance_py.domain.image import VISIBILITIES, Image
from glance_py.domain.query import Filter, ImageQuery
from glance_py.domain.visibility import is_visible
from tests.contract.dal.backends import caller

PROJECTS = ("p1", "p2", "p3")
CALLERS = tuple(
    caller(*who)
    for who in (
        ("p1",),
        ("p2",),
        ("stranger",),
        (None,),
        ("p1", True),
        ("admin", True),
        (None, True),
    )
)
SORT_KEYS = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
)
START = datetime.datetime(2024, 2, 3, 4, 5, 6)


class ListModel:
    """The catalogue in Python: images and the state of memberships by (image, project)."""

    def __init__(self):
        self.images = []
        self.members = {}

    def page(self, ctx, query):
        """The images that the DAL must answer with."""
        wanted = [
            i for i in self.images if self._in_scope(ctx, query, i) and self._matches(query, i)
        ]
        for key, way in reversed(query.sort):
            wanted.sort(
                key=lambda i, key=key: (getattr(i, key) is not None, getattr(i, key)),
                reverse=way == "desc",
            )
        if query.marker:
            # The marker itself need not be in the list; it only has a place in the order.
            marker = next(i for i in self.images if i.id == query.marker)
            wanted = [i for i in wanted if self._comes_after(query.sort, marker, i)]
        return wanted[: query.limit]

    def _in_scope(self, ctx, query, image):
        visibility, mine = image.visibility, image.owner == ctx.project_id is not None
        state = self.members.get((image.id, ctx.project_id))
        if ctx.is_admin:
            if query.visibility is None:
                return visibility != "community" or mine
            return query.visibility in ("all", visibility)
        shared = (
            visibility == "shared" and state is not None and (query.member_status in ("all", state))
        )
        seen = mine or visibility in ("public", "community") or shared
        if query.visibility is None:
            return seen and (visibility != "community" or mine)
        return seen and query.visibility in ("all", visibility)

    @staticmethod
    def _matches(query, image):
        def compares(f):
            value = getattr(image, f.field)
            if f.field == "size" and image.status == "saving":
                value = None  # nobody knows it yet
            if f.op == "in":
                return value in f.value
            return value is not None and getattr(
                operator, {"neq": "ne", "gte": "ge", "lte": "le"}.get(f.op, f.op)
            )(value, f.value)

        return (
            image.os_hidden == query.os_hidden
            and image.status not in ("killed", "deleted")
            and all(map(compares, query.filters))
            and set(query.tags) <= set(image.tags)
            and all(image.properties.get(k) == v for k, v in query.properties)
        )

    @staticmethod
    def _comes_after(sort, marker, image):
        for key, way in sort:
            a, b = getattr(marker, key), getattr(image, key)
            if a != b:
                less = (
                    (a is not None, a or 0) < (b is not None, b or 0)
                    if a is None or b is None
                    else a < b
                )
                return less == (way == "asc")
        return False


class ListCases:
    COUNT = 120
    starts_empty = False
    #: What is in the database of the class, and the state of ``random`` after it was put there;
    #: None: something else may be there.
    catalogue = None

    def setUp(self):
        super().setUp()
        self.random = random.Random(2024)
        if self.catalogue is None:
            self.empty()
            self.model = ListModel()
            for _ in range(self.COUNT):
                self.add(self.random_image())
            type(self).catalogue = copy.deepcopy(self.model), self.random.getstate()
        model, state = self.catalogue
        self.model = copy.deepcopy(model)
        self.random.setstate(state)

    def will_change_the_catalogue(self):
        """The next case begins with a new one; cases that only read share theirs."""
        type(self).catalogue = None

    def add(self, image):
        ctx = caller(image.owner)
        created = self.direct.images.create(ctx, image)
        self.model.images.append(created)
        for project in PROJECTS:
            if self.random.random() < 0.4:
                member = self.direct.members.create(ctx, image.id, project)
                state = self.random.choice(("pending", "accepted", "rejected"))
                self.direct.members.update(ctx, member, state)
                self.model.members[image.id, project] = state
        return created

    def random_image(self):
        pick = self.random.choice
        created = START + datetime.timedelta(seconds=self.random.randrange(20))
        return Image(
            str(uuid.UUID(int=self.random.getrandbits(128))),
            name=pick((None, "", "alpha", "beta", "gamma")),
            owner=pick((*PROJECTS, None)),
            visibility=pick(VISIBILITIES),
            status=pick(("queued", "active", "killed", "saving")),
            size=pick((None, 0, 1, 2**33)),
            disk_format=pick((None, "raw", "qcow2")),
            container_format=pick((None, "bare")),
            min_ram=pick((0, 512)),
            protected=pick((True, False)),
            os_hidden=self.random.random() < 0.15,
            created_at=created,
            updated_at=created + datetime.timedelta(seconds=pick((0, 5))),
            tags=self.random.sample(("a", "b", "c"), self.random.randrange(4)),
            properties={k: pick("xy") for k in ("k", "l") if self.random.random() < 0.6},
        )

    def check(self, ctx, **wanted):
        """Walk through all pages of a query and compare each with the model."""
        query = ImageQuery(**{"limit": 1000, **wanted})
        while True:
            expected = self.model.page(ctx, query)
            page = self.repositories.images.list(ctx, query)
            self.assertEqual(
                [i.id for i in expected],
                [i.id for i in page.images],
                (ctx.project_id, ctx.is_admin, query),
            )
            self.assertEqual(len(expected) == query.limit, page.full)
            if not page.full:
                return
            query = ImageQuery(**{**wanted, "marker": page.images[-1].id})

    def order(self, *keys):
        """A complete order: the keys, then created_at and id, in random directions."""
        rest = [key for key in ("created_at", "id") if key not in keys]
        return tuple((key, self.random.choice(("asc", "desc"))) for key in (*keys, *rest))

    def test_scope(self):
        for ctx, visibility, state in itertools.product(
            CALLERS, (None, "all", *VISIBILITIES), ("accepted", "pending", "rejected", "all")
        ):
            self.check(ctx, visibility=visibility, member_status=state)

    def test_what_is_seen_by_id_is_what_may_be_a_marker(self):
        for ctx, image in itertools.product(CALLERS, self.model.images):
            seen = self.direct.images.get(ctx, image.id)
            page = ImageQuery(marker=image.id, limit=0)
            if is_visible(ctx, seen):
                self.assertEqual([], self.repositories.images.list(ctx, page).images)
            else:
                self.assertRaises(errors.MarkerForbidden, self.repositories.images.list, ctx, page)

    def test_a_marker_must_exist(self):
        self.will_change_the_catalogue()
        gone = self.model.images[0]
        self.direct.images.delete(caller("p1"), gone)
        for marker in (gone.id, str(uuid.uuid4()), "", "x" * 300):
            self.assertRaises(
                errors.MarkerNotFound,
                self.repositories.images.list,
                caller("admin", True),
                ImageQuery(marker=marker),
            )

    def test_a_marker_need_not_be_in_the_list(self):
        for ctx in CALLERS:
            for image in self.model.images[:20]:
                if is_visible(ctx, self.direct.images.get(ctx, image.id)):
                    self.check(ctx, marker=image.id, filters=(Filter("status", "eq", "active"),))

    def test_every_order_and_page_size(self):
        for ctx, key, limit in itertools.product(
            (caller("p1"), caller("stranger"), caller("admin", True)), SORT_KEYS, (1, 7, 500)
        ):
            if limit > 1 or key in ("name", "created_at"):
                self.check(ctx, sort=self.order(key), limit=limit)
        self.check(caller("p1"), sort=self.order("name", "size"), limit=5)
        self.check(caller("admin", True), sort=self.order("disk_format", "status", "size"), limit=5)

    def test_pages_that_are_found_at_the_beginning_of_the_catalogue(self):
        self.patch(list_shape, "WINDOW_SIZE", 12)
        for ctx, key, limit, visibility in itertools.product(
            CALLERS, ("created_at", "updated_at"), (1, 3, 6), (None, "shared")
        ):
            self.check(ctx, sort=self.order(key), limit=limit, visibility=visibility)

    def test_times_that_are_not_known(self):
        """The column allows null, and rows that others wrote may have it."""
        self.will_change_the_catalogue()
        forget = images.update().values(updated_at=None)
        for image in self.random.sample(self.model.images, 30):
            self.execute(forget.where(images.c.id == image.id))
            image.updated_at = None
        for window, ctx, way, limit in itertools.product(
            (list_shape.WINDOW_SIZE, 12), CALLERS, ("asc", "desc"), (1, 4, 500)
        ):
            self.patch(list_shape, "WINDOW_SIZE", window)
            if limit > 1 or ctx.project_id == "p1":
                self.check(ctx, sort=(("updated_at", way), *self.order("created_at")), limit=limit)
        self.check(caller("p1"), sort=self.order("name", "updated_at"), limit=3)
        self.check(
            caller("p1", True),
            sort=self.order("updated_at"),
            limit=3,
            filters=(Filter("status", "eq", "active"),),
        )

    def test_filters(self):
        middle = START + datetime.timedelta(seconds=10)
        comparisons = [
            Filter("name", "eq", "alpha"),
            Filter("name", "eq", ""),
            Filter("name", "in", ("alpha", "gamma", "no")),
            Filter("status", "eq", "active"),
            Filter("status", "in", ("queued", "killed")),
            Filter("disk_format", "eq", "raw"),
            Filter("id", "in", tuple(i.id for i in self.model.images[:9])),
            Filter("id", "eq", self.model.images[3].id),
            Filter("owner", "eq", "p2"),
            Filter("size", "gte", 1),
            Filter("size", "lte", 1),
            Filter("size", "eq", 2**33),
            Filter("size", "gte", 10**30),
            Filter("size", "lte", 10**30),
            Filter("size", "eq", -(10**30)),
            Filter("min_ram", "eq", 10**10),
            Filter("min_ram", "gte", 1),
            Filter("protected", "eq", True),
            *(Filter("created_at", op, middle) for op in ("eq", "neq", "gt", "gte", "lt", "lte")),
            Filter("updated_at", "gt", middle),
            Filter("checksum", "eq", "none"),
        ]
        for ctx in CALLERS:
            for comparison in comparisons:
                self.check(ctx, filters=(comparison,))
            for pair in itertools.combinations(comparisons[::3], 2):
                self.check(ctx, filters=pair, visibility="all", limit=4)

    def test_tags_and_properties(self):
        for ctx, tags, properties in itertools.product(
            CALLERS,
            ((), ("a",), ("a", "b"), ("no",)),
            ((), (("k", "x"),), (("k", "x"), ("l", "y")), (("k", "no"),)),
        ):
            self.check(ctx, tags=tags, properties=properties)

    def test_more_tags_and_properties_than_a_planner_likes(self):
        """Beyond the first ones they are one condition together; they mean the same."""
        self.will_change_the_catalogue()
        ctx = caller("p1")
        names = [f"n{n}" for n in range(list_filters.MAX_SUBQUERIES + 2)]
        for left_out in (None, *names):
            have = [name for name in names if name != left_out]
            self.add(
                Image(
                    str(uuid.uuid4()),
                    owner="p1",
                    visibility="private",
                    created_at=START,
                    updated_at=START,
                    tags=have,
                    properties={name: f"v {name}" for name in have},
                )
            )
        properties = [(name, f"v {name}") for name in names]
        for wanted in (
            {"tags": tuple(names)},
            {"properties": tuple(properties)},
            {"tags": tuple(names[::-1]), "properties": tuple(properties[::-1])},
            {"tags": (*names, "no")},
            {"properties": (*properties, ("no", "v"))},
            {"properties": (*properties[:-1], (names[-1], "no"))},
            {"tags": tuple(names), "sort": self.order("name")},
        ):
            self.check(ctx, **wanted)
            self.check(caller("admin", True), **wanted)
        with self.database.engine.connect() as connection:
            page = list_query.fetch_page(
                connection, ctx, ImageQuery(tags=tuple(names), properties=tuple(properties)), None
            )
        self.assertEqual(1, len(page))

    def test_many_conditions_are_planned_in_no_time(self):
        """A planner that tries all orders of a join does not end in the life of a server."""
        patience = {
            "postgresql": "SET statement_timeout = '20s'",
            "mysql": "SET max_statement_time = 20",
        }.get(self.database.dialect)
        for ctx in (caller("p1"), caller("admin", True)):
            with self.database.engine.connect() as connection:
                connection.detach()  # it is not given to anybody else
                if patience:
                    connection.exec_driver_sql(patience)
                query = ImageQuery(
                    tags=tuple(f"t{n}" for n in range(200)),
                    properties=tuple((f"p{n}", "v") for n in range(50)),
                )
                self.assertEqual([], list_query.fetch_page(connection, ctx, query, None))

    def test_hidden_images(self):
        for ctx in CALLERS:
            self.check(ctx, os_hidden=True)

    def test_deleted_children_do_not_count(self):
        self.will_change_the_catalogue()
        ctx = caller("p1")
        for image in self.model.images[:40]:
            self.direct.images.delete(ctx, image)
        del self.model.images[:40]
        self.check(ctx, tags=("a",))
        for (image_id, project), state in list(self.model.members.items()):
            if state == "accepted" and project == "p2":
                for member in self.direct.members.find(ctx, image_id, "p2"):
                    self.direct.members.delete(ctx, member)
                del self.model.members[image_id, project]
        self.check(caller("p2"))

    def test_images_of_a_list_are_whole(self):
        ctx = caller("p2")
        page = self.repositories.images.list(ctx, ImageQuery(limit=1000, visibility="all"))
        for image in page.images:
            image.tags.sort()
            alone = self.repositories.images.get(ctx, image.id)
            alone.tags.sort()
            self.assertEqual(alone, image)

    def test_an_empty_page(self):
        page = self.repositories.images.list(caller("p1"), ImageQuery(limit=0))
        self.assertEqual(([], False), (page.images, page.full))
