"""The example in writing-a-driver.md is a driver that passes the contract of drivers."""

import pathlib
import re
import tempfile
import unittest

from glance_store_py import driver
from glance_store_py.testing import DriverContract, settings

PAGE = pathlib.Path(__file__).parents[3] / "doc/source/contributor/writing-a-driver.md"
TEXT = PAGE.read_text()
[CODE] = re.findall(r"```python\n(\"\"\".*?)```", TEXT, re.DOTALL)


NAMES: dict = {"__name__": "example"}
exec(compile(CODE, str(PAGE), "exec"), NAMES)  # noqa: S102 - our own page


class TestExample(DriverContract, unittest.TestCase):
    capabilities = NAMES["SqliteDriver"].capabilities

    def make_driver(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        return NAMES["SqliteDriver"](
            settings(NAMES["SPEC"].options, sqlite_path=f"{scratch.name}/images.sqlite"),
            "contract",
        )


class TestCapabilityTable(unittest.TestCase):
    def test_the_page_lists_the_capabilities_that_there_are(self):
        rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", TEXT, re.MULTILINE)
        listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
        defined = {
            value for name, value in vars(driver).items() if name.isupper() and name[0] != "_"
        }
        self.assertEqual(sorted(defined), sorted(listed))
