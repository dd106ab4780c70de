"""The rbd driver with a cluster in memory: the contract, failures, clones and connections.

``tests/contract/store/test_rbd.py`` runs the contract against a real cluster.
"""

import datetime
import errno
import os
import unittest
from unittest import mock

from glance_store_py import errors
from glance_store_py.drivers import rbd, rbd_cluster
from glance_store_py.drivers.rbd_options import OPTIONS
from glance_store_py.location import parse
from glance_store_py.testing import DriverContract, settings
from glance_store_py.testing.contract import BrokenSource, failing
from tests.unit.glance_store_py.drivers.fake_ceph import FSID, Cluster
from tests.unit.glance_store_py.test_process import in_child

IMAGE_ID = "8c7338aa-40f0-4fe4-bf94-012345678901"
MIB = 1024 * 1024


class RBDCase(DriverContract):
    capabilities = rbd.RbdDriver.capabilities
    options: dict = {}

    def make_driver(self):
        self.cluster = Cluster()
        self.enterContext(self.cluster.installed())
        made = rbd.RbdDriver(settings(OPTIONS, **self.options), "contract")
        made._deferred._retry_interval = 0.01
        return made

    def leftovers(self):
        return list(self.cluster.images)


class TestRBD(RBDCase, unittest.TestCase):
    pass


class TestRBDWithOptions(RBDCase, unittest.TestCase):
    options = {"rbd_thin_provisioning": True, "rbd_store_chunk_size": 1, "rados_connect_timeout": 3}

    def test_options_reach_the_cluster(self):
        self.store.add(self.image_id, [b"data"])
        self.assertEqual(20, self.cluster.images[self.image_id]["order"])
        self.assertEqual({"3"}, set(self.cluster.options.values()))
        self.assertEqual(3, len(self.cluster.options))

    def test_zeros_are_not_written(self):
        self.cluster.failures["write"] = []
        location = parse(self.store.add(self.image_id, [bytes(2 * MIB), b"end"]).url)
        self.assertEqual(bytes(2 * MIB) + b"end", self.read(location))


class TestImages(RBDCase, unittest.TestCase):
    """What is particular to RBD images: snapshots, clones, the trash, abandoned images."""

    @classmethod
    def applies(cls, name, case):
        return name not in dir(DriverContract)

    def setUp(self):
        super().setUp()
        self.location = parse(self.store.add(self.image_id, [b"data"], 4).url)
        self.image = self.cluster.images[self.image_id]

    def test_the_url_names_cluster_pool_image_and_snapshot(self):
        self.assertEqual(f"rbd://{FSID}/images/{self.image_id}/snap", self.location.url)
        self.assertEqual(
            {"chunk_size": 8 * MIB, "pool": "images", "thin_provisioning": False, "fsid": FSID},
            self.store.driver.properties,
        )
        self.assertTrue(self.image["snapshots"]["snap"]["protected"])
        for name in ("", "a/b", "a@b"):
            self.assertRaises(errors.StoreInvalidInput, self.store.predict_locations, name)

    def test_an_image_with_clones_stays(self):
        self.image["clones"] = 1
        self.assertRaises(errors.InUseByStore, self.store.delete, self.location)
        self.assertTrue(self.image["snapshots"]["snap"]["protected"])

    def test_an_image_that_is_open_elsewhere_stays(self):
        self.image["watchers"].append("client")
        self.assertRaises(errors.InUseByStore, self.store.delete, self.location)
        self.assertEqual(b"data", self.read(self.location))

    def test_an_image_that_is_opened_while_it_is_removed_stays_complete(self):
        busy = self.cluster.rbd.ImageBusy()
        with mock.patch.object(self.cluster.rbd.RBD, "remove", side_effect=busy):
            self.assertRaises(errors.InUseByStore, self.store.delete, self.location)
        self.assertEqual(b"data", self.read(self.location))
        self.assertTrue(self.image["snapshots"]["snap"]["protected"])

    def test_an_incomplete_image_that_is_busy_gets_no_snapshot(self):
        del self.image["snapshots"]["snap"]
        busy = self.cluster.rbd.ImageBusy()
        with mock.patch.object(self.cluster.rbd.RBD, "remove", side_effect=busy):
            self.assertRaises(errors.InUseByStore, self.store.delete, self.location)
        self.assertEqual({}, self.image["snapshots"])

    def test_an_image_with_another_snapshot_goes_to_the_trash(self):
        self.image["snapshots"]["backup"] = {"data": b"", "protected": False}
        self.store.delete(self.location)
        self.assertEqual([self.image_id], self.cluster.trash)

    def test_a_snapshot_that_is_not_protected_is_removed(self):
        self.image["snapshots"]["snap"]["protected"] = False
        self.store.delete(self.location)
        self.assertEqual([], self.leftovers())

    def test_an_incomplete_image_is_not_there_and_is_removed(self):
        del self.image["snapshots"]["snap"]
        self.assertRaises(errors.StoreObjectNotFound, self.store.get, self.location)
        self.store.delete(self.location)
        self.assertEqual([], self.leftovers())

    def test_an_abandoned_image_is_written_again(self):
        del self.image["snapshots"]["snap"]
        self.assertRaises(errors.StoreObjectExists, self.store.add, self.image_id, [b"new"])
        self.image["created"] -= datetime.timedelta(seconds=rbd.ABANDONED_SECONDS + 1)
        self.image["watchers"].append("writer")
        self.assertRaises(errors.StoreObjectExists, self.store.add, self.image_id, [b"new"])
        self.image["watchers"].clear()
        with self.assertLogs("glance_store_py", "WARNING"):
            self.store.add(self.image_id, [b"new"])
        self.assertEqual(b"new", self.read(self.location))

    def test_an_old_complete_image_is_not_abandoned(self):
        self.image["created"] -= datetime.timedelta(seconds=rbd.ABANDONED_SECONDS + 1)
        self.assertRaises(errors.StoreObjectExists, self.store.add, self.image_id, [b"new"])

    def test_disks_are_not_listed(self):
        self.cluster.images["volume-1"] = self.image
        self.assertEqual([self.image_id], [each.name for each in self.store.list_objects()])

    def test_an_image_that_is_removed_while_it_is_listed_is_left_out(self):
        real = self.cluster.rbd.Image

        def vanished(pool, name, **options):
            if name == self.image_id:
                raise self.cluster.rbd.ImageNotFound()
            return real(pool, name, **options)

        other = parse(self.store.add(IMAGE_ID, [b"x"]).url)
        with mock.patch.object(self.cluster.rbd, "Image", vanished):
            self.assertEqual([other.url], [each.url for each in self.store.list_objects()])

    def test_a_url_with_a_name_alone_is_read_without_a_snapshot(self):
        self.assertEqual(b"data", self.read(parse(f"rbd://{self.image_id}")))

    def test_health(self):
        with self.assertLogs("glance_store_py", "DEBUG"):
            self.store.health_check()
        self.cluster.has_directory = True
        self.store.health_check()
        self.cluster.failures["stat"] = [errno.EIO]
        self.assertRaises(errors.GlanceStoreError, self.store.health_check)

    def test_reads_in_flight_end_before_the_image_is_closed(self):
        location = parse(self.store.add(IMAGE_ID, [b"x" * 6 * MIB]).url)
        data = self.store.get(location)
        next(data.chunks)
        data.close()
        data.close()

    def test_a_read_that_fails_is_an_error(self):
        self.cluster.failures["read"] = [errno.EIO]
        data = self.store.get(self.location)
        self.assertRaises(errors.GlanceStoreError, next, data.chunks)

    def test_an_image_whose_size_cannot_be_read_is_closed(self):
        self.cluster.failures["size"] = [errno.EIO]
        with mock.patch.object(self.cluster.rbd.Image, "close") as close:
            self.assertRaises(errors.GlanceStoreError, self.store.get, self.location)
        close.assert_called_once_with()


class TestFailedUploads(RBDCase, unittest.TestCase):
    @classmethod
    def applies(cls, name, case):
        return name not in dir(DriverContract)

    def wait(self):
        self.assertTrue(self.store.driver._deferred.join(60))

    def test_a_write_that_fails_leaves_nothing(self):
        for failures in ({"write": [errno.ENOSPC]}, {"flush": [errno.EIO]}):
            with self.subTest(failures=failures):
                self.cluster.failures = failures
                self.assertRaises(errors.GlanceStoreError, self.store.add, IMAGE_ID, [b"x" * MIB])
                self.assertEqual([], self.leftovers())

    def test_an_image_that_cannot_be_created_or_opened(self):
        self.cluster.failures = {"create": [errno.ENOSPC]}
        self.assertRaises(errors.StorageFull, self.store.add, IMAGE_ID, [b"x"])
        self.cluster.failures = {"open": [errno.EIO]}
        self.assertRaises(errors.GlanceStoreError, self.store.add, IMAGE_ID, [b"x"])

    def test_an_image_is_removed_when_the_cluster_answers_again(self):
        self.cluster.failures = {"write": [errno.EIO], "remove": [errno.ETIMEDOUT] * 2}
        with self.assertLogs("glance_store_py"):
            self.assertRaises(errors.GlanceStoreError, self.store.add, IMAGE_ID, [b"x"])
            self.wait()
        self.assertEqual([], self.leftovers())

    def test_an_image_of_another_writer_is_not_removed(self):
        def source():
            yield b"x" * MIB
            self.cluster.images[IMAGE_ID]["id"] = "of another writer"
            yield from failing()

        self.assertRaises(BrokenSource, self.store.add, IMAGE_ID, source())
        self.assertEqual([IMAGE_ID], self.leftovers())

    def test_an_image_that_is_gone_is_no_failure(self):
        def source():
            yield b"x" * MIB
            self.cluster.images.clear()
            yield from failing()

        with self.assertNoLogs("glance_store_py", "WARNING"):
            self.assertRaises(BrokenSource, self.store.add, IMAGE_ID, source())


class TestCluster(RBDCase, unittest.TestCase):
    """Connections: one per process, replaced when the cluster has closed it."""

    @classmethod
    def applies(cls, name, case):
        return name not in dir(DriverContract)

    def setUp(self):
        super().setUp()
        self.ceph = self.store.driver._cluster
        (self.location,) = self.store.predict_locations(self.image_id)

    def test_a_connection_serves_many_calls_and_a_closed_one_is_replaced(self):
        self.store.add(self.image_id, [b"data"])
        self.assertEqual(1, self.cluster.connections)
        self.cluster.failures["open"] = [errno.ESHUTDOWN]
        self.assertEqual(4, self.store.size(self.location))
        self.assertEqual(2, self.cluster.connections)

    def test_other_errors_keep_the_connection(self):
        self.cluster.failures["open"] = [errno.EIO]
        self.assertRaises(errors.GlanceStoreError, self.store.size, self.location)
        self.assertEqual(1, self.cluster.connections)

    def test_an_error_without_a_number_is_an_error_of_input_and_output(self):
        with self.assertRaises(OSError) as caught, self.ceph.pool():
            raise self.cluster.rbd.Error()
        self.assertEqual((errno.EIO, "rbd failed"), caught.exception.args)

    def test_a_child_process_has_a_connection_of_its_own(self):
        self.store.add(self.image_id, [b"data"])
        self.assertEqual("2", in_child(lambda: (self.ceph.fsid(), self.cluster.connections)[1]))
        self.assertEqual(1, self.cluster.connections)

    def test_a_failure_to_connect_is_remembered_for_a_while(self):
        self.ceph._connection.discard(self.ceph._connection.get())
        self.cluster.failures["connect"] = [errno.ENOENT]
        now = [100.0]
        with mock.patch.object(rbd_cluster, "clock", lambda: now[0]):
            with self.assertLogs("glance_store_py", "ERROR") as logs:
                self.assertRaises(errors.RemoteServiceUnavailable, self.ceph.fsid)
            self.assertIn(os.strerror(errno.ENOENT), logs.output[0])
            now[0] += rbd_cluster.RECONNECT_SECONDS - 0.1
            self.assertRaises(errors.RemoteServiceUnavailable, self.ceph.fsid)
            now[0] += 0.2
            self.assertEqual(FSID, self.ceph.fsid())

    def test_without_the_libraries_the_store_does_not_connect(self):
        self.ceph._connection.discard(self.ceph._connection.get())
        with mock.patch.dict("sys.modules", {"rados": None}):
            self.assertRaises(errors.RemoteServiceUnavailable, self.store.size, self.location)

    def test_the_id_of_the_cluster_in_the_configuration(self):
        for configured, found in (
            (None, None),
            ("", None),
            ("00000000-0000-0000-0000-000000000000", None),
            (FSID, FSID),
        ):
            self.cluster.configured_fsid = configured
            self.assertEqual(found, self.ceph.configured_fsid())
        self.store.driver.configure_add()
        self.assertEqual(FSID, self.store.driver.prefixes[0].authority)

    def test_what_prevents_connecting_is_named_at_start(self):
        self.cluster.failures["configure"] = [errno.ENOENT]
        self.assertRaisesRegex(
            errors.BadStoreConfiguration, "rbd_store_ceph_conf", self.store.driver.configure_add
        )
        with mock.patch.dict("sys.modules", {"rados": None}):
            self.assertRaisesRegex(
                errors.BadStoreConfiguration, "rbd_store_pool", self.store.driver.configure_add
            )
        self.assertRaises(
            errors.BadStoreConfiguration, rbd.RbdDriver, settings(OPTIONS, rbd_store_pool=""), "s"
        )
