"""The page about the layers shows what ``glance-manage layers`` prints."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
import tempfile
import unittest

from glance_py.cmd import manage

PAGE = pathlib.Path(__file__).parents[2] / "doc/source/contributor/layers.md"


class TestLayersPage(unittest.TestCase):
    def test_the_page_shows_what_the_command_prints(self) -> None:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), tempfile.NamedTemporaryFile() as configuration:
            status = manage.main(["--config-file", configuration.name, "layers"])
        self.assertEqual(0, status)
        shown = re.search(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
        self.assertIsNotNone(shown, f"{PAGE} shows no layers")
        self.assertEqual(printed.getvalue(), shown.group(1))


if __name__ == "__main__":
    unittest.main()
