"""Requests to import, and the description of imports for clients."""

from __future__ import annotations

import unittest

import orjson

from glance_py.domain import errors
from glance_py.domain.importing import ImportRequest
from glance_py.wire.importing import dump_import_info, load_import, load_method_and_stores

ENABLED = ("web-download", "glance-direct", "glance-download")
IMAGE = "11111111-1111-4111-8111-111111111111"


def load(document: object) -> ImportRequest:
    return load_import(orjson.dumps(document), ENABLED)


def load_method(header: str | None = None, /, **method: object) -> ImportRequest:
    return load_method_and_stores(load({"method": method}), header)


class LoadImportTest(unittest.TestCase):
    def test_defaults(self) -> None:
        document = {"method": {"name": "glance-direct"}, "unknown": 1}
        request = load(document)
        self.assertEqual(
            ImportRequest("glance-direct", document["method"], document, None, False, True), request
        )

    def test_flags(self) -> None:
        method = {"name": "glance-direct"}
        request = load({"method": method, "all_stores": True, "all_stores_must_succeed": False})
        self.assertEqual((True, False), (request.all_stores, request.all_must_succeed))

    def test_bad_bodies(self) -> None:
        method = {"name": "glance-direct"}
        for document, message in (
            ([], "must be a JSON object"),
            ({}, "name of the import method is missing"),
            ({"method": "glance-direct"}, "is missing"),
            ({"method": {}}, "is missing"),
            ({"method": {"name": ""}}, "is missing"),
            ({"method": {"name": "copy-image"}}, "Unknown import method name 'copy-image'"),
            ({"method": {"name": ["glance-direct"]}}, "Unknown import method name"),
            ({"method": method, "all_stores": 1}, "'all_stores' must be true or false"),
            ({"method": method, "all_stores_must_succeed": None}, "'all_stores_must_succeed' must"),
        ):
            with self.subTest(document), self.assertRaisesRegex(errors.Invalid, message):
                load(document)


class MethodTest(unittest.TestCase):
    def test_web_download(self) -> None:
        request = load_method(name="web-download", uri="http://x")
        self.assertEqual(
            ({"name": "web-download", "uri": "http://x"}, None),
            (
                request.method,
                request.stores,
            ),
        )
        for uri in (None, "", 5, ["http://x"]):
            with self.assertRaisesRegex(errors.Invalid, "needs the 'uri'"):
                load_method(name="web-download", uri=uri)
        with self.assertRaisesRegex(errors.Invalid, "needs the 'uri'"):
            load_method(name="web-download")

    def test_checksum(self) -> None:
        for algorithm, digits in (("md5", 32), ("sha1", 40), ("sha256", 64), ("sha384", 96)):
            given = {"checksum": "aF" * (digits // 2), "checksum_algorithm": algorithm}
            request = load_method(name="web-download", uri="http://x", **given)
            self.assertEqual(given["checksum"], request.method["checksum"])
            for wrong in ("a" * (digits - 1), "a" * (digits + 1), "g" * digits, None, 5):
                with self.assertRaisesRegex(errors.Invalid, f"must be {digits} hexadecimal"):
                    load_method(name="web-download", uri="u", **{**given, "checksum": wrong})
        for algorithm in (None, "crc32", ["md5"]):
            with self.assertRaisesRegex(
                errors.Invalid, "must be one of md5, sha1, sha256, sha384, sha512"
            ):
                load_method(
                    name="web-download", uri="u", checksum="a" * 32, checksum_algorithm=algorithm
                )

    def test_a_checksum_is_ignored_by_other_methods(self) -> None:
        request = load_method(name="glance-direct", checksum_algorithm="crc32")
        self.assertIsNone(request.store_error)

    def test_glance_download(self) -> None:
        method = {"name": "glance-download", "glance_region": "r", "glance_image_id": IMAGE}
        self.assertEqual(
            {**method, "glance_service_interface": "public"}, dict(load_method(**method).method)
        )
        internal = {**method, "glance_service_interface": "internal"}
        self.assertEqual(internal, dict(load_method(**internal).method))
        for change, message in (
            ({"glance_region": ""}, "needs 'glance_region'"),
            ({"glance_region": 1}, "needs 'glance_region'"),
            ({"glance_image_id": None}, "needs 'glance_image_id'"),
            ({"glance_image_id": "x"}, "does not look like a UUID"),
            ({"glance_image_id": IMAGE + "\n"}, "does not look like a UUID"),
            ({"glance_service_interface": 1}, "must be a string"),
        ):
            with self.subTest(change), self.assertRaisesRegex(errors.Invalid, message):
                load_method(**{**method, **change})


class StoresTest(unittest.TestCase):
    METHOD = {"name": "glance-direct"}

    def stores(self, header: str | None = None, **document: object) -> ImportRequest:
        return load_method_and_stores(load({"method": self.METHOD, **document}), header)

    def test_stores(self) -> None:
        self.assertIsNone(self.stores().stores)
        self.assertEqual(("a",), self.stores("a").stores)
        self.assertEqual(["a", "b"], self.stores(stores=["a", "b"]).stores)
        self.assertIsNone(self.stores(all_stores=True).stores)
        self.assertIsNone(self.stores(stores=None).stores)

    def test_an_error_in_the_stores_waits(self) -> None:
        for header, document, message in (
            ("a", {"stores": ["a"]}, "in the body or in a header, not in both"),
            ("a", {"all_stores": True}, "in the body or in a header, not in both"),
            (None, {"stores": ["a"], "all_stores": True}, "Either name stores"),
            (None, {"stores": "a"}, "must be a list"),
            (None, {"stores": ["a", 1]}, "must be a list"),
        ):
            request = self.stores(header, **document)
            self.assertRegex(str(request.store_error), message)
            self.assertEqual(self.METHOD, request.method)
        self.assertIsNone(self.stores().store_error)


class InfoTest(unittest.TestCase):
    def test_info(self) -> None:
        info = orjson.loads(dump_import_info(("web-download",), ("p", "q")))["import"]
        self.assertEqual(("array", ["p", "q"]), (info["plugins"]["type"], info["plugins"]["value"]))
        self.assertEqual(
            ("array", ["md5", "sha1", "sha256", "sha384", "sha512"]),
            (info["checksum-algorithms"]["type"], info["checksum-algorithms"]["value"]),
        )
        self.assertEqual(
            {"import": {"plugins"}},
            {
                key: set(value)
                for key, value in orjson.loads(dump_import_info(("glance-direct",), ())).items()
            },
        )


if __name__ == "__main__":
    unittest.main()
