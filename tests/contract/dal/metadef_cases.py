"""What a DAL must do with metadata namespaces, what lies in them, and the catalogue as a whole."""

import contextlib
import dataclasses
import threading

import sqlalchemy as sa

from glance_py.db import metadef_bulk
from glance_py.db.tables import metadef_namespace_resource_types, metadef_namespaces
from glance_py.domain import errors
from glance_py.domain.metadef import (
    KINDS,
    Association,
    Listing,
    Namespace,
    NamespaceQuery,
    Object,
    Property,
    Tag,
)
from tests.contract.dal.backends import caller

ADMIN = caller("admin", is_admin=True)
SCHEMA = {"title": "T", "type": "string", "default": 3, "description": "日本 \U0001f600"}


def full(name="N", owner="p1", **fields):
    """A namespace with something of every kind."""
    return Namespace(
        name,
        owner,
        contents={
            Association: [
                Association("T1", prefix="x_"),
                Association("T2", properties_target="image"),
            ],
            Object: [
                Object("o2"),
                Object("o1", description="d", required=["q", "r"], properties={"q": SCHEMA}),
            ],
            Tag: [Tag("b"), Tag("a")],
            Property: [Property("z", schema=SCHEMA), Property("y", schema={"type": "integer"})],
        },
        **fields,
    )


class _Cases:
    def setUp(self):
        super().setUp()
        metadef_bulk.delete_all(self.database)
        self.namespaces, self.definitions = (
            self.repositories.namespaces,
            self.repositories.definitions,
        )

    def names(self, ctx=ADMIN, visibility=None, resource_types=None, **listing):
        query = NamespaceQuery(Listing(**{"limit": 100, **listing}), visibility, resource_types)
        return [each.name for each in self.namespaces.list(ctx, query).namespaces]

    def held(self, namespace, kind):
        return [each.name for each in self.definitions.list(ADMIN, namespace, kind)]

    @contextlib.contextmanager
    def statements(self):
        """The statements that run inside the block."""
        seen = []

        def note(connection, cursor, statement, *rest):
            seen.append(statement)

        sa.event.listen(self.database.engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            sa.event.remove(self.database.engine, "before_cursor_execute", note)


class NamespaceCases(_Cases):
    def test_a_namespace_comes_back_with_everything_in_it(self):
        created = self.namespaces.create(
            ADMIN, full(display_name="n", description="d", visibility="public", protected=True)
        )
        found = self.namespaces.get(ADMIN, "N")
        self.assertEqual(
            dataclasses.replace(created, contents={}), dataclasses.replace(found, contents={})
        )
        self.assertIsNotNone(found.created_at)
        contents = {kind: [each.name for each in those] for kind, those in found.contents.items()}
        self.assertEqual(
            {
                Association: ["T1", "T2"],
                Object: ["o1", "o2"],
                Tag: ["a", "b"],
                Property: ["y", "z"],
            },
            contents,
        )
        one = found.contents[Object][0]
        self.assertEqual(
            ("d", ["q", "r"], {"q": SCHEMA}), (one.description, one.required, one.properties)
        )
        self.assertEqual(
            ([], {}), (found.contents[Object][1].required, found.contents[Object][1].properties)
        )
        self.assertEqual(SCHEMA, found.contents[Property][1].schema)
        self.assertEqual(
            ("x_", None),
            (
                found.contents[Association][0].prefix,
                found.contents[Association][0].properties_target,
            ),
        )
        self.assertEqual(
            dataclasses.replace(found, contents={}), self.namespaces.resolve(ADMIN, "N")
        )

    def test_what_a_tool_left_open_has_its_usual_value(self):
        self.execute(
            metadef_namespaces.insert(),
            {"namespace": "bare", "owner": "p1", "created_at": self.database.now()},
        )
        found = self.namespaces.resolve(ADMIN, "bare")
        self.assertEqual(
            ("private", False, None), (found.visibility, found.protected, found.updated_at)
        )
        self.assertEqual(["bare"], self.names(visibility="private"))

    def test_a_name_that_is_taken_changes_nothing(self):
        self.namespaces.create(ADMIN, Namespace("N", "p1"))
        self.assertRaises(errors.Duplicate, self.namespaces.create, ADMIN, full())
        twice = Namespace("M", "p1", contents={Tag: [Tag("new")], Object: [Object("o")] * 2})
        self.assertRaises(errors.Duplicate, self.namespaces.create, ADMIN, twice)
        self.assertEqual(["N"], self.names())
        self.assertEqual([], self.held(self.namespaces.resolve(ADMIN, "N"), Tag))

    def test_update_replaces_the_namespace_and_leaves_its_contents(self):
        before = self.namespaces.create(ADMIN, full(description="d", visibility="public"))
        after = self.namespaces.update(ADMIN, before, Namespace("M", "p2", protected=True))
        found = self.namespaces.get(ADMIN, "M")
        self.assertEqual(after, dataclasses.replace(found, contents={}))
        self.assertEqual(
            (None, "private", True, "p2", before.created_at),
            (found.description, found.visibility, found.protected, found.owner, found.created_at),
        )
        self.assertEqual(set(KINDS), found.contents.keys())
        self.assertRaises(errors.NamespaceNotFound, self.namespaces.resolve, ADMIN, "N")
        other = self.namespaces.create(ADMIN, Namespace("N", "p1"))
        self.assertRaises(errors.Duplicate, self.namespaces.update, ADMIN, other, found)

    def test_delete_takes_everything_along_but_resource_types(self):
        namespace = self.namespaces.create(ADMIN, full())
        self.namespaces.delete(ADMIN, namespace)
        self.assertEqual([], self.names())
        for kind in KINDS:
            self.assertEqual([], self.direct.definitions.list(ADMIN, namespace, kind))
        self.assertEqual(
            ["T1", "T2"], [each.name for each in self.namespaces.resource_types(ADMIN)]
        )
        self.assertRaises(errors.NamespaceNotFound, self.namespaces.delete, ADMIN, namespace)
        self.assertRaises(
            errors.NamespaceNotFound, self.namespaces.update, ADMIN, namespace, Namespace("N", "p1")
        )
        self.assertRaises(
            errors.NamespaceNotFound, self.definitions.create, ADMIN, namespace, Tag("late")
        )

    def test_lists_show_own_and_public_ones(self):
        for name, owner, visibility in (
            ("a", "p1", "private"),
            ("b", "p1", "public"),
            ("c", "p2", "private"),
        ):
            self.namespaces.create(ADMIN, Namespace(name, owner, visibility=visibility))
        by_name = {"sort_key": "namespace", "sort_dir": "asc"}
        self.assertEqual(["a", "b", "c"], self.names(**by_name))
        self.assertEqual(["a", "b"], self.names(caller("p1"), **by_name))
        self.assertEqual(["b", "c"], self.names(caller("p2"), **by_name))
        self.assertEqual(["c"], self.names(caller("p2"), visibility="private"))
        self.assertEqual(["b"], self.names(caller(None)))
        self.assertEqual([], self.names(visibility=""))
        self.assertEqual(["b"], self.names(caller("p2"), marker="c"))
        self.assertRaises(errors.MarkerForbidden, self.names, caller("p2"), marker="a")
        self.assertRaises(errors.NamespaceNotFound, self.names, marker="unknown")

    def test_lists_by_resource_type(self):
        for name, types in (("a", ["T1"]), ("b", ["T1", "T2"]), ("c", [])):
            self.namespaces.create(
                ADMIN,
                Namespace(
                    name, "p1", contents={Association: [Association(each) for each in types]}
                ),
            )
        self.assertEqual(["b", "a"], self.names(resource_types=("T1", "T2")))
        self.assertEqual(["b"], self.names(resource_types=("T2", "unknown")))
        self.assertEqual([], self.names(resource_types=("",)))
        page = self.namespaces.list(ADMIN, NamespaceQuery(Listing(limit=100)))
        self.assertEqual(
            [[], ["T1", "T2"], ["T1"]],
            [
                [each.name for each in namespace.contents.get(Association, ())]
                for namespace in page.namespaces
            ],
        )

    def test_pages_are_complete_in_every_order(self):
        for number in range(7):
            self.namespaces.create(
                ADMIN,
                Namespace(
                    f"n{number}",
                    "p1",
                    display_name=[None, "x", "y"][number % 3],
                    description=None if number % 2 else "d",
                    protected=number > 3,
                ),
            )
        for key in (
            "namespace",
            "display_name",
            "description",
            "visibility",
            "protected",
            "owner",
            "created_at",
            "updated_at",
            "id",
        ):
            for way in ("asc", "desc"):
                whole = self.names(sort_key=key, sort_dir=way)
                self.assertEqual(7, len(whole))
                seen, marker = [], None
                while part := self.names(sort_key=key, sort_dir=way, limit=2, marker=marker):
                    seen += part
                    marker = part[-1]
                self.assertEqual(whole, seen, (key, way))

    def test_a_page_says_whether_another_may_follow(self):
        for name in ("a", "b"):
            self.namespaces.create(ADMIN, Namespace(name, "p1"))
        for limit, full_page in ((1, True), (2, True), (3, False), (0, False)):
            page = self.namespaces.list(ADMIN, NamespaceQuery(Listing(limit=limit)))
            self.assertEqual((min(limit, 2), full_page), (len(page.namespaces), page.full))

    def test_a_thousand_namespaces_cost_three_statements(self):
        now = self.database.now()
        self.namespaces.create(ADMIN, full())
        self.execute(
            metadef_namespaces.insert(),
            [
                {"namespace": f"n{number}", "owner": "p1", "created_at": now}
                for number in range(999)
            ],
        )
        types = sa.select(metadef_namespace_resource_types.c.resource_type_id)
        one = self.execute(types)[0][0]
        self.execute(
            metadef_namespace_resource_types.insert(),
            [
                {"namespace_id": row.id, "resource_type_id": one, "created_at": now}
                for row in self.execute(
                    sa.select(metadef_namespaces.c.id).where(metadef_namespaces.c.namespace != "N")
                )
            ],
        )
        with self.statements() as seen:
            page = self.namespaces.list(ADMIN, NamespaceQuery(Listing(limit=1000)))
        self.assertEqual(1000, len(page.namespaces))
        self.assertTrue(all(each.contents[Association] for each in page.namespaces))
        self.assertLessEqual(len(seen), 3)

    def test_a_namespace_costs_five_statements_however_full(self):
        self.namespaces.create(
            ADMIN,
            Namespace("N", "p1", contents={Tag: [Tag(f"t{number}") for number in range(300)]}),
        )
        with self.statements() as seen:
            self.assertEqual(300, len(self.namespaces.get(ADMIN, "N").contents[Tag]))
        self.assertEqual(5, len(seen))

    def test_writers_at_once_agree_on_a_new_resource_type(self):
        failures = []

        def create(number):
            try:
                self.namespaces.create(
                    ADMIN,
                    Namespace(
                        f"n{number}",
                        "p1",
                        contents={
                            Association: [Association("same"), Association(f"own{number % 2}")]
                        },
                    ),
                )
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], failures)
        self.assertEqual(
            {"same", "own0", "own1"}, {each.name for each in self.namespaces.resource_types(ADMIN)}
        )
        self.assertEqual(6, len(self.names(resource_types=("same",))))


class DefinitionCases(_Cases):
    def setUp(self):
        super().setUp()
        self.namespace = self.namespaces.create(ADMIN, Namespace("N", "p1"))
        self.other = self.namespaces.create(ADMIN, full("M"))

    def samples(self):
        return (
            Object("a", description="d", required=["q"], properties={"q": SCHEMA}),
            Property("a", schema=SCHEMA),
            Tag("a"),
            Association("a", prefix="p_"),
        )

    def test_each_kind_is_made_found_and_removed(self):
        for sample in self.samples():
            kind = type(sample)
            created = self.definitions.create(ADMIN, self.namespace, sample)
            self.assertEqual(created, self.definitions.get(ADMIN, self.namespace, kind, "a"))
            self.assertEqual([created], self.definitions.list(ADMIN, self.namespace, kind))
            self.assertRaises(
                errors.Duplicate, self.definitions.create, ADMIN, self.namespace, sample
            )
            self.assertEqual(created, self.definitions.delete(ADMIN, self.namespace, kind, "a"))
            for operation in (self.definitions.get, self.definitions.delete):
                self.assertRaises(
                    errors.DefinitionNotFound, operation, ADMIN, self.namespace, kind, "a"
                )
            self.assertEqual(2, len(self.held(self.other, kind)), "another namespace's")

    def test_update_renames_and_replaces(self):
        for sample in self.samples()[:3]:
            kind = type(sample)
            created = self.definitions.create(ADMIN, self.namespace, sample)
            self.definitions.create(ADMIN, self.namespace, kind("taken"))
            after = self.definitions.update(ADMIN, self.namespace, "a", kind("b"))
            self.assertEqual(created.created_at, after.created_at)
            self.assertEqual({"b", "taken"}, set(self.held(self.namespace, kind)))
            self.assertRaises(
                errors.Duplicate, self.definitions.update, ADMIN, self.namespace, "b", kind("taken")
            )
            self.assertRaises(
                errors.DefinitionNotFound,
                self.definitions.update,
                ADMIN,
                self.namespace,
                "a",
                kind("c"),
            )
            same = self.definitions.update(ADMIN, self.namespace, "b", kind("b"))
            self.assertEqual("b", same.name)

    def test_several_tags_come_beside_the_others_or_instead(self):
        def put(append, *names):
            return self.definitions.create_all(
                ADMIN, self.namespace, Tag, [Tag(name) for name in names], append
            )

        self.assertEqual(["b", "a"], [tag.name for tag in put(False, "b", "a")])
        put(True, "c")
        self.assertEqual(["c", "a", "b"], self.held(self.namespace, Tag), "newest first")
        for append, names in ((True, ("d", "a")), (True, ("d", "d")), (False, ("d", "d"))):
            self.assertRaises(errors.Duplicate, put, append, *names)
        self.assertEqual(["c", "a", "b"], self.held(self.namespace, Tag), "whole or not at all")
        put(False, "d", "a")
        self.assertEqual(["a", "d"], self.held(self.namespace, Tag))

    def test_clear_takes_one_kind(self):
        for kind in (Object, Property, Tag):
            self.definitions.clear(ADMIN, self.other, kind)
            self.assertEqual([], self.held(self.other, kind))
            self.definitions.clear(ADMIN, self.other, kind)
        self.assertEqual(["T1", "T2"], self.held(self.other, Association))

    def test_parts_of_a_list_of_tags(self):
        def part(**listing):
            return [
                tag.name
                for tag in self.definitions.list(ADMIN, self.namespace, Tag, Listing(**listing))
            ]

        self.definitions.create_all(
            ADMIN, self.namespace, Tag, [Tag(name) for name in "mzak"], append=True
        )
        self.assertEqual(list("kazm"), part())
        self.assertEqual(list("akmz"), part(sort_key="name", sort_dir="asc"))
        self.assertEqual(list("az"), part(limit=2, marker="k"))
        self.assertEqual(list("ka"), part(sort_key="name", marker="m"))
        self.assertEqual([], part(limit=0))
        self.assertRaises(errors.DefinitionNotFound, part, marker="unknown")
        self.assertRaises(errors.DefinitionNotFound, part, marker="b")


class MetadefBulkCases(_Cases):
    """Filling the catalogue from files, as a tool does it."""

    def store(self, namespace, existing=metadef_bulk.SKIP):
        return metadef_bulk.import_namespace(self.database, namespace, existing)

    def newer(self):
        return Namespace(
            "N",
            "p2",
            display_name="new",
            contents={
                Association: [Association("T2", prefix="new_")],
                Object: [Object("o3")],
                Property: [Property("z", schema={"type": "boolean"})],
                Tag: [Tag("c")],
            },
        )

    def test_what_is_not_there_is_loaded_and_comes_out_again(self):
        self.assertEqual("loaded", self.store(full("B")))
        self.assertEqual("loaded", self.store(full("A")))
        found = list(metadef_bulk.export_namespaces(self.database))
        self.assertEqual(["A", "B"], [each.name for each in found])
        self.assertEqual([self.namespaces.get(ADMIN, name) for name in "AB"], found)
        self.assertIsNone(found[0].updated_at)

    def test_what_is_there_is_skipped_unless_asked_for_more(self):
        self.store(full())
        before = self.namespaces.get(ADMIN, "N")
        self.assertEqual("skipped", self.store(self.newer()))
        self.assertEqual(before, self.namespaces.get(ADMIN, "N"))

    def test_adding_keeps_what_is_there(self):
        self.store(full())
        self.assertEqual("merged", self.store(self.newer(), metadef_bulk.MERGE))
        found = self.namespaces.get(ADMIN, "N")
        self.assertEqual((None, "p1"), (found.display_name, found.owner))
        self.assertEqual({"o1", "o2", "o3"}, set(self.held(found, Object)))
        self.assertEqual({"a", "b", "c"}, set(self.held(found, Tag)))
        self.assertEqual(SCHEMA, self.definitions.get(ADMIN, found, Property, "z").schema)
        self.assertIsNone(self.definitions.get(ADMIN, found, Association, "T2").prefix)

    def test_the_new_may_be_preferred(self):
        self.store(full())
        self.assertEqual("merged", self.store(self.newer(), metadef_bulk.PREFER_NEW))
        found = self.namespaces.get(ADMIN, "N")
        self.assertEqual(("new", "p2"), (found.display_name, found.owner))
        self.assertEqual(
            {"type": "boolean"}, self.definitions.get(ADMIN, found, Property, "z").schema
        )
        self.assertEqual("new_", self.definitions.get(ADMIN, found, Association, "T2").prefix)
        self.assertEqual({"y", "z"}, set(self.held(found, Property)))

    def test_the_new_may_take_the_place_of_the_old(self):
        self.store(full())
        self.assertEqual("overwritten", self.store(self.newer(), metadef_bulk.OVERWRITE))
        found = self.namespaces.get(ADMIN, "N")
        self.assertEqual(
            {Association: 1, Object: 1, Property: 1, Tag: 1},
            {kind: len(those) for kind, those in found.contents.items()},
        )

    def test_all_of_it_can_be_removed(self):
        self.store(full())
        removed = metadef_bulk.delete_all(self.database)
        self.assertEqual(
            (1, 2, 2),
            (
                removed["metadef_namespaces"],
                removed["metadef_tags"],
                removed["metadef_resource_types"],
            ),
        )
        self.assertEqual([], list(metadef_bulk.export_namespaces(self.database)))
        self.assertEqual([], self.namespaces.resource_types(ADMIN))
