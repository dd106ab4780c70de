"""Volumes that the original service wrote this one reads and removes, and the other way round.

Needs a Cinder (``GLANCE_TEST_CINDER_KEYSTONE``, see ``tests/contract/store/test_cinder.py``),
os-brick in this environment and in that of the reference, and the rights to attach volumes.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tempfile
import time
import unittest

from glance_store_py.drivers import cinder
from glance_store_py.drivers.cinder_options import OPTIONS
from glance_store_py.testing import settings
from tests.conformance import reference
from tests.contract.store import servers

MIB = 1 << 20
SIZES = (1, 3 * MIB + 17)

CONFIGURATION = """\
[DEFAULT]
enabled_backends = fast:file, slow:file, volumes:cinder
[volumes]
"""


class TestInterchange(unittest.TestCase):

    def setUp(self) -> None:
        reference.command()
        account = servers.cinder_account()
        self.volumes = cinder.Driver(settings(OPTIONS, **account), "volumes")._volumes
        self.assertEqual([], self.leftovers())
        directory = tempfile.TemporaryDirectory(prefix="interchange-")
        self.addCleanup(directory.cleanup)
        lines = [f"{option} = {value}" for option, value in account.items()]
        self.pair = reference.Pair(directory.name, f"sqlite:///{directory.name}/glance.sqlite",
                                   "fakeauth+nocache", CONFIGURATION + "\n".join(lines))
        self.addCleanup(self.pair.stop)

    def leftovers(self) -> list[str]:
        return [volume["name"] for volume in self.volumes._list("volumes", {})]

    def ask(self, method: str, path: str, body=None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.pair.port, timeout=300)
        try:
            connection.request(method, path, body, {
                "X-Auth-Token": "u:p:admin",
                **{name.replace("_", "-"): value for name, value in headers.items()}})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def upload_all(self) -> dict[str, bytes]:
        """Images of every kind, by id."""
        made = {}
        for size in SIZES:
            for announced in (True, False):
                status, body = self.ask("POST", "/v2/images", json.dumps(
                    {"disk_format": "raw", "container_format": "bare"}),
                    Content_Type="application/json")
                self.assertEqual(201, status, body)
                image_id, data = json.loads(body)["id"], os.urandom(size)
                status, body = self.ask(
                    "PUT", f"/v2/images/{image_id}/file", data if announced else iter([data]),
                    Content_Type="application/octet-stream", X_Image_Meta_Store="volumes")
                self.assertEqual(204, status, (size, announced, body, self.pair.log()[-3000:]))
                made[image_id] = data
        return made

    def read_all(self, images: dict[str, bytes]) -> None:
        for image_id, data in images.items():
            image = json.loads(self.ask("GET", f"/v2/images/{image_id}")[1])
            with self.subTest(size=len(data)):
                self.assertEqual("volumes", image["stores"])
                path = f"/v2/images/{image_id}/file"
                status, body = self.ask("GET", path)
                self.assertEqual(200, status, self.pair.log()[-3000:])
                self.assertEqual(image["os_hash_value"], hashlib.sha512(body).hexdigest())
                self.assertTrue(data == body, "the bytes differ")
                if len(data) > 1:
                    border = 2 * MIB
                    status, body = self.ask("GET", path, Range=f"bytes={border - 9}-{border + 9}")
                    self.assertEqual((206, data[border - 9:border + 10]), (status, body))

    def delete_all(self, images: dict[str, bytes]) -> None:
        for image_id in images:
            self.assertEqual(204, self.ask("DELETE", f"/v2/images/{image_id}")[0])

    def wait_for_removal(self) -> None:
        """The original service does not wait until Cinder has removed a volume."""
        deadline = time.monotonic() + 60
        while self.leftovers() and time.monotonic() < deadline:
            time.sleep(0.5)
        self.assertEqual([], self.leftovers())

    def test_images_change_hands(self) -> None:
        self.pair.start_reference()
        theirs = self.upload_all()
        self.pair.stop_reference()
        self.pair.start_ours()
        self.read_all(theirs)
        self.delete_all(theirs)
        self.assertEqual([], self.leftovers())
        ours = self.upload_all()
        self.read_all(ours)
        self.pair.stop_ours()
        self.pair.start_reference()
        self.read_all(ours)
        self.delete_all(ours)
        self.wait_for_removal()
