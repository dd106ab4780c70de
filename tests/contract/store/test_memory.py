"""The memory driver keeps the contract of drivers."""

import unittest

from glance_store_py.drivers import memory
from glance_store_py.testing import DriverContract, settings


class TestMemory(DriverContract, unittest.TestCase):
    abilities = memory.Driver.abilities

    def make_driver(self):
        return memory.Driver(settings(), "contract")
