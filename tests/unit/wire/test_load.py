"""What a client may say of a new image, and what is refused."""

import os
import tempfile
import types
import unittest

import orjson

from glance_py.domain import errors
from glance_py.wire.image import SchemaConflict, image_resource
from glance_py.wire.json_schema import compile_schema
from glance_py.wire.load import (
    MAX_DEPTH,
    ImageLoader,
    load_member,
    load_member_status,
    load_tag,
    parse_json,
    project_id_text,
)
from tests.unit.http.fakes import FORMATS, IMAGE

CTX = types.SimpleNamespace(project_id="p1", is_admin=False)


class Documents(unittest.TestCase):
    def test_depth_is_bounded_whatever_lies_in_what(self):
        for opening, inmost, closing in (("[", "1", "]"), ('{"k":', "null", "}")):
            allowed = (opening * MAX_DEPTH + inmost + closing * MAX_DEPTH).encode()
            with self.subTest(opening):
                parse_json(allowed)
                for number in (MAX_DEPTH + 1, 255, 1000):
                    body = (opening * number + inmost + closing * number).encode()
                    with self.assertRaisesRegex(errors.Invalid, "nested deeper"):
                        parse_json(body)

    def test_brackets_in_a_text_are_no_depth(self):
        text = "[{" * (MAX_DEPTH + 1)
        self.assertEqual(text, parse_json(orjson.dumps(text)))
        self.assertEqual({"k": text}, parse_json(orjson.dumps({"k": text})))
        self.assertEqual(100, MAX_DEPTH)

    def test_messages(self):
        for body, message in (
            (b"", "^Body expected in request.$"),
            (b"{", "^Malformed JSON in request body.$"),
            (b'"\xff"', "^Malformed JSON in request body.$"),
        ):
            with self.assertRaisesRegex(errors.Invalid, message):
                parse_json(body)

    def test_breadth_is_not(self):
        self.assertEqual(5000, len(parse_json(orjson.dumps([{"k": []}] * 5000))))


class ImageBodies(unittest.TestCase):
    def setUp(self):
        self.loader = ImageLoader(IMAGE)

    def load(self, /, **body):
        return self.loader.image(CTX, orjson.dumps(body))

    def test_defaults_are_those_of_the_api(self):
        image = self.load()
        self.assertEqual(
            ("queued", "shared", "p1", None, None, False, False, 0, 0),
            (
                image.status,
                image.visibility,
                image.owner,
                image.name,
                image.disk_format,
                image.protected,
                image.os_hidden,
                image.min_disk,
                image.min_ram,
            ),
        )
        self.assertEqual(36, len(image.id))

    def test_values_are_taken_over(self):
        image = self.load(name="n", min_ram=5.0, owner=None, kernel="k", tags=["b", "a", "b"])
        self.assertEqual(
            ("n", 5, None, {"kernel": "k"}, ["b", "a", "b"]),
            (image.name, image.min_ram, image.owner, image.properties, image.tags),
        )

    def test_all_values(self):
        body = {
            "id": "11111111-1111-4111-8111-111111111111",
            "name": "n",
            "visibility": "private",
            "protected": True,
            "os_hidden": True,
            "owner": "",
            "container_format": "bare",
            "disk_format": None,
            "min_ram": 2**31 - 1,
            "min_disk": 0,
        }
        image = self.load(**body, tags=["a", "a"], prop="v")
        self.assertEqual(body, {name: getattr(image, name) for name in body})
        self.assertEqual((["a", "a"], {"prop": "v"}), (image.tags, image.properties))
        self.assertIs(int, type(self.load(min_ram=1.0).min_ram))
        self.assertEqual(36, len(self.load().id))
        self.assertNotEqual(self.load().id, self.load().id)
        for name in ("min_ram", "min_disk"):
            for value in (-1, 2**31):
                with self.assertRaisesRegex(
                    errors.Invalid, f"'{name}' must lie between 0 and 2147"
                ):
                    self.load(**{name: value})

    def test_the_longest_name_of_a_property(self):
        self.assertEqual(1, len(self.load(**{"p" * 255: "v"}).properties))
        with self.assertRaisesRegex(errors.Invalid, "longer than 255 characters"):
            self.load(**{"p" * 256: "v"})

    def test_wrong_values_are_invalid(self):
        for body in (
            {"name": 1},
            {"name": "x" * 256},
            {"id": ""},
            {"id": "short"},
            {"id": None},
            {"id": "11111111-1111-4111-8111-111111111111\n"},
            {"visibility": "all"},
            {"visibility": None},
            {"disk_format": "RAW"},
            {"container_format": []},
            {"min_ram": -1},
            {"min_disk": 2**31},
            {"min_ram": True},
            {"min_ram": "5"},
            {"min_ram": 1.5},
            {"min_ram": None},
            {"protected": "true"},
            {"protected": 1},
            {"os_hidden": None},
            {"owner": 5},
            {"tags": None},
            {"tags": "x"},
            {"tags": [1]},
            {"tags": ["t" * 256]},
            {"prop": None},
            {"prop": 1},
            {"prop": []},
            {"p" * 256: "v"},
            {"prop": "\U0001f600"},
            {"\U0001f600": "v"},
            {"name": "\U0001f600"},
            {"tags": ["\U0001f600"]},
            {"name": "a\x00"},
            {"locations": "x"},
            {"status": "bogus"},
            {"size": "x"},
            {"location": 5},
            {"os_hash_algo": 5},
        ):
            with self.subTest(body=body), self.assertRaises(errors.Invalid):
                self.load(**body)

    def test_names_of_the_service_are_forbidden(self):
        for name, value in (
            ("status", "active"),
            ("size", 1),
            ("checksum", "a"),
            ("created_at", "x"),
            ("direct_url", "x"),
            ("self", "x"),
            ("file", "x"),
            ("schema", "x"),
            ("stores", "x"),
            ("locations", []),
            ("location", "x"),
            ("deleted", "x"),
            ("deleted_at", "x"),
            ("os_glance_import_task", "x"),
            ("os_glancex", "x"),
            ("Os_Glance_stage_host", "x"),
            ("os_glance ", "x"),
            ("øs_glance_x", "x"),
        ):
            with self.subTest(name=name), self.assertRaises(errors.Forbidden):
                self.load(**{name: value})

    def test_type_is_judged_before_names(self):
        with self.assertRaises(errors.Invalid):
            self.load(prop=5, status="active")
        with self.assertRaises(errors.ReadOnlyAttribute):
            self.load(min_ram=-1, status="active")

    def test_digests_of_a_new_image_are_ignored(self):
        image = self.load(os_hash_algo="sha512", os_hash_value="ab")
        self.assertIsNone(image.os_hash_algo)
        self.assertEqual({}, image.properties)

    def test_bodies_that_are_no_object_are_invalid(self):
        for body in (b"", b"{", b"[]", b'"x"', b"null", b'{"name": "\xff"}'):
            with self.subTest(body=body), self.assertRaises(errors.Invalid):
                self.loader.image(CTX, body)

    def test_messages_name_the_field_and_the_reason(self):
        with self.assertRaisesRegex(errors.Invalid, "'disk_format' is not one of null, raw"):
            self.load(disk_format="x")


class OperatorProperties(unittest.TestCase):
    """schema-image.json, in both forms."""

    def resource(self, document):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "schema-image.json")
        with open(path, "wb") as file:
            file.write(document if isinstance(document, bytes) else orjson.dumps(document))
        return image_resource(FORMATS, path)

    KERNEL = {"type": ["null", "string"], "pattern": "^[a-f]+$", "description": "d"}

    def test_flat_form_is_checked_and_marked(self):
        resource = self.resource({"kernel_id": self.KERNEL})
        self.assertEqual(
            {**self.KERNEL, "is_base": False}, resource.document()["properties"]["kernel_id"]
        )
        loader = ImageLoader(resource)
        self.assertEqual({"kernel_id": None}, loader.image(CTX, b'{"kernel_id": null}').properties)
        with self.assertRaises(errors.Invalid):
            loader.image(CTX, b'{"kernel_id": "xyz"}')

    def test_extended_form_may_require(self):
        resource = self.resource({"properties": {"k": {"type": "string"}}, "required": ["k"]})
        self.assertEqual(["k"], resource.document()["required"])
        with self.assertRaises(errors.Invalid):
            ImageLoader(resource).image(CTX, b"{}")

    def test_other_types_are_stored_as_json_text(self):
        loader = ImageLoader(self.resource({"n": {"type": "integer"}}))
        self.assertEqual({"n": "5"}, loader.image(CTX, b'{"n": 5}').properties)

    def test_same_definition_of_a_base_field_is_harmless(self):
        resource = self.resource({"protected": {"type": "boolean"}})
        self.assertNotIn("is_base", resource.document()["properties"]["protected"])

    def test_a_base_field_with_annotations_of_its_own(self):
        schema = IMAGE.document()["properties"]["size"]
        for more in ({}, {"description": "x"}, {"readOnly": False}, {"is_base": True}):
            self.assertEqual(
                len(IMAGE.fields), len(self.resource({"size": {**schema, **more}}).fields)
            )
        with self.assertRaisesRegex(SchemaConflict, "gives the image property 'size' another"):
            self.resource({"size": {**schema, "minimum": 0}})

    def test_required_names_are_defined(self):
        kernel = {"kernel_id": self.KERNEL}
        found = self.resource({"properties": kernel, "required": ["kernel_id", "name"]})
        self.assertEqual(("kernel_id", "name"), found.required)
        loader = ImageLoader(found)
        body = {"kernel_id": "ab", "name": "n"}
        self.assertEqual("n", loader.image(CTX, orjson.dumps(body)).name)
        for missing in body:
            rest = {name: value for name, value in body.items() if name != missing}
            with self.assertRaisesRegex(errors.Invalid, f"lacks '{missing}', which is required"):
                loader.image(CTX, orjson.dumps(rest))
        for required in (["x"], ["name", 5], [["name"]], "name", {"name": 1}, None):
            with self.assertRaisesRegex(SchemaConflict, "required must be a list of properties"):
                self.resource({"properties": kernel, "required": required})

    def test_a_schema_that_is_none(self):
        with self.assertRaisesRegex(SchemaConflict, "property 'x' is not valid: "):
            self.resource({"x": {"type": "nope"}})

    def test_unusable_files_stop_the_start(self):
        for document in (b"{", b"[]", {"a": 5}, {"name": {"type": "integer"}}):
            with self.subTest(document=document), self.assertRaises(SchemaConflict):
                self.resource(document)


class Checks(unittest.TestCase):
    def test_the_library_judges_what_is_not_written_here(self):
        check = compile_schema({"anyOf": [{"type": "string"}, {"type": "integer"}]})
        self.assertIsNone(check("x"))
        self.assertIn("is not right", check([]))

    def test_nested_objects(self):
        check = compile_schema(
            {
                "type": "object",
                "required": ["a"],
                "additionalProperties": False,
                "properties": {
                    "a": {"type": "integer", "minimum": 1, "maximum": 2},
                    "b": {"type": "string", "minLength": 2},
                },
            }
        )
        self.assertIsNone(check({"a": 1}))
        for value in ({}, {"a": 0}, {"a": 3}, {"a": 1, "b": "x"}, {"a": 1, "c": 1}, []):
            with self.subTest(value=value):
                self.assertIsNotNone(check(value))


class SmallBodies(unittest.TestCase):
    def test_members(self):
        self.assertEqual("p2", load_member(b'{"member": "p2", "status": "accepted"}'))
        for body in (
            b"{}",
            b'{"member": ""}',
            b'{"member": null}',
            b'{"member": 0}',
            b'{"member": ["p2"]}',
            b'{"member": {"a": 1}}',
            b"[]",
            b'"p2"',
            orjson.dumps({"member": "nul\0"}),
        ):
            with self.subTest(body=body), self.assertRaises(errors.Invalid):
                load_member(body)

    def test_members_that_are_numbers(self):
        for body, shown, kept in (
            (b'{"member": 5}', 5, "5"),
            (b'{"member": 1.5}', 1.5, "1.5"),
            (b'{"member": true}', True, "1"),
        ):
            with self.subTest(body=body):
                self.assertEqual(shown, load_member(body))
                self.assertEqual(kept, project_id_text(load_member(body)))

    def test_member_status(self):
        self.assertEqual("accepted", load_member_status(b'{"status": "accepted", "x": 1}'))
        # Whether it is one of the three is said only to who may set it.
        self.assertEqual("nope", load_member_status(b'{"status": "nope"}'))
        for body in (b"{}", b'{"status": null}'):
            with self.subTest(body=body), self.assertRaises(errors.Invalid):
                load_member_status(body)

    def test_tags(self):
        self.assertEqual("t" * 255, load_tag("t" * 255))
        with self.assertRaises(errors.Invalid):
            load_tag("t" * 256)

    def test_a_tag_of_a_path_has_no_nul(self):
        with self.assertRaisesRegex(errors.Invalid, "NUL"):
            load_tag("a\x00b")
