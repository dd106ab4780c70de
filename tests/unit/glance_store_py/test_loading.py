"""Drivers are found by name, those from elsewhere too, and ours come first."""

import importlib.metadata
import os
import sys
import tempfile
import unittest

from glance_store_py import config, driver_spec, errors
from glance_store_py.driver_spec import DRIVERS
from glance_store_py.drivers import file, memory
from glance_store_py.location import StoreLocation, parse
from glance_store_py.stores import Stores
from tests.unit.glance_store_py.test_config import configuration
from tests.unit.glance_store_py.test_stores import BACKENDS

MODULE = """
from oslo_config import cfg
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.drivers import memory
from glance_store_py.location import StoreLocation

SPEC = DriverSpec(
    name="tape",
    schemes=("tape", "reel"),
    parse=lambda scheme, rest: StoreLocation("tape", rest),
    import_path="tape_store:Driver",
    options=(cfg.StrOpt("tape_label", default="blank", help="What is on the reel."),),
    aliases=("reel", "my.tape.Store"),
)

class Driver(memory.MemoryDriver):
    spec = SPEC

    def __init__(self, options, store_id):
        super().__init__(options, store_id)
        self.properties = {"label": options["tape_label"]}

class Old:
    pass

GONE = DriverSpec(name="gone", schemes=("gone",), parse=None, import_path="tape_store:Gone")
"""

ENTRY_POINTS = """
[glance_store.drivers]
tape = tape_store:SPEC
file = tape_store:Old
old = tape_store:Old
torn = no_such_module:Driver
lost = tape_store:NOTHING
gone = tape_store:GONE
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
        DRIVERS.reload()
        self.addCleanup(DRIVERS.reload)

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

    def test_an_entry_point_may_name_a_class_that_has_a_spec(self):
        point = importlib.metadata.EntryPoint(
            "memory", "glance_store_py.drivers.memory:MemoryDriver", driver_spec.NAMESPACE
        )
        self.assertIs(memory.SPEC, driver_spec._load_spec(point))

    def test_a_driver_from_elsewhere_brings_its_urls_aliases_and_names(self):
        self.assertEqual(StoreLocation("tape", "1"), parse("REEL://1"))
        self.assertEqual("tape", DRIVERS.aliases["my.tape.Store"])
        [_, default_store] = config.single_options()
        choices = list(default_store.type.choices)
        self.assertIn("tape", choices)
        self.assertIn("reel", choices)
        self.assertNotIn("my.tape.Store", choices)
        [(_, options)] = config.list_opts()
        self.assertIn("tape_label", [option.name for option in options])

    def test_without_enabled_backends_it_is_named_by_an_alias(self):
        conf = configuration(
            "[glance_store]\nstores = my.tape.Store\ndefault_store = reel\ntape_label = one\n"
        )
        conf.register_opt(BACKENDS)
        stores = Stores.from_config(conf, reserved=())
        self.assertEqual((("tape",), "tape"), (stores.ids, stores.default))
        self.assertEqual({"label": "one"}, stores.describe()[0].properties)

    def test_of_two_drivers_of_one_name_ours_is_used(self):
        self.assertIsInstance(self.stores("a:file")._get_store("a").guard.driver, file.FileDriver)

    def test_what_cannot_be_used_is_said_at_start(self):
        for kind, message in (
            ("old", "not made for this library"),
            ("torn", "cannot be loaded.*no_such_module"),
            ("lost", "cannot be loaded.*NOTHING"),
            ("gone", "cannot be loaded.*Gone"),
            ("none", "no driver"),
        ):
            with (
                self.subTest(kind=kind),
                self.assertRaisesRegex(errors.BadStoreConfiguration, message),
            ):
                self.stores(f"a:{kind}")
