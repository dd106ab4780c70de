"""The rbd driver keeps the contract of drivers, against a real Ceph cluster.

``GLANCE_TEST_CEPH_CONF`` names the Ceph configuration of a cluster for tests, with
a pool ``images`` (or ``GLANCE_TEST_CEPH_POOL``) that the user ``glance`` (or
``GLANCE_TEST_CEPH_USER``) may write to.
"""

import json
import os
import tempfile
import unittest
import uuid
from unittest import mock

try:
    import rados as librados
    import rbd as librbd
except ImportError:
    librados = librbd = None

from glance_store_py import errors
from glance_store_py.drivers import rbd
from glance_store_py.drivers.rbd_options import OPTIONS
from glance_store_py.location import parse
from glance_store_py.testing import DriverContract, settings
from glance_store_py.testing.contract import failing
from tests.waiting import eventually

MIB = 1024 * 1024

CONF = os.environ.get("GLANCE_TEST_CEPH_CONF")
POOL = os.environ.get("GLANCE_TEST_CEPH_POOL", "images")
USER = os.environ.get("GLANCE_TEST_CEPH_USER", "glance")


def section(name: str) -> str:
    """The configuration of a store in the cluster."""
    return (
        f"[{name}]\nrbd_store_pool = {POOL}\nrbd_store_user = {USER}\n"
        f"rbd_store_ceph_conf = {CONF}\nrados_connect_timeout = 30\n"
    )


def missing() -> str | None:
    """Why there is no cluster to test with."""
    if not CONF:
        return "GLANCE_TEST_CEPH_CONF is not set"
    if librbd is None:
        return "the module rbd (package python3-rbd) cannot be imported"
    return None


class TestRBD(DriverContract, unittest.TestCase):
    capabilities = rbd.RbdDriver.capabilities
    options: dict = {}

    @classmethod
    def setUpClass(cls):
        if reason := missing():
            raise unittest.SkipTest(reason)
        super().setUpClass()

    def make_driver(self):
        made = rbd.RbdDriver(
            settings(
                OPTIONS,
                rbd_store_ceph_conf=CONF,
                rbd_store_pool=POOL,
                rbd_store_user=USER,
                rados_connect_timeout=30,
                **self.options,
            ),
            "contract",
        )
        self.addCleanup(self.tidy, made._cluster)
        self.cluster = made._cluster
        return made

    def tidy(self, cluster):
        with cluster.pool() as pool:
            for name in librbd.RBD().list(pool):
                rbd._remove(pool, name, rbd.SNAPSHOT)
            for entry in librbd.RBD().trash_list(pool):
                with librbd.Image(pool, image_id=entry["id"]) as image:
                    for snapshot in image.list_snaps():
                        if snapshot["namespace"] == librbd.RBD_SNAP_NAMESPACE_TYPE_USER:
                            image.remove_snap(snapshot["name"])
                librbd.RBD().trash_remove(pool, entry["id"])

    def leftovers(self):
        with self.cluster.pool() as pool:
            return librbd.RBD().list(pool)


class TestRBDWithOptions(TestRBD):
    options = {"rbd_thin_provisioning": True, "rbd_store_chunk_size": 1}

    def test_zeros_take_no_room_and_are_read(self):
        chunks = [b"x" * MIB, bytes(5 * MIB), b"y" * MIB, bytes(3)]
        location = parse(self.store.add(self.image_id, chunks).url)
        extents = []
        with self.cluster.pool() as pool, librbd.Image(pool, self.image_id) as image:
            self.assertEqual(20, image.stat()["order"])
            image.diff_iterate(
                0,
                image.size(),
                None,
                lambda offset, length, exists: extents.append((offset, length)),
            )
        self.assertEqual([(0, MIB), (6 * MIB, MIB)], extents)
        self.assertTrue(b"".join(chunks) == self.read(location))


class TestRBDImages(TestRBD):
    """What is particular to images in a pool: snapshots, clones, connections."""

    @classmethod
    def applies(cls, name, case):
        return name not in dir(DriverContract)

    def setUp(self):
        super().setUp()
        self.location = parse(self.put_object(self.image_id, b"data"))

    def clone(self, pool, name, version):
        self.cluster._connection.get().cluster.conf_set("rbd_default_clone_format", str(version))
        librbd.RBD().clone(pool, self.image_id, rbd.SNAPSHOT, pool, name)

    def test_an_image_with_a_clone_is_not_removed(self):
        with self.cluster.pool() as pool:
            self.clone(pool, "disk", 1)
            self.assertRaises(errors.InUseByStore, self.store.delete, self.location)
            with librbd.Image(pool, self.image_id) as image:
                self.assertTrue(image.is_protected_snap(rbd.SNAPSHOT))
            self.assertEqual(b"data", self.read(self.location))
            librbd.RBD().remove(pool, "disk")
        self.store.delete(self.location)
        self.assertEqual([], self.leftovers())

    def test_a_clone_that_keeps_its_parent_outlives_it(self):
        with self.cluster.pool() as pool:
            try:
                self.clone(pool, "disk", 2)
            except librbd.Error as error:
                self.skipTest(f"the cluster makes no clones of version 2: {error}")
            self.store.delete(self.location)
            self.assertRaises(errors.StoreObjectNotFound, self.store.get, self.location)
            with librbd.Image(pool, "disk") as image:
                self.assertEqual(b"data", image.read(0, 4))
            librbd.RBD().remove(pool, "disk")

    def test_an_image_with_another_snapshot_goes_to_the_trash(self):
        with self.cluster.pool() as pool:
            with librbd.Image(pool, self.image_id) as image:
                image.create_snap("backup")
            self.store.delete(self.location)
            self.assertEqual(
                [self.image_id], [entry["name"] for entry in librbd.RBD().trash_list(pool)]
            )
        self.assertEqual([], self.leftovers())

    def test_an_image_that_is_open_elsewhere_is_not_removed(self):
        with self.cluster.pool() as pool, librbd.Image(pool, self.image_id):
            self.assertRaises(errors.InUseByStore, self.store.delete, self.location)
        self.assertEqual(b"data", self.read(self.location))
        self.store.delete(self.location)

    def test_an_image_without_its_snapshot_is_not_there_but_can_be_removed(self):
        with self.cluster.pool() as pool:
            librbd.RBD().create(pool, "torn", MIB)
        (location,) = self.store.predict_locations("torn")
        self.assertRaises(errors.StoreObjectNotFound, self.store.get, location)
        self.assertRaises(errors.StoreObjectNotFound, self.store.size, location)
        self.store.delete(location)
        self.assertRaises(errors.StoreObjectNotFound, self.store.delete, location)

    def test_what_a_dead_writer_left_does_not_keep_the_next_one_out(self):
        with self.cluster.pool() as pool:
            librbd.RBD().create(pool, "torn", MIB)
            self.assertRaises(errors.StoreObjectExists, self.store.add, "torn", [b"data"])
            with mock.patch.object(rbd, "ABANDONED_SECONDS", -60):
                with librbd.Image(pool, "torn"):
                    self.assertRaises(errors.StoreObjectExists, self.store.add, "torn", [b"data"])
                stored = self.store.add("torn", [b"data"])
                self.assertRaises(errors.StoreObjectExists, self.store.add, "torn", [b"other"])
        self.assertEqual(b"data", self.read(parse(stored.url)))

    def test_what_cannot_be_removed_is_removed_later(self):
        self.store.driver._deferred._retry_interval = 0.1
        remove, torn, calls = rbd._remove, str(uuid.uuid4()), []

        def removing(*arguments):
            calls.append(arguments)
            if len(calls) == 1:
                raise TimeoutError
            remove(*arguments)

        with mock.patch.object(rbd, "_remove", removing):
            with self.assertRaises(Exception) as caught:
                self.store.add(torn, failing(b"x"))
            self.assertEqual("BrokenSource", type(caught.exception).__name__)
            self.assertIn(torn, self.leftovers())
            self.assertTrue(self.wait_until(lambda: torn not in self.leftovers()))
        self.assertEqual(2, len(calls))

    def test_what_another_writer_made_is_not_removed(self):
        self.store.driver._remove_failed_upload(self.image_id, "another id")
        self.assertEqual(b"data", self.read(self.location))

    def test_an_attempt_has_the_snapshot_that_others_clone_from(self):
        location = parse(self.store.add(self.attempt(2), [b"more data"]).url)
        self.assertEqual(f"/{POOL}/{self.attempt(2)}/{rbd.SNAPSHOT}", location.path)
        with self.cluster.pool() as pool, librbd.Image(pool, self.attempt(2)) as image:
            self.assertTrue(image.is_protected_snap(rbd.SNAPSHOT))

    def test_addresses_of_other_pools_are_refused(self):
        other = parse(self.location.url.replace(f"/{POOL}/", "/vms/"))
        for operation in (self.store.get, self.store.size, self.store.delete):
            self.assertRaises(errors.BadStoreUri, operation, other)

    def test_an_address_may_be_a_name_alone(self):
        self.assertEqual(b"data", self.read(parse(f"rbd://{self.image_id}")))

    def test_the_cluster_is_known_as_soon_as_it_is_needed(self):
        fsid = self.cluster.fsid()
        self.assertEqual(fsid, self.location.authority)
        self.assertEqual(fsid, self.store.driver.prefixes[0].authority)
        self.assertEqual(
            {"chunk_size": 8 * MIB, "pool": POOL, "thin_provisioning": False, "fsid": fsid},
            self.store.driver.properties,
        )

    def test_a_child_process_connects_anew(self):
        child = os.fork()
        if not child:
            status = 1
            try:
                status = 0 if self.read(self.location) == b"data" else 2
            finally:
                os._exit(status)
        self.assertEqual(0, os.waitpid(child, 0)[1])
        self.assertEqual(b"data", self.read(self.location))

    def test_a_connection_that_was_given_up_is_made_anew(self):
        connection = self.cluster._connection.get()
        for address in connection.cluster.get_addrs().split(","):
            self.command(
                "osd blocklist", blocklistop="add", expire=60.0, addr=address.replace("v2:", "")
            )
        connection.cluster.wait_for_latest_osdmap()
        self.assertEqual(b"data", self.read(self.location))
        self.assertIsNot(connection, self.cluster._connection.get())

    def command(self, prefix, **arguments):
        """Tell a monitor something, as its administrator."""
        with librados.Rados(conffile=CONF) as admin:
            result, _, reason = admin.mon_command(json.dumps({"prefix": prefix, **arguments}), b"")
        self.assertEqual(0, result, reason)

    def full(self):
        """Does the pool refuse another image?"""
        try:
            self.store.delete(parse(self.store.add(str(uuid.uuid4()), [b"x"]).url))
        except errors.StorageFull:
            return True
        return False

    def set_quota(self, objects):
        self.command("osd pool set-quota", pool=POOL, field="max_objects", val=str(objects))

    def test_a_full_pool_says_so_and_lets_things_be_removed(self):
        self.addCleanup(eventually, self.full, lambda full: not full)
        self.addCleanup(self.set_quota, 0)
        self.set_quota(1)
        try:
            eventually(self.full)
        except AssertionError:
            self.skipTest("the cluster has no manager that counts what is in a pool")
        self.assertEqual(b"data", self.read(self.location))
        self.store.delete(self.location)
        self.assertEqual([], self.leftovers())

    def test_a_cluster_that_is_away_does_not_hold_anybody(self):
        away = rbd.RbdDriver(
            settings(
                OPTIONS,
                rbd_store_ceph_conf=self.away(),
                rbd_store_pool=POOL,
                rados_connect_timeout=1,
            ),
            "away",
        )
        away.configure_add()
        for _ in range(3):
            self.assertRaises(errors.RemoteServiceUnavailable, away.size, self.location)

    def away(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        path = os.path.join(scratch.name, "ceph.conf")
        with open(path, "w") as file:
            file.write("[global]\nmon host = 127.0.0.1:1\nauth client required = none\n")
        return path
