"""The memory driver keeps the contract of drivers."""

import unittest

from glance_store_py.drivers import memory
from glance_store_py.testing import DriverContract, settings


class TestMemory(DriverContract, unittest.TestCase):
    capabilities = memory.MemoryDriver.capabilities

    def make_driver(self):
        return memory.MemoryDriver(settings(), "contract")
