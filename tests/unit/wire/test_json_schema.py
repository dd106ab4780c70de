"""Compiled schemas, compared with the jsonschema library."""

from __future__ import annotations

import unittest
from unittest import mock

import jsonschema

from glance_py.wire import json_schema, metadef
from glance_py.wire.json_schema import compile_schema
from glance_py.wire.locations import REGISTRATION
from tests.unit.http.fakes import IMAGE

ANNOTATIONS = {
    "description": "d",
    "title": "t",
    "readOnly": True,
    "writeOnly": True,
    "default": 1,
    "is_base": False,
    "example": 1,
    "examples": [1],
    "$comment": "c",
}

#: A schema, and the rest of a sentence about each value that is not valid; None for a valid one.
CASES = (
    ({}, [(1, None), (None, None)]),
    (
        {"type": "string"},
        [("", None), (1, "is not of type string"), (None, "is not of type string")],
    ),
    (
        {"type": "integer"},
        [(1, None), (1.0, None), (1.5, "is not of type integer"), (True, "is not of type integer")],
    ),
    (
        {"type": "number"},
        [(1, None), (1.5, None), (True, "is not of type number"), ("1", "is not of type number")],
    ),
    ({"type": "boolean"}, [(False, None), (0, "is not of type boolean")]),
    ({"type": "null"}, [(None, None), (False, "is not of type null")]),
    ({"type": "array"}, [([], None), ({}, "is not of type array"), ("", "is not of type array")]),
    ({"type": "object"}, [({}, None), ([], "is not of type object")]),
    (
        {"type": ["null", "string"]},
        [(None, None), ("", None), (1, "is not of type null or string")],
    ),
    (
        {"enum": [None, "a", 1]},
        [
            (None, None),
            ("a", None),
            (1, None),
            ("b", "is not one of null, a, 1"),
            (2, "is not one of null, a, 1"),
            ("1", "is not one of null, a, 1"),
        ],
    ),
    ({"enum": ["a"]}, [("a", None), (None, "is not one of a"), ([], "is not one of a")]),
    (
        {"maxLength": 2},
        [("ab", None), ("abc", "is longer than 2 characters"), ([1, 2, 3], None)],
    ),
    (
        {"minLength": 2},
        [("ab", None), ("a", "is shorter than 2 characters"), ([1], None), (1, None)],
    ),
    (
        {"pattern": "^a+$"},
        [("aa", None), ("b", "does not match ^a+$"), ("a\n", "does not match ^a+$"), (1, None)],
    ),
    ({"pattern": "a\\$"}, [("xa$", None), ("a", "does not match a\\$")]),
    (
        {"minimum": 1},
        [(1, None), (0, "is less than 1"), (0.5, "is less than 1"), ("", None), (False, None)],
    ),
    (
        {"maximum": 1},
        [(1, None), (2, "is greater than 1"), (1.5, "is greater than 1"), ("z", None), ([], None)],
    ),
    ({"items": {"type": "string"}}, [("text", None), (1, None), (None, None)]),
    ({"items": {"type": "integer"}}, [("text", None), ({"a": "b"}, None)]),
    (
        {"items": {"type": "string"}},
        [
            ([], None),
            (["a"], None),
            (["a", 1], "has an item that is not of type string"),
            ({"a": 1}, None),
        ],
    ),
    (
        {
            "properties": {"a": {"type": "integer"}, "b": {}},
            "required": ["b", "a"],
            "additionalProperties": False,
        },
        [
            ({"a": 1, "b": 2}, None),
            ({"a": "1", "b": 2}, "has a key 'a' that is not of type integer"),
            ({}, "lacks 'a'"),
            ({"a": 1}, "lacks 'b'"),
            ({"a": 1, "b": 1, "c": 1}, "has an unknown key 'c'"),
            ([], None),
        ],
    ),
    ({"required": ["a"]}, [({"a": 1, "b": 1}, None), ({"b": 1}, "lacks 'a'")]),
    (
        {"properties": {"a": {"type": "integer"}}},
        [({"b": 1}, None), ({"a": ""}, "has a key 'a' that is not of type integer")],
    ),
    (
        {"properties": {}, "additionalProperties": True},
        [({"b": 1}, None)],
    ),
    (
        {"type": "string", "maxLength": 1, "pattern": "a"},
        [
            ("a", None),
            (1, "is not of type string"),
            ("bb", "is longer than 1 characters"),
            ("b", "does not match a"),
        ],
    ),
)


class OwnKeywordsTest(unittest.TestCase):
    def setUp(self) -> None:
        """The library is not used for any of these."""
        patcher = mock.patch.object(
            json_schema, "_compile_with_jsonschema", side_effect=AssertionError
        )
        self.addCleanup(patcher.stop)
        patcher.start()

    def test_messages(self) -> None:
        for schema, values in CASES:
            for annotated in (schema, {**schema, **ANNOTATIONS}):
                check = compile_schema(annotated)
                for value, expected in values:
                    with self.subTest(schema=schema, value=value):
                        self.assertEqual(expected, check(value))

    def test_same_as_the_library(self) -> None:
        for schema, values in CASES:
            for value, expected in values:
                if isinstance(value, float) and value.is_integer():
                    continue  # draft 4 has no 1.0 among its integers
                if value == "a\n":
                    continue  # Python's "$" matches before a final newline, that of ECMA not
                valid = jsonschema.Draft4Validator(schema).is_valid(value)
                self.assertEqual(valid, expected is None, f"{schema} {value!r}")

    def test_fields_of_the_api(self) -> None:
        for field in IMAGE:
            compile_schema(field.document())
        compile_schema(REGISTRATION)
        compile_schema(metadef.TAGS)


class LibraryTest(unittest.TestCase):
    def test_other_keywords(self) -> None:
        for schema in (
            {"anyOf": [{"type": "string"}]},
            {"items": [{"type": "string"}]},
            {"additionalProperties": {"type": "string"}},
            {"uniqueItems": True},
        ):
            with mock.patch.object(json_schema, "_compile_with_jsonschema") as compile_it:
                self.assertIs(compile_it.return_value, compile_schema(schema))

    def test_where_it_is_wrong(self) -> None:
        check = compile_schema({"uniqueItems": True, "items": {"type": "object", "maximum": 1}})
        self.assertIsNone(check([{"a": 1}]))
        self.assertEqual("is not right at 0: 'x' is not of type 'object'", check(["x"]))
        self.assertRegex(str(check([{}, {}])), "^is not right: .* has non-unique elements$")
        self.assertEqual(len("is not right at 0: ") + 200, len(str(check(["x" * 500]))))

    def test_whole_floats_are_integers(self) -> None:
        check = compile_schema({"type": "integer", "multipleOf": 2})
        self.assertEqual([None, None], [check(2), check(2.0)])
        for value in (True, 2.5, "2"):
            self.assertIsNotNone(check(value))

    def test_a_schema_that_is_none(self) -> None:
        with self.assertRaises(jsonschema.SchemaError):
            compile_schema({"anyOf": []})


if __name__ == "__main__":
    unittest.main()
