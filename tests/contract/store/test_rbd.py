"""The rbd driver keeps the contract of drivers, against a real Ceph cluster.

``GLANCE_TEST_CEPH_CONF`` names the Ceph configuration of a cluster for tests, with
a pool ``images`` (or ``GLANCE_TEST_CEPH_POOL``) that the user ``glance`` (or
``GLANCE_TEST_CEPH_USER``) may write to.
"""

import importlib.util
import os
import unittest

from glance_store_py.drivers import rbd
from glance_store_py.drivers.rbd_options import OPTIONS
from glance_store_py.testing import DriverContract, settings

CONF = os.environ.get("GLANCE_TEST_CEPH_CONF")
POOL = os.environ.get("GLANCE_TEST_CEPH_POOL", "images")
USER = os.environ.get("GLANCE_TEST_CEPH_USER", "glance")


def missing() -> str | None:
    """Why there is no cluster to test with."""
    if not CONF:
        return "GLANCE_TEST_CEPH_CONF is not set"
    if importlib.util.find_spec("rbd") is None:
        return "the module rbd (package python3-rbd) cannot be imported"
    return None


@unittest.skipIf(missing(), missing())
class TestRBD(DriverContract, unittest.TestCase):
    options: dict = {}

    def make_driver(self):
        made = rbd.Driver(settings(OPTIONS, rbd_store_ceph_conf=CONF, rbd_store_pool=POOL,
                                   rbd_store_user=USER, rados_connect_timeout=30,
                                   **self.options), "contract")
        self.addCleanup(self.tidy, made._cluster)
        self.cluster = made._cluster
        return made

    def tidy(self, cluster):
        import rbd as librbd

        with cluster.pool() as pool:
            for name in librbd.RBD().list(pool):
                rbd._remove(pool, name, rbd.SNAPSHOT)

    def leftovers(self):
        import rbd as librbd

        with self.cluster.pool() as pool:
            return librbd.RBD().list(pool)


class TestRBDWithOptions(TestRBD):
    options = {"rbd_thin_provisioning": True, "rbd_store_chunk_size": 1}
