"""What the original service stored this one reads and removes, and the other way round.

File, S3, Swift and, where ``GLANCE_TEST_CEPH_CONF`` names a cluster (see
``tests/contract/store/test_rbd.py``), RBD; small images, large ones in parts or
segments, and images of which the size was not announced.  Nothing may be left in
any store in the end.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tempfile
import unittest
from urllib.parse import urlsplit

from glance_store_py.drivers import rbd, s3, swift
from glance_store_py.drivers.rbd_options import OPTIONS as RBD_OPTIONS
from glance_store_py.drivers.s3_options import OPTIONS as S3_OPTIONS
from glance_store_py.drivers.swift_options import OPTIONS as SWIFT_OPTIONS
from glance_store_py.testing import settings
from tests.conformance import reference
from tests.contract.store import servers, test_rbd

MIB = 1 << 20
STORES = ("fast", "objects", "containers")
#: One more, where there is a cluster.
POOL = "pool"
SIZES = (1, 3 * MIB, 12 * MIB + 17)
#: Segments of an announced size, which the original does not manage to end.
NEVER_THEIRS = ("containers", SIZES[2])

OPTIONS = """\
[DEFAULT]
enabled_backends = fast:file, slow:file, objects:s3, containers:swift{more}
[objects]
s3_store_host = {s3}
s3_store_access_key = {access}
s3_store_secret_key = {secret}
s3_store_bucket = interchange
s3_store_create_bucket_on_put = True
s3_store_region_name = us-east-1
s3_store_large_object_size = 10
s3_store_large_object_chunk_size = 5
[containers]
swift_store_config_file = {references}
default_swift_reference = ours
swift_store_container = interchange
swift_store_create_container_on_put = True
swift_store_large_object_size = 5
swift_store_large_object_chunk_size = 2
swift_store_multiple_containers_seed = 2
"""
RBD = """\
[pool]
rbd_store_pool = {pool}
rbd_store_user = {user}
rbd_store_ceph_conf = {conf}
rados_connect_timeout = 30
"""
REFERENCES = """\
[ours]
auth_address = {address}
user = {user}
key = {key}
user_domain_id = default
project_domain_id = default
"""


class TestInterchange(unittest.TestCase):

    def setUp(self) -> None:
        reference.command()
        directory = tempfile.TemporaryDirectory(prefix="interchange-")
        self.addCleanup(directory.cleanup)
        self.files = os.path.join(directory.name, "data", "fast")
        options = self.configure_s3() | self.configure_swift(directory.name)
        self.stores, self.in_pool, rbd_options = STORES, list, ""
        if not test_rbd.missing():
            self.stores, rbd_options = (*STORES, POOL), self.configure_rbd()
        options["more"] = f", {POOL}:rbd" if rbd_options else ""
        self.pair = reference.Pair(directory.name, f"sqlite:///{directory.name}/glance.sqlite",
                                   "fakeauth+nocache", OPTIONS.format(**options) + rbd_options)
        self.addCleanup(self.pair.stop)

    def configure_s3(self) -> dict[str, str]:
        url = urlsplit(servers.s3())
        values = {"s3": f"http://{url.netloc.rpartition('@')[2]}", "access": str(url.username),
                  "secret": str(url.password)}
        self.bucket = s3.Driver(settings(
            S3_OPTIONS, s3_store_host=values["s3"], s3_store_access_key=values["access"],
            s3_store_secret_key=values["secret"], s3_store_bucket="interchange"), "x")._client
        self.bucket.create_bucket()
        return values

    def configure_swift(self, directory: str) -> dict[str, str]:
        url = urlsplit(servers.swift_keystone().partition(",")[0])
        credentials, _, host = url.netloc.rpartition("@")
        user, _, key = credentials.rpartition(":")
        path = os.path.join(directory, "references.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(REFERENCES.format(address=f"http://{host}{url.path}", user=user, key=key))
        made = swift.Driver(settings(SWIFT_OPTIONS, swift_store_config_file=path,
                                     default_swift_reference="ours"), "x")
        self.account = made._client(made._references["ours"])
        return {"references": path}

    def configure_rbd(self) -> str:
        cluster = rbd.Driver(settings(
            RBD_OPTIONS, rbd_store_ceph_conf=test_rbd.CONF, rbd_store_pool=test_rbd.POOL,
            rbd_store_user=test_rbd.USER, rados_connect_timeout=30), "x")._cluster

        def names() -> list[str]:
            with cluster.pool() as pool:
                return [*test_rbd.librbd.RBD().list(pool),
                        *(each["name"] for each in test_rbd.librbd.RBD().trash_list(pool))]

        self.in_pool = names
        return RBD.format(pool=test_rbd.POOL, user=test_rbd.USER, conf=test_rbd.CONF)

    def leftovers(self) -> list[str]:
        return [*self.in_pool(), *os.listdir(self.files),
                *(each.key for each in self.bucket.entries()),
                *(each.key for each in self.bucket.uploads()),
                *(each.name for container in self.account.containers("interchange")
                  for each in self.account.entries(container))]

    def ask(self, method: str, path: str, body=None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.pair.port, timeout=120)
        try:
            connection.request(method, path, body, {
                "X-Auth-Token": "u:p:admin",
                **{name.replace("_", "-"): value for name, value in headers.items()}})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def upload_all(self, by_reference: bool = False) -> dict[str, bytes]:
        """Images of every kind, by id."""
        made = {}
        for store in self.stores:
            for size in SIZES:
                for announced in (True, False):
                    if by_reference and announced and (store, size) == NEVER_THEIRS:
                        continue
                    status, body = self.ask("POST", "/v2/images", json.dumps(
                        {"disk_format": "raw", "container_format": "bare"}),
                        Content_Type="application/json")
                    self.assertEqual(201, status, body)
                    image_id, data = json.loads(body)["id"], os.urandom(size)
                    status, body = self.ask(
                        "PUT", f"/v2/images/{image_id}/file",
                        data if announced else iter([data]),
                        Content_Type="application/octet-stream", X_Image_Meta_Store=store)
                    self.assertEqual(204, status, (store, size, announced, body))
                    made[image_id] = data
        return made

    def read_all(self, images: dict[str, bytes], ranges: bool) -> None:
        for image_id, data in images.items():
            image = json.loads(self.ask("GET", f"/v2/images/{image_id}")[1])
            with self.subTest(stores=image["stores"], size=len(data)):
                status, body = self.ask("GET", f"/v2/images/{image_id}/file")
                self.assertEqual(200, status)
                self.assertEqual(image["os_hash_value"], hashlib.sha512(body).hexdigest())
                self.assertTrue(data == body, "the bytes differ")
                if ranges and len(data) > 1:
                    border = 2 * MIB
                    status, body = self.ask("GET", f"/v2/images/{image_id}/file",
                                            Range=f"bytes={border - 9}-{border + 9}")
                    self.assertEqual((206, data[border - 9:border + 10]), (status, body))

    def delete_all(self, images: dict[str, bytes]) -> None:
        for image_id in images:
            self.assertEqual(204, self.ask("DELETE", f"/v2/images/{image_id}")[0])
        self.assertEqual([], self.leftovers())

    def test_images_change_hands(self) -> None:
        self.pair.start_reference()
        theirs = self.upload_all(by_reference=True)
        self.pair.stop_reference()
        self.pair.start_ours()
        self.read_all(theirs, ranges=True)
        self.delete_all(theirs)
        ours = self.upload_all()
        self.read_all(ours, ranges=True)
        self.pair.stop_ours()
        self.pair.start_reference()
        self.read_all(ours, ranges=False)
        self.delete_all(ours)
