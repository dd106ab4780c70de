"""The file driver keeps the contract of drivers, with its options too."""

import os
import tempfile
import unittest

from glance_store_py.drivers import file
from glance_store_py.drivers.file_options import OPTIONS as FILE_OPTIONS
from glance_store_py.testing import DriverContract, settings


class TestFile(DriverContract, unittest.TestCase):
    capabilities = file.FileDriver.capabilities
    options: dict = {}

    def make_driver(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = os.path.join(scratch.name, "images")
        return file.FileDriver(
            settings(FILE_OPTIONS, filesystem_store_datadir=self.directory, **self.options),
            "contract",
        )

    def leftovers(self):
        return os.listdir(self.directory)


class TestFileWithOptions(TestFile):
    options = {
        "filesystem_thin_provisioning": True,
        "filesystem_store_timeout": 10,
        "filesystem_store_chunk_size": 1000,
        "filesystem_store_file_perm": 640,
    }
