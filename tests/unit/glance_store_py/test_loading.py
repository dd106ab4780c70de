"""Drivers are found by name, those from elsewhere too, and ours come first."""

import os
import sys
import tempfile
import unittest

from glance_store_py import errors
from glance_store_py.drivers import file
from glance_store_py.stores import Stores
from tests.unit.glance_store_py.test_config import configuration
from tests.unit.glance_store_py.test_stores import BACKENDS

MODULE = """
from oslo_config import cfg
from glance_store_py.drivers import memory

class Driver(memory.MemoryDriver):
    options = (cfg.StrOpt("tape_label", default="blank", help="What is on the reel."),)

    def __init__(self, settings, store_id):
        super().__init__(settings, store_id)
        self.properties = {"label": settings["tape_label"]}

class Old:
    pass
"""

ENTRY_POINTS = """
[glance_store.drivers]
tape = tape_store:Driver
file = tape_store:Old
old = tape_store:Old
torn = no_such_module:Driver
"""


class TestForeignDrivers(unittest.TestCase):
    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        info = os.path.join(self.scratch, "tape_store-1.0.dist-info")
        os.mkdir(info)
        for path, text in (
            (f"{self.scratch}/tape_store.py", MODULE),
            (f"{info}/METADATA", "Metadata-Version: 2.1\nName: tape-store\n"),
            (f"{info}/entry_points.txt", ENTRY_POINTS),
        ):
            with open(path, "w") as target:
                target.write(text)
        sys.path.insert(0, self.scratch)
        self.addCleanup(sys.path.remove, self.scratch)
        self.addCleanup(sys.modules.pop, "tape_store", None)

    def stores(self, backends, more=""):
        conf = configuration(
            f"[DEFAULT]\nenabled_backends = {backends}\n[glance_store]\ndefault_backend = a\n"
            f"[a]\nfilesystem_store_datadir = {self.scratch}/images\n{more}"
        )
        conf.register_opt(BACKENDS)
        return Stores.from_config(conf, reserved=())

    def test_a_driver_from_elsewhere_brings_its_options(self):
        stores = self.stores("a:tape, b:tape", "tape_label = one\n[b]\n")
        self.assertEqual(
            [{"label": "one"}, {"label": "blank"}], [info.properties for info in stores.describe()]
        )
        self.assertEqual({"store": "b"}, stores.add("b", "id", [b"x"]).metadata)

    def test_of_two_drivers_of_one_name_ours_is_used(self):
        self.assertIsInstance(self.stores("a:file")._get_store("a").guard.driver, file.FileDriver)

    def test_what_cannot_be_used_is_said_at_start(self):
        for kind, message in (
            ("old", "not made for this library"),
            ("torn", "cannot be loaded.*no_such_module"),
            ("none", "no driver"),
        ):
            with (
                self.subTest(kind=kind),
                self.assertRaisesRegex(errors.BadStoreConfiguration, message),
            ):
                self.stores(f"a:{kind}")
