"""The operator's schema-image.json: in both of its forms, in the schema and in validation."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import unittest

from glance_py import app
from tests.functional import service
from tests.functional.client import AppClient

SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "etc/schema-image.json"

FLAVOR = {"type": "string", "enum": ["mild", "hot"], "description": "How it tastes."}
COST = {"type": "string", "pattern": "^[0-9]+$"}


class SchemaCase(unittest.TestCase):
    def start(self, document) -> None:
        running = contextlib.ExitStack()
        self.addCleanup(running.close)
        conf, directory = running.enter_context(service.configured())
        path = os.path.join(directory, "schema-image.json")
        if isinstance(document, pathlib.Path):
            shutil.copy(document, path)
        else:
            with open(path, "w") as file:
                json.dump(document, file)
        self.app = app.build(conf)
        self.member = AppClient(self.app, "u:p1:member")

    def schema(self, name: str = "image") -> dict:
        return self.member.call("GET", f"/v2/schemas/{name}").json

    def create(self, **image) -> tuple[int, str]:
        answer = self.member.call(
            "POST", "/v2/images", json.dumps(image).encode(), content_type="application/json"
        )
        return answer.status_int, answer.text

    def patch(self, image_id: str, op: str, name: str, value=None) -> int:
        operation = {"op": op, "path": f"/{name}"}
        if op != "remove":
            operation["value"] = value
        return self.member.patch(image_id, operation).status_int


class FlatTest(SchemaCase):
    """Names and their schemas."""

    def setUp(self):
        self.start({"flavor": FLAVOR, "cost": COST})

    def test_schema_documents(self):
        image = self.schema()
        self.assertEqual({**FLAVOR, "is_base": False}, image["properties"]["flavor"])
        self.assertEqual({**COST, "is_base": False}, image["properties"]["cost"])
        self.assertNotIn("required", image)
        self.assertNotIn("is_base", image["properties"]["name"])
        items = self.schema("images")["properties"]["images"]["items"]
        self.assertIn("flavor", items["properties"])

    def test_values(self):
        self.assertEqual(201, self.create(flavor="hot", cost="7", other="x")[0])
        self.assertEqual(201, self.create()[0])
        for wrong in ({"flavor": "sweet"}, {"cost": "-1"}, {"flavor": 1}):
            status, text = self.create(**wrong)
            self.assertEqual(400, status)
            self.assertIn(next(iter(wrong)), text)

    def test_patch(self):
        image_id = json.loads(self.create(flavor="hot")[1])["id"]
        self.assertEqual(400, self.patch(image_id, "replace", "flavor", "sweet"))
        self.assertEqual(400, self.patch(image_id, "add", "cost", "much"))
        self.assertEqual(200, self.patch(image_id, "add", "cost", "12"))
        self.assertEqual(200, self.patch(image_id, "replace", "flavor", "mild"))
        self.assertEqual(200, self.patch(image_id, "remove", "flavor"))
        shown = self.member.show(image_id)
        self.assertEqual("12", shown["cost"])
        self.assertNotIn("flavor", shown)


class RequiredTest(SchemaCase):
    """Properties that every new image must have."""

    def setUp(self):
        self.start({"properties": {"flavor": FLAVOR, "cost": COST}, "required": ["flavor"]})

    def test_schema_document(self):
        self.assertEqual(["flavor"], self.schema()["required"])

    def test_create(self):
        status, text = self.create(name="n")
        self.assertEqual(400, status)
        self.assertIn("flavor", text)
        self.assertEqual(201, self.create(flavor="mild")[0])

    def test_patch_looks_at_what_it_changes(self):
        image_id = json.loads(self.create(flavor="mild")[1])["id"]
        self.assertEqual(200, self.patch(image_id, "replace", "name", "n"))
        self.assertEqual(400, self.patch(image_id, "replace", "flavor", "sweet"))
        self.assertEqual(400, self.patch(image_id, "remove", "flavor"))
        self.assertEqual("mild", self.member.show(image_id)["flavor"])


class StartTest(SchemaCase):
    def test_the_file_that_ships(self):
        self.start(SHIPPED)
        self.assertEqual(201, self.create(architecture="x86_64", os_distro="debian")[0])
        self.assertEqual(400, self.create(kernel_id="no uuid")[0])

    def test_a_base_property_said_again_the_same_way(self):
        self.start({"min_ram": {"type": "integer", "description": "More words."}})
        self.assertNotIn("is_base", self.schema()["properties"]["min_ram"])

    def test_what_stops_the_start(self):
        """Each names the property or the file."""
        for document, named in (
            ({"min_ram": {"type": "string"}}, "'min_ram'"),
            ({"properties": {"name": {"type": "integer"}}}, "'name'"),
            (["flavor"], "schema-image.json"),
            ({"flavor": "string"}, "schema-image.json"),
            ({"flavor": {"type": "sort of text"}}, "flavor"),
            ({"properties": {"flavor": FLAVOR}, "required": ["flavour"]}, "flavour"),
            ({"properties": {"flavor": FLAVOR}, "required": "flavor"}, "required"),
        ):
            with self.subTest(document):
                with self.assertRaises(app.START_ERRORS) as raised:
                    self.start(document)
                self.assertIn(named, str(raised.exception))


if __name__ == "__main__":
    unittest.main()
