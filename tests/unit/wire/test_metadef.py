"""Metadata definitions on the wire: what is refused, how it is shown, what lists ask for."""

import datetime
import unittest

import orjson

from glance_py.domain import errors
from glance_py.domain.metadef import Association, Namespace, Object, Property, ResourceType, Tag
from glance_py.wire import metadef_dump as dump
from glance_py.wire import metadef_load as load
from glance_py.wire import metadef_query as query
from tests.unit.factories import make_member

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678)


def body(**document):
    return orjson.dumps(document)


class LoadTest(unittest.TestCase):
    def setUp(self):
        """The compiled checks are made again, so that each test depends on them."""
        load._resource_check.cache_clear()
        load._property_check.cache_clear()

    def namespace(self, **document):
        return load.load_namespace(make_member("p1"), body(namespace="N", **document))

    def test_a_namespace_has_its_usual_values_and_no_contents(self):
        self.assertEqual(Namespace("N", "p1"), self.namespace())
        self.assertEqual({Tag: [], Property: []}, self.namespace(tags=[], properties={}).contents)

    def test_a_namespace_with_its_contents(self):
        found = self.namespace(
            owner="p2",
            visibility="public",
            protected=True,
            resource_type_associations=[{"name": "T", "prefix": "x_"}],
            objects=[
                {
                    "name": "o",
                    "required": ["q"],
                    "properties": {"q": {"title": "Q", "type": "string"}},
                }
            ],
            properties={"p": {"title": "P", "type": "integer", "minimum": 1}},
            tags=[{"name": "b"}, {"name": "a"}],
        )
        self.assertEqual(("p2", "public", True), (found.owner, found.visibility, found.protected))
        self.assertEqual(
            {
                Association: [Association("T", prefix="x_")],
                Object: [
                    Object("o", required=["q"], properties={"q": {"title": "Q", "type": "string"}})
                ],
                Property: [Property("p", schema={"title": "P", "type": "integer", "minimum": 1})],
                Tag: [Tag("b"), Tag("a")],
            },
            found.contents,
        )

    def test_an_answer_can_be_sent_as_a_request(self):
        found = self.namespace(
            objects=[
                {"name": "o", "created_at": "x", "updated_at": "x", "self": "x", "schema": "x"}
            ]
        )
        self.assertEqual([Object("o")], found.contents[Object])

    def test_what_makes_no_sense_is_refused(self):
        for wrong in (
            {"owner": None},
            {"description": "d" * 501},
            {"display_name": "d" * 81},
            {"visibility": "shared"},
            {"protected": "yes"},
            {"unknown": 1},
            {"tags": [{}]},
            {"tags": [{"name": "t" * 81}]},
            {"tags": [{"name": "t", "x": 1}]},
            {"tags": ["t"]},
            {"objects": [{}]},
            {"objects": [{"name": "o", "x": 1}]},
            {"objects": [{"name": "o" * 81}]},
            {"objects": [{"name": "o", "required": ["a", "a"]}]},
            {"objects": [{"name": "o", "required": ["a,b"]}]},
            {"objects": [{"name": "o", "properties": {"q": {"type": "string"}}}]},
            {"resource_type_associations": [{}]},
            {"resource_type_associations": [{"name": "T", "prefix": None}]},
            {"properties": {"p": {}}},
            {"properties": {"p" * 81: {"title": "", "type": "array"}}},
            {"properties": {"p": {"title": "", "type": "nope"}}},
            {"properties": {"p": {"title": "", "type": "string", "x": 1}}},
            {"description": "\U0001f600"},
            {"owner": "\x00"},
            {"display_name": "\x00"},
            {"objects": [{"name": "\x00"}]},
            {"objects": [{"name": "o", "required": ["\x00"]}]},
            {"objects": [{"name": "o", "required": [""]}]},
            {"objects": [{"name": "o", "description": "\x00"}]},
            {"objects": [{"name": "o", "properties": {"q": {"title": "", "type": 5}}}]},
            {
                "objects": [
                    {"name": "o", "properties": {"q": {"title": "", "type": "string", "enum": [1]}}}
                ]
            },
            {"resource_type_associations": [{"name": "T", "prefix": "\x00"}]},
            {"resource_type_associations": [{"name": "T", "properties_target": "\x00"}]},
            {"tags": [{"name": "\x00"}]},
            {"properties": {"\x00": {"title": "", "type": "string"}}},
            {"properties": {"p": {"title": "", "type": "string", "confidential": 1}}},
        ):
            with self.subTest(wrong):
                self.assertRaises(errors.Invalid, self.namespace, **wrong)
        for document in (
            b"",
            b"[]",
            b"{",
            b'"x"',
            body(),
            body(namespace=5),
            body(namespace="n" * 81),
        ):
            self.assertRaises(errors.Invalid, load.load_namespace, make_member(), document)

    def test_what_only_the_service_writes_is_refused_first(self):
        for name in ("created_at", "updated_at", "self", "schema"):
            self.assertRaises(
                errors.ReadOnlyAttribute,
                load.load_namespace,
                make_member(),
                body(unknown=1, **{name: 1}),
            )
            self.assertRaises(errors.ReadOnlyAttribute, load.load_object, body(**{name: 1}))
        for read in (load.load_property, load.load_tag, load.load_association):
            for name in ("created_at", "updated_at"):
                self.assertRaises(errors.ReadOnlyAttribute, read, body(**{name: "x"}))

    def test_a_property_says_what_it_likes_of_what_there_is_to_say(self):
        schema = {
            "name": "p",
            "title": "P",
            "type": "array",
            "operators": ["<in>"],
            "readonly": True,
            "items": {"type": "string", "enum": ["a"]},
            "minItems": 0,
            "uniqueItems": True,
            "enum": ["a", None],
            "default": ["a"],
            "pattern": "(",
        }
        self.assertEqual(Property("p", schema=schema), load.load_property(body(**schema)))
        for wrong in (
            {"enum": [1]},
            {"enum": [[]]},
            {"items": {}},
            {"items": {"enum": ["a"]}},
            {"items": {"type": "string", "title": "x"}},
            {"required": ["x"]},
            {"items": {"type": "integer", "enum": [5]}},
            {"minLength": -1},
            {"minimum": "1"},
            {"minimum": 1e300},
            {"maximum": 2**63},
            {"operators": [1]},
            {"title": None},
            {"name": 5},
            {"name": "p" * 81},
            {"items": {"type": "nope"}},
        ):
            with self.subTest(wrong):
                self.assertRaises(
                    errors.Invalid,
                    load.load_property,
                    body(**{"name": "p", "title": "P", "type": "string", **wrong}),
                )

    def test_the_document_of_a_file(self):
        found = load.load_namespace_document({"namespace": "N", "owner": "o"}, "admin")
        self.assertEqual(Namespace("N", "o"), found)
        for owner in ({}, {"owner": ""}):
            found = load.load_namespace_document({"namespace": "N", **owner}, "admin")
            self.assertEqual("admin", found.owner)
        for wrong in ({}, [], {"namespace": "N", "x": 1}, {"namespace": "N", "created_at": "x"}):
            with self.assertRaisesRegex(errors.Invalid, "^The namespace "):
                load.load_namespace_document(wrong, "admin")

    def test_one_of_each(self):
        schema = {"title": "T", "type": "string"}
        new = load.load_object(
            body(name="o", description="d", required=["q"], properties={"q": schema})
        )
        self.assertEqual(Object("o", None, None, "d", ["q"], {"q": schema}), new)
        self.assertEqual(Object("o"), load.load_object(body(name="o")))
        self.assertEqual(Tag("t"), load.load_tag(body(name="t")))
        self.assertEqual(
            Association("T", None, None, "p", "t"),
            load.load_association(body(name="T", prefix="p", properties_target="t")),
        )
        confidential = {**schema, "confidential": True}
        found = self.namespace(properties={"p": confidential})
        self.assertEqual([Property("p", schema=confidential)], found.contents[Property])
        self.assertRaises(errors.Invalid, load.load_property, body(name="p", **confidential))

    def test_bounds_of_numbers(self):
        for key in ("minimum", "maximum"):
            for value in (2**63 - 1, -(2**63) + 1):
                schema = {"name": "p", "title": "P", "type": "integer", key: value}
                self.assertEqual(value, load.load_property(body(**schema)).schema[key])
            for value in (2**63, -(2**63)):
                schema = {"name": "p", "title": "P", "type": "integer", key: value}
                with self.assertRaisesRegex(errors.Invalid, f"{key} of the property p does not"):
                    load.load_property(body(**schema))

    def test_tags(self):
        self.assertEqual(
            [Tag("a"), Tag("")], load.load_tags(body(tags=[{"name": "a"}, {"name": ""}]))
        )
        for wrong in (
            {},
            {"tags": "a"},
            {"tags": ["a"]},
            {"tags": [{"nome": "a"}]},
            {"tags": [], "x": 1},
            {"tags": [{"name": "a" * 81}]},
        ):
            self.assertRaises(errors.Invalid, load.load_tags, body(**wrong))
        self.assertEqual(Tag("a"), load.load_tag_name("a"))
        self.assertRaises(errors.Invalid, load.load_tag_name, "a" * 81)
        self.assertEqual(
            [*[True] * 6, False, False, False],
            [
                load.load_append(header)
                for header in (*("True", " yes ", "1", "t", "on", "Y"), "garbage", "", None)
            ],
        )

    def test_a_message_says_where_it_was_wrong_but_not_all_of_it(self):
        with self.assertRaises(errors.Invalid) as caught:
            self.namespace(
                objects=[{"name": "o", "properties": {"q": {"title": "Q", "type": "x" * 10000}}}]
            )
        self.assertIn("objects/0/properties/q/type", str(caught.exception))
        self.assertLess(len(str(caught.exception)), 400)


class DumpTest(unittest.TestCase):
    def setUp(self):
        self.namespace = Namespace(
            "N",
            "p1",
            created_at=NOW,
            contents={
                Association: [Association("T", prefix="x_"), Association("Bare")],
                Object: [Object("o", NOW, NOW, required=["q"], properties={"q": {"default": 1}})],
                Property: [Property("p", schema={"name": "p", "minimum": 0.5})],
                Tag: [Tag("t", NOW, NOW)],
            },
        )

    def test_what_is_not_there_is_left_out(self):
        self.assertEqual(
            {
                "namespace": "N",
                "owner": "p1",
                "visibility": "private",
                "protected": False,
                "self": "/v2/metadefs/namespaces/N",
                "schema": "/v2/schemas/metadefs/namespace",
            },
            dump.namespace_document(Namespace("N", "p1")),
        )

    def test_a_new_namespace_shows_empty_contents_as_they_were_sent(self):
        document = dump.namespace_document(
            Namespace("N", "p1", contents={Object: [Object("o")], Tag: [], Property: []})
        )
        self.assertEqual(
            ([{"name": "o"}], [], {}),
            (document["objects"], document["tags"], document["properties"]),
        )

    def test_names_get_the_prefix_of_a_resource_type(self):
        for resource_type, prefix in (("T", "x_"), ("Bare", ""), ("unknown", ""), ("", "")):
            document = dump.namespace_document(self.namespace, resource_type)
            self.assertEqual({f"{prefix}p": {"name": "p", "minimum": 0}}, document["properties"])
            [shown] = document["objects"]
            self.assertEqual(
                ([f"{prefix}q"], {f"{prefix}q": {"default": "1"}}),
                (shown["required"], shown["properties"]),
            )

    def test_schemas_are_shown_as_clients_know_them(self):
        for said, shown in (
            ({"default": 1.5}, {"default": "1.5"}),
            ({"default": False}, {"default": "False"}),
            ({"default": ["a"]}, {"default": None}),
            ({"default": ""}, {"default": ""}),
            ({"maximum": -1.5}, {"maximum": -1}),
            ({"maximum": 1e300}, {"maximum": 1e300}),
        ):
            self.assertEqual(
                {**shown, "name": "p"}, orjson.loads(dump.dump_property(Property("p", schema=said)))
            )

    def test_lists(self):
        objects = orjson.loads(dump.dump_objects(self.namespace, [Object("o", NOW, NOW)]))
        self.assertEqual("v2/schemas/metadefs/objects", objects["schema"])
        self.assertEqual(
            [
                {
                    "name": "o",
                    "created_at": "2026-01-02T03:04:05Z",
                    "updated_at": "2026-01-02T03:04:05Z",
                    "schema": "/v2/schemas/metadefs/object",
                    "self": "/v2/metadefs/namespaces/N/objects/o",
                }
            ],
            objects["objects"],
        )
        self.assertEqual(
            {"tags": [{"name": "t"}]}, orjson.loads(dump.dump_tags([Tag("t", NOW, NOW)]))
        )

    def test_a_file_can_be_loaded_again(self):
        schema = {"title": "T", "type": "integer", "default": 1}
        self.namespace.contents[Object][0].properties = {"q": schema}
        self.namespace.contents[Property][0].schema = schema
        document = dump.file_document(self.namespace)
        self.assertEqual(schema, document["objects"][0]["properties"]["q"], "untouched")
        loaded = load.load_namespace_document(document, "other")
        self.assertEqual("p1", loaded.owner)
        self.assertEqual(document, dump.file_document(loaded))

    def test_a_file_has_everything_but_times(self):
        self.namespace.contents[Tag] = [Tag("b", NOW, NOW), Tag("a", NOW, NOW)]
        self.namespace.contents[Object].append(Object("bare", NOW, NOW, required=[]))
        self.namespace.updated_at = NOW
        self.namespace.display_name = "D"
        self.assertEqual(
            {
                "namespace": "N",
                "owner": "p1",
                "display_name": "D",
                "visibility": "private",
                "protected": False,
                "resource_type_associations": [{"name": "T", "prefix": "x_"}, {"name": "Bare"}],
                "properties": {"p": {"name": "p", "minimum": 0.5}},
                "objects": [
                    {"name": "o", "required": ["q"], "properties": {"q": {"default": 1}}},
                    {"name": "bare"},
                ],
                "tags": [{"name": "a"}, {"name": "b"}],
            },
            dump.file_document(self.namespace),
        )
        self.assertEqual(
            {"namespace", "owner", "visibility", "protected"},
            set(dump.file_document(Namespace("N", "p1"))),
        )

    def test_the_whole_namespace(self):
        document = orjson.loads(dump.dump_namespace(self.namespace, "T"))
        time = "2026-01-02T03:04:05Z"
        self.assertEqual(
            {
                "namespace": "N",
                "owner": "p1",
                "visibility": "private",
                "protected": False,
                "created_at": time,
                "resource_type_associations": [{"name": "T", "prefix": "x_"}, {"name": "Bare"}],
                "objects": [
                    {
                        "name": "o",
                        "created_at": time,
                        "updated_at": time,
                        "required": ["x_q"],
                        "properties": {"x_q": {"default": "1"}},
                        "self": "/v2/metadefs/namespaces/N/objects/o",
                        "schema": "/v2/schemas/metadefs/object",
                    }
                ],
                "properties": {"x_p": {"name": "p", "minimum": 0}},
                "tags": [{"name": "t"}],
                "self": "/v2/metadefs/namespaces/N",
                "schema": "/v2/schemas/metadefs/namespace",
            },
            document,
        )
        bare = Object("o", NOW, NOW)
        self.assertNotIn("required", dump.object_document("N", bare, "x_"))
        self.assertNotIn("properties", dump.object_document("N", bare, "x_"))

    def test_bodies(self):
        time = "2026-01-02T03:04:05Z"
        for body, expected in (
            (
                dump.dump_namespaces([Namespace("N", "p1")], "/first", None),
                {
                    "namespaces": [dump.namespace_document(Namespace("N", "p1"))],
                    "first": "/first",
                    "schema": "/v2/schemas/metadefs/namespaces",
                },
            ),
            (
                dump.dump_namespaces([], "/first", "/next"),
                {
                    "namespaces": [],
                    "first": "/first",
                    "next": "/next",
                    "schema": "/v2/schemas/metadefs/namespaces",
                },
            ),
            (
                dump.dump_properties([Property("p", schema={"default": 1})]),
                {"properties": {"p": {"default": "1"}}},
            ),
            (
                dump.dump_definition(Association("T", NOW, NOW, "x_", "t")),
                {
                    "name": "T",
                    "prefix": "x_",
                    "properties_target": "t",
                    "created_at": time,
                    "updated_at": time,
                },
            ),
            (
                dump.dump_associations([Association("T", NOW)]),
                {"resource_type_associations": [{"name": "T", "created_at": time}]},
            ),
            (
                dump.dump_resource_types([ResourceType("T", NOW, NOW), ResourceType("U", NOW)]),
                {
                    "resource_types": [
                        {"name": "T", "created_at": time, "updated_at": time},
                        {"name": "U", "created_at": time},
                    ]
                },
            ),
            (dump.dump_definition(Tag("t")), {"name": "t"}),
        ):
            self.assertEqual(expected, orjson.loads(body))


class QueryTest(unittest.TestCase):
    def load(self, text):
        return query.load_namespace_query(text, 25, 1000)

    def test_defaults_and_bounds(self):
        found = self.load("").query
        self.assertEqual((None, None), (found.visibility, found.resource_types))
        self.assertEqual(
            ("created_at", "desc", None, 25),
            (
                found.listing.sort_key,
                found.listing.sort_dir,
                found.listing.marker,
                found.listing.limit,
            ),
        )
        self.assertEqual(
            [1000, 0], [self.load(f"limit={limit}").query.listing.limit for limit in ("5000", "0")]
        )

    def test_the_first_of_a_name_counts_and_links_keep_the_last(self):
        found = self.load("limit=1&x=a%20b&limit=2&marker=M&resource_types=A,B")
        self.assertEqual(1, found.query.listing.limit)
        self.assertEqual(("A", "B"), found.query.resource_types)
        self.assertEqual(
            "/v2/metadefs/namespaces?limit=2&x=a+b&resource_types=A%2CB", found.first_page
        )
        self.assertEqual(found.first_page + "&marker=N%26", found.page_after("N&"))
        self.assertEqual("/v2/metadefs/namespaces", self.load("marker=x").first_page)

    def test_what_makes_no_sense_is_refused(self):
        for text in (
            "limit=x",
            "limit=",
            "limit=-1",
            "limit=1.5",
            "sort_key=nope",
            "sort_key=",
            "sort_dir=nope",
            "visibility=shared",
            "x=%ff",
        ):
            self.assertRaises(errors.Invalid, self.load, text)
        for text in ("limit=0", "limit=x", "sort_dir=nope", "visibility=x"):
            self.assertRaises(errors.Invalid, query.check_object_query, text)
        query.check_object_query("limit=1&sort_key=nope&marker=nope")

    def test_tags_have_no_limit_unless_one_is_asked_for(self):
        self.assertIsNone(query.load_tag_query("sort_key=name").limit)
        self.assertEqual(0, query.load_tag_query("limit=0").limit)
        self.assertEqual(
            ("m", None),
            (query.load_tag_query("marker=m").marker, query.load_tag_query("marker=").marker),
        )
        for key in ("owner", "schema", "description"):
            self.assertRaises(errors.Invalid, query.load_tag_query, f"sort_key={key}")
        for key in ("id", "name", "created_at", "updated_at"):
            self.assertEqual(key, query.load_tag_query(f"sort_key={key}").sort_key)
        for key in ("objects", "tags", "self"):
            self.assertRaises(errors.Invalid, self.load, f"sort_key={key}")

    def test_the_resource_type(self):
        self.assertEqual("A", query.load_resource_type("resource_type=A&resource_type=B"))
        self.assertEqual("", query.load_resource_type(""))
        self.assertRaises(errors.Invalid, query.load_resource_type, "resource_type=A&x=1")


if __name__ == "__main__":
    unittest.main()
