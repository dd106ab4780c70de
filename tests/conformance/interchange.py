"""What both services are asked when images change hands between them."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import os
import unittest

from tests.conformance import reference

MIB = 1 << 20


class InterchangeCase(unittest.TestCase):
    """Images of all sizes in all stores, by the service that ``installation`` runs now."""

    installation: reference.Installation
    #: Names of stores, and bytes of images.
    stores: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    #: (store, bytes, is the size announced) that the original does not manage to store.
    unsupported_by_reference: frozenset[tuple[str, int, bool]] = frozenset()

    def request(self, method: str, path: str, body=None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.installation.port, timeout=300)
        try:
            connection.request(
                method,
                path,
                body,
                {
                    "X-Auth-Token": "u:p:admin",
                    **{name.replace("_", "-"): value for name, value in headers.items()},
                },
            )
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def upload_all(self, by_reference: bool = False) -> dict[str, bytes]:
        """Images of every kind, by id."""
        made = {}
        for kind in itertools.product(self.stores, self.sizes, (True, False)):
            if by_reference and kind in self.unsupported_by_reference:
                continue
            store, size, announced = kind
            status, body = self.request(
                "POST",
                "/v2/images",
                json.dumps({"disk_format": "raw", "container_format": "bare"}),
                Content_Type="application/json",
            )
            self.assertEqual(201, status, body)
            image_id, data = json.loads(body)["id"], os.urandom(size)
            status, body = self.request(
                "PUT",
                f"/v2/images/{image_id}/file",
                data if announced else iter([data]),
                Content_Type="application/octet-stream",
                X_Image_Meta_Store=store,
            )
            self.assertEqual(204, status, (*kind, body, self.installation.log()[-3000:]))
            made[image_id] = data
        return made

    def read_all(self, images: dict[str, bytes], ranges: bool = True) -> None:
        """Whole, and where ``ranges`` are supported nineteen bytes around a border."""
        for image_id, data in images.items():
            image = json.loads(self.request("GET", f"/v2/images/{image_id}")[1])
            path = f"/v2/images/{image_id}/file"
            with self.subTest(stores=image["stores"], size=len(data)):
                self.assertIn(image["stores"], self.stores)
                status, body = self.request("GET", path)
                self.assertEqual(200, status, self.installation.log()[-3000:])
                self.assertEqual(image["os_hash_value"], hashlib.sha512(body).hexdigest())
                self.assertTrue(data == body, "the bytes differ")
                if ranges and len(data) > 1:
                    border = 2 * MIB
                    status, body = self.request(
                        "GET", path, Range=f"bytes={border - 9}-{border + 9}"
                    )
                    self.assertEqual((206, data[border - 9 : border + 10]), (status, body))

    def delete_all(self, images: dict[str, bytes]) -> None:
        for image_id in images:
            self.assertEqual(204, self.request("DELETE", f"/v2/images/{image_id}")[0])
