"""What the original service stored this one reads and removes, and the other way round.

File, S3, Swift and, where ``GLANCE_TEST_CEPH_CONF`` names a cluster (see
``tests/contract/store/test_rbd.py``), RBD; small images, large ones in parts or
segments, and images of which the size was not announced.  Nothing may be left in
any store in the end.
"""

from __future__ import annotations

import os
import tempfile
from urllib.parse import urlsplit

from glance_store_py.drivers import rbd, s3, swift
from glance_store_py.drivers.rbd_options import OPTIONS as RBD_OPTIONS
from glance_store_py.drivers.s3_options import OPTIONS as S3_OPTIONS
from glance_store_py.drivers.swift_options import OPTIONS as SWIFT_OPTIONS
from glance_store_py.testing import settings
from tests import stores
from tests.conformance import reference
from tests.conformance.interchange import MIB, InterchangeCase
from tests.contract.store import servers, test_rbd

STORES = ("fast", "objects", "containers")
#: One more, where there is a cluster.
POOL = "pool"
SIZES = (1, 3 * MIB, 12 * MIB + 17)


class TestInterchange(InterchangeCase):
    sizes = SIZES
    #: Segments of an announced size, which the original does not manage to end.
    unsupported_by_reference = frozenset({("containers", SIZES[2], True)})

    def setUp(self) -> None:
        reference.command()
        directory = tempfile.TemporaryDirectory(prefix="interchange-")
        self.addCleanup(directory.cleanup)
        self.files = os.path.join(directory.name, "data", "fast")
        options = self.configure_s3() + self.configure_swift(directory.name)
        self.stores, self.in_pool, rbd_options = STORES, list, ""
        if not test_rbd.missing():
            self.stores, rbd_options = (*STORES, POOL), self.configure_rbd()
        pool = f", {POOL}:rbd" if rbd_options else ""
        self.installation = reference.Installation(
            directory.name,
            f"sqlite:///{directory.name}/glance.sqlite",
            "fakeauth+nocache",
            "[DEFAULT]\n"
            f"enabled_backends = fast:file, slow:file, objects:s3, containers:swift{pool}\n"
            + options
            + rbd_options,
        )
        self.addCleanup(self.installation.stop)

    def configure_s3(self) -> str:
        url = urlsplit(servers.s3())
        host = f"http://{url.netloc.rpartition('@')[2]}"
        self.bucket = s3.S3Driver(
            settings(
                S3_OPTIONS,
                s3_store_host=host,
                s3_store_access_key=url.username,
                s3_store_secret_key=url.password,
                s3_store_bucket="interchange",
            ),
            "x",
        )._client
        self.bucket.create_bucket()
        return stores.s3("objects", host, url.username, url.password, "interchange")

    def configure_swift(self, directory: str) -> str:
        url = urlsplit(servers.swift_keystone().partition(",")[0])
        credentials, _, host = url.netloc.rpartition("@")
        user, _, key = credentials.rpartition(":")
        path = os.path.join(directory, "references.conf")
        stores.write_references(path, f"http://{host}{url.path}", user, key)
        made = swift.SwiftDriver(
            settings(SWIFT_OPTIONS, swift_store_config_file=path, default_swift_reference="ours"),
            "x",
        )
        self.account = made._client(made._references["ours"])
        return stores.swift(
            "containers",
            path,
            "interchange",
            more="swift_store_multiple_containers_seed = 2\n",
        )

    def configure_rbd(self) -> str:
        cluster = rbd.RbdDriver(
            settings(
                RBD_OPTIONS,
                rbd_store_ceph_conf=test_rbd.CONF,
                rbd_store_pool=test_rbd.POOL,
                rbd_store_user=test_rbd.USER,
                rados_connect_timeout=30,
            ),
            "x",
        )._cluster

        def names() -> list[str]:
            with cluster.pool() as pool:
                return [
                    *test_rbd.librbd.RBD().list(pool),
                    *(each["name"] for each in test_rbd.librbd.RBD().trash_list(pool)),
                ]

        self.in_pool = names
        return test_rbd.section(POOL)

    def remaining_objects(self) -> list[str]:
        return [
            *self.in_pool(),
            *os.listdir(self.files),
            *(each.key for each in self.bucket.list_objects()),
            *(each.key for each in self.bucket.list_uploads()),
            *(
                each.name
                for container in self.account.list_containers("interchange")
                for each in self.account.list_objects(container)
            ),
        ]

    def test_images_change_hands(self) -> None:
        self.installation.start_reference()
        theirs = self.upload_all(by_reference=True)
        self.installation.stop_reference()
        self.installation.start_service()
        self.read_all(theirs)
        self.delete_all(theirs)
        self.assertEqual([], self.remaining_objects())
        ours = self.upload_all()
        self.read_all(ours)
        self.installation.stop_service()
        self.installation.start_reference()
        self.read_all(ours, ranges=False)
        self.delete_all(ours)
        self.assertEqual([], self.remaining_objects())
