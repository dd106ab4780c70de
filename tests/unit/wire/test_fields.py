"""A field of the image is declared in the domain, in the wire format and in the database."""

from __future__ import annotations

import dataclasses
import datetime
import unittest

from glance_py.db import tables
from glance_py.domain.image import CLIENT_COLUMNS, COLUMNS, Image
from glance_py.importing import tasks_api
from glance_py.notifications.payloads import image_payload
from tests.unit.http.fakes import IMAGE

#: Fields of the domain that are not keys of the JSON: further keys, and what only the service sees.
NOT_IN_JSON = {"properties", "deleted_at", "caller_membership", "grant"}

#: Keys of the JSON that are computed for a response.
COMPUTED = {"direct_url", "stores", "self", "file", "schema"}


class FieldsTest(unittest.TestCase):
    def test_wire_and_domain_have_the_same_fields(self) -> None:
        domain = {field.name for field in dataclasses.fields(Image)}
        self.assertEqual(domain - NOT_IN_JSON, {field.name for field in IMAGE} - COMPUTED)

    def test_wire_and_domain_agree_what_a_client_may_set(self) -> None:
        writable = {field.name for field in IMAGE if not field.read_only}
        self.assertEqual(writable, CLIENT_COLUMNS | {"id", "tags", "locations"})

    def test_fields_show_the_attribute_of_their_name(self) -> None:
        for field in IMAGE:
            shown = field.name not in COMPUTED | {"locations"}
            self.assertEqual(field.name if shown else None, field.source)

    def test_filters_and_sort_keys(self) -> None:
        self.assertEqual(
            {
                "text": {"id", "name", "container_format", "disk_format", "status"},
                "exact": {"owner", "checksum", "os_hash_algo", "os_hash_value"},
                "number": {"min_ram", "min_disk", "size", "virtual_size"},
                "time": {"created_at", "updated_at"},
                "flag": {"protected"},
                None: {"visibility", "os_hidden", "tags", "locations", *COMPUTED},
            },
            {
                each: {field.name for field in IMAGE if field.filter == each}
                for each in ("text", "exact", "number", "time", "flag", None)
            },
        )
        self.assertEqual(
            {
                "id",
                "name",
                "container_format",
                "disk_format",
                "status",
                "size",
                "created_at",
                "updated_at",
            },
            {field.name for field in IMAGE if field.sort},
        )

    def test_database_has_a_column_for_each(self) -> None:
        self.assertEqual(set(), COLUMNS - set(tables.images.c.keys()))

    def test_tasks_set_what_a_client_may_set(self) -> None:
        self.assertEqual(
            {
                "name",
                "visibility",
                "protected",
                "os_hidden",
                "disk_format",
                "container_format",
                "min_disk",
                "min_ram",
            },
            tasks_api._IMAGE_FIELDS,
        )


class PayloadTest(unittest.TestCase):
    """wire: the keys of a notification, which consumers know."""

    def test_all_keys(self) -> None:
        time = datetime.datetime(2030, 1, 2, 3, 4, 5, 678)
        image = Image(
            "i",
            status="active",
            name="n",
            owner="p",
            visibility="public",
            protected=True,
            disk_format="raw",
            container_format="bare",
            min_disk=1,
            min_ram=2,
            size=3,
            virtual_size=4,
            checksum="c",
            os_hash_algo="sha512",
            os_hash_value="d",
            created_at=time,
            updated_at=time,
            tags=["t"],
            properties={"a": "b"},
        )
        self.assertEqual(
            {
                "id": "i",
                "name": "n",
                "status": "active",
                "created_at": "2030-01-02T03:04:05Z",
                "updated_at": "2030-01-02T03:04:05Z",
                "min_disk": 1,
                "min_ram": 2,
                "protected": True,
                "checksum": "c",
                "owner": "p",
                "disk_format": "raw",
                "container_format": "bare",
                "size": 3,
                "virtual_size": 4,
                "is_public": True,
                "visibility": "public",
                "properties": {"a": "b"},
                "tags": ["t"],
                "deleted": False,
                "deleted_at": None,
            },
            image_payload(image),
        )
        image.visibility = "shared"
        deleted = image_payload(image, deleted=True)
        self.assertEqual(
            (False, "deleted", True), (deleted["is_public"], deleted["status"], deleted["deleted"])
        )
        self.assertIsNotNone(deleted["deleted_at"])


if __name__ == "__main__":
    unittest.main()
