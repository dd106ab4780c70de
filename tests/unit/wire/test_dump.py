"""How images and members look to those who may see them, and the documents about them."""

import datetime
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

    def test_openapi_has_every_route(self):
        document = openapi("2.18", self.resource, ROUTES)
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
        names = [each["name"] for each in document["paths"]["/images"]["get"]["parameters"]]
        self.assertEqual(len(names), len(set(names)))
        self.assertIn("size", names)
