"""How images and members look to those who may see them, and the documents about them."""

import datetime
import pathlib
import types
import unittest

import orjson

from glance_py.domain.image import Image, Location
from glance_py.domain.member import Member
from glance_py.http.routes import ROUTES
from glance_py.wire import schema
from glance_py.wire.dump import ImageDumper, dump_members
from glance_py.wire.openapi import openapi
from tests.unit.http.fakes import IMAGE, Stores, api_settings

USER = types.SimpleNamespace(is_admin=False)
ADMIN = types.SimpleNamespace(is_admin=True)


class Images(unittest.TestCase):
    def setUp(self):
        self.stores = Stores()
        time = datetime.datetime(2030, 1, 2, 3, 4, 5, 999999)
        self.image = Image(
            "i",
            status="active",
            created_at=time,
            updated_at=time,
            size=1,
            properties={"p": "v", "os_glance_stage_host": "h", "os_glance_import_task": "t"},
            locations=[
                Location("a://1", {"store": "fast", "x": 1}),
                Location("b://2", {"store": "slow"}),
            ],
        )

    def shown(self, ctx=USER, **options):
        dump = ImageDumper(IMAGE, api_settings(**options), self.stores)
        return orjson.loads(dump.dump_image(ctx, self.image))

    def test_keys_of_the_api(self):
        self.assertEqual(
            {
                "p",
                "os_glance_import_task",
                "id",
                "name",
                "status",
                "visibility",
                "protected",
                "os_hidden",
                "owner",
                "disk_format",
                "container_format",
                "tags",
                "min_ram",
                "min_disk",
                "size",
                "virtual_size",
                "checksum",
                "os_hash_algo",
                "os_hash_value",
                "created_at",
                "updated_at",
                "self",
                "file",
                "schema",
                "stores",
            },
            set(self.shown()),
        )

    def test_times_are_whole_seconds_of_utc(self):
        self.assertEqual("2030-01-02T03:04:05Z", self.shown()["created_at"])

    def test_places_are_shown_only_when_the_operator_says_so(self):
        shown = self.shown(show_multiple_locations=True, show_image_direct_url=True)
        self.assertEqual("b://2", shown["direct_url"])
        self.assertEqual("slow,fast", shown["stores"])
        self.assertEqual(
            [
                {"url": "b://2", "metadata": {"store": "slow"}},
                {"url": "a://1", "metadata": {"store": "fast", "x": 1}},
            ],
            shown["locations"],
        )

    def test_one_store_is_not_named(self):
        self.stores.multi = False
        self.assertNotIn("stores", self.shown())

    def test_one_store_has_no_order(self):
        self.stores.multi = False
        urls = [each["url"] for each in self.shown(show_multiple_locations=True)["locations"]]
        self.assertEqual(["a://1", "b://2"], urls)

    def test_locations_without_a_known_store(self):
        self.image.locations.append(Location("c://3"))
        self.assertEqual("slow,fast", self.shown()["stores"])
        del self.image.locations[:2]
        self.assertNotIn("stores", self.shown())
        self.image.locations.clear()
        shown = self.shown(show_multiple_locations=True, show_image_direct_url=True)
        self.assertEqual(([], False), (shown["locations"], "direct_url" in shown))

    def test_places_of_a_deactivated_image_are_for_administrators(self):
        self.image.status = "deactivated"
        options = {"show_multiple_locations": True, "show_image_direct_url": True}
        shown = self.shown(**options)
        self.assertEqual([], shown["locations"])
        self.assertFalse({"direct_url", "stores"} & set(shown))
        self.assertEqual("b://2", self.shown(ADMIN, **options)["direct_url"])

    def test_the_computed_value_hides_a_property_of_its_name(self):
        self.image.properties["stores"] = "mine"
        self.assertEqual("slow,fast", self.shown()["stores"])
        self.image.locations = []
        self.assertEqual("mine", self.shown()["stores"])

    def test_members(self):
        body = orjson.loads(dump_members([Member("i", "p2")]))
        self.assertEqual("/v2/schemas/members", body["schema"])
        self.assertEqual(
            {"member_id", "image_id", "status", "created_at", "updated_at", "schema"},
            set(body["members"][0]),
        )


class Documents(unittest.TestCase):
    def setUp(self):
        self.resource = IMAGE
        self.documents = {
            name: orjson.loads(document)
            for name, document in schema.schema_documents(self.resource).items()
        }

    def test_all_names_have_a_document(self):
        self.assertEqual(set(schema.NAMES), set(self.documents))

    def test_documents_are_those_of_the_api(self):
        """wire: all documents but those of the image, which ``test_fields`` compares."""
        expected = orjson.loads(pathlib.Path(__file__).with_name("schemas.json").read_bytes())
        self.assertEqual({*schema.NAMES} - {"image", "images"}, {*expected})
        for name, document in expected.items():
            with self.subTest(name):
                self.assertEqual(document, self.documents[name])

    def test_the_document_of_the_image(self):
        document = dict(self.documents["image"])
        properties = document.pop("properties")
        self.assertEqual(
            {
                "name": "image",
                "additionalProperties": {"type": "string"},
                "links": [
                    {"rel": "self", "href": "{self}"},
                    {"rel": "enclosure", "href": "{file}"},
                    {"rel": "describedby", "href": "{schema}"},
                ],
            },
            document,
        )
        for name, expected in (
            ("checksum", {"type": ["null", "string"], "maxLength": 32}),
            ("status", {"type": "string"}),
            ("virtual_size", {"type": ["null", "integer"]}),
            ("os_hash_algo", {"type": ["null", "string"], "maxLength": 64}),
            ("os_hash_value", {"type": ["null", "string"], "maxLength": 128}),
            ("size", {"type": ["null", "integer"]}),
        ):
            shown = {key: properties[name][key] for key in expected}
            self.assertEqual(({**expected}, True), (shown, properties[name]["readOnly"]))
        for name in ("name", "owner"):
            self.assertEqual(255, properties[name]["maxLength"])
        self.assertEqual(255, properties["tags"]["items"]["maxLength"])
        location = properties["locations"]["items"]
        self.assertEqual(
            (["url", "metadata"], 255),
            (
                location["required"],
                location["properties"]["url"]["maxLength"],
            ),
        )
        data = location["properties"]["validation_data"]
        self.assertEqual(
            {
                "type": "object",
                "writeOnly": True,
                "additionalProperties": False,
                "properties": {
                    "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                    "os_hash_algo": {"type": "string", "maxLength": 64},
                    "os_hash_value": {"type": "string", "maxLength": 128},
                },
                "required": ["os_hash_algo", "os_hash_value"],
            },
            data,
        )
        self.assertEqual(
            {"name": "images", "links": self.documents["metadefs/objects"]["links"]},
            {key: self.documents["images"][key] for key in ("name", "links")},
        )

    def test_an_image_may_have_any_string_property(self):
        image = self.documents["image"]
        self.assertEqual({"type": "string"}, image["additionalProperties"])
        self.assertEqual([None, "raw", "qcow2"], image["properties"]["disk_format"]["enum"])
        self.assertTrue(image["properties"]["size"]["readOnly"])

    def test_lists_hold_items(self):
        self.assertEqual(
            self.documents["image"], self.documents["images"]["properties"]["images"]["items"]
        )
        self.assertNotIn(
            "input", self.documents["tasks"]["properties"]["tasks"]["items"]["properties"]
        )
        self.assertIn(
            "additionalProperties",
            self.documents["metadefs/properties"]["properties"]["properties"],
        )

    def openapi(self):
        return openapi("2.18", self.resource, ROUTES)

    def test_openapi_has_every_route(self):
        document = self.openapi()
        self.assertEqual(
            {(row.path, row.method.lower()) for row in ROUTES},
            {(path, method) for path, methods in document["paths"].items() for method in methods},
        )
        operations = [
            each["operationId"]
            for methods in document["paths"].values()
            for each in methods.values()
        ]
        self.assertEqual(len(operations), len(set(operations)))
        self.assertIn("images.index", operations)
        self.assertIn("schemas:/schemas/image", operations)

    def test_openapi_of_the_whole(self):
        document = self.openapi()
        self.assertEqual(
            ("3.1.0", {"title": "Image service", "version": "2.18"}, [{"url": "/v2"}]),
            (document["openapi"], document["info"], document["servers"]),
        )
        self.assertEqual([{"token": []}], document["security"])
        components = document["components"]
        self.assertEqual(
            {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
            components["securitySchemes"]["token"],
        )
        self.assertEqual(
            self.documents["image"], orjson.loads(orjson.dumps(components["schemas"]["image"]))
        )
        self.assertEqual(
            {
                "image",
                "member",
                "task",
                "namespace",
                "object",
                "property",
                "tag",
                "resource_type_association",
            },
            set(components["schemas"]),
        )

    def test_openapi_bodies(self):
        paths = self.openapi()["paths"]
        namespace = "/metadefs/namespaces/{namespace}"
        for method, path, name in (
            ("post", "/images", "image"),
            ("post", "/images/{image_id}/members", "member"),
            ("put", f"{namespace}/objects/{{name}}", "object"),
            ("post", f"{namespace}/properties", "property"),
            ("put", namespace, "namespace"),
            ("post", f"{namespace}/resource_types", "resource_type_association"),
            ("put", f"{namespace}/tags/{{name}}", "tag"),
            ("post", "/tasks", "task"),
        ):
            schema = {"schema": {"$ref": f"#/components/schemas/{name}"}}
            self.assertEqual(
                {"required": True, "content": {"application/json": schema}},
                paths[path][method]["requestBody"],
                path,
            )
        upload = paths["/images/{image_id}/file"]["put"]["requestBody"]["content"]
        self.assertEqual({"application/octet-stream": {}}, upload)
        patch = paths["/images/{image_id}"]["patch"]["requestBody"]["content"]
        self.assertEqual(
            {
                f"application/openstack-images-v2.{minor}-json-patch": {
                    "schema": {"type": "array", "items": {"type": "object"}}
                }
                for minor in (0, 1)
            },
            patch,
        )
        tags = paths[f"{namespace}/tags"]["post"]["requestBody"]["content"]
        self.assertEqual(["tags"], tags["application/json"]["schema"]["required"])
        for path, method in (("/images", "get"), ("/images/{image_id}", "delete")):
            self.assertNotIn("requestBody", paths[path][method])

    def test_openapi_parameters(self):
        paths = self.openapi()["paths"]
        self.assertEqual(
            [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in ("image_id", "tag")
            ],
            paths["/images/{image_id}/tags/{tag}"]["put"]["parameters"],
        )
        query = {each["name"]: each["schema"] for each in paths["/images"]["get"]["parameters"]}
        self.assertEqual({"type": "integer", "minimum": 0}, query["limit"])
        self.assertEqual(
            ["private", "public", "shared", "community", "all"], query["visibility"]["enum"]
        )
        text = {"marker", "sort", "tag", "member_status", "os_hidden", "name", "status", "size"}
        self.assertEqual({"string"}, {query[name]["type"] for name in text})
        self.assertEqual({"query"}, {each["in"] for each in paths["/images"]["get"]["parameters"]})
        self.assertFalse({"visibility", "tags", "locations", "self"} & {*query} - {"visibility"})
        self.assertEqual([], paths["/tasks"]["get"]["parameters"])
