"""The example in writing-a-driver.md is a driver that keeps the contract."""

import pathlib
import re
import tempfile
import unittest

from glance_store_py.testing import DriverContract, settings

PAGE = pathlib.Path(__file__).parents[3] / "doc/source/contributor/writing-a-driver.md"
[CODE] = re.findall(r"```python\n(\"\"\".*?)```", PAGE.read_text(), re.DOTALL)


class TestExample(DriverContract, unittest.TestCase):

    def make_driver(self):
        names: dict = {"__name__": "example"}
        exec(compile(CODE, str(PAGE), "exec"), names)  # noqa: S102 - our own page
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        return names["Driver"](
            settings(names["Driver"].options, drawer_path=f"{scratch.name}/drawer.sqlite"),
            "contract")
