"""Requests to add a location, and identities of locations."""

from __future__ import annotations

import unittest

import orjson

from glance_py.domain import errors
from glance_py.domain.registration import Registration
from glance_py.wire.locations import load_registration


class RegistrationTest(unittest.TestCase):
    def load(self, document: object) -> Registration:
        return load_registration(orjson.dumps(document))

    def test_url_alone(self) -> None:
        for document in ({}, {"validation_data": {}}, {"unknown": 1}):
            self.assertEqual(
                Registration("a://1", None, None), self.load({"url": "a://1", **document})
            )

    def test_digest(self) -> None:
        for algorithm in ("md5", "sha1", "sha256", "sha512"):
            data = {"os_hash_algo": algorithm, "os_hash_value": "AB12"}
            self.assertEqual(
                Registration("a://1", algorithm, "ab12"),
                self.load({"url": "a://1", "validation_data": data}),
            )

    def test_bad_requests(self) -> None:
        value, algorithm = {"os_hash_value": "ab"}, {"os_hash_algo": "sha512"}
        for document, message in (
            ([], "must be a JSON object"),
            ({}, "body lacks 'url'"),
            ({"url": 5}, "key 'url' that is not of type string"),
            ({"url": "a://\x00"}, "url cannot contain"),
            ({"url": "a", "validation_data": []}, "not of type object"),
            ({"url": "a", "validation_data": value}, "come together"),
            ({"url": "a", "validation_data": algorithm}, "come together"),
            (
                {"url": "a", "validation_data": {**value, "os_hash_algo": "crc"}},
                "is not one of sha1, sha256, sha512, md5",
            ),
            (
                {"url": "a", "validation_data": {**algorithm, "os_hash_value": "a" * 129}},
                "longer than 128",
            ),
            (
                {"url": "a", "validation_data": {**algorithm, **value, "checksum": "a"}},
                "unknown key 'checksum'",
            ),
        ):
            with self.subTest(document), self.assertRaisesRegex(errors.Invalid, message):
                self.load(document)


if __name__ == "__main__":
    unittest.main()
