"""The example in writing-a-driver.md is a driver that keeps the contract."""

import pathlib
import re
import tempfile
import unittest

from glance_store_py.testing import DriverContract, settings

PAGE = pathlib.Path(__file__).parents[3] / "doc/source/contributor/writing-a-driver.md"
[CODE] = re.findall(r"```python\n(\"\"\".*?)```", PAGE.read_text(), re.DOTALL)


NAMES: dict = {"__name__": "example"}
exec(compile(CODE, str(PAGE), "exec"), NAMES)  # noqa: S102 - our own page


class TestExample(DriverContract, unittest.TestCase):
    capabilities = NAMES["SqliteDriver"].capabilities

    def make_driver(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        return NAMES["SqliteDriver"](
            settings(NAMES["SqliteDriver"].options, sqlite_path=f"{scratch.name}/images.sqlite"),
            "contract",
        )
