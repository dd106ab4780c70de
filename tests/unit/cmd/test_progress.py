"""The progress bar: on a terminal only, and never in the way of what is printed."""

import io
import os
import pty
import select
import unittest
import unittest.mock

from glance_py.cmd import progress
from glance_py.cmd.progress import ProgressBar


class TestProgress(unittest.TestCase):
    def painted(self, total, wanted=True, pieces=(2**20, 2**20)):
        """What a terminal is sent."""
        reader, writer = pty.openpty()
        self.addCleanup(os.close, reader)
        with (
            open(writer, "w") as terminal,
            unittest.mock.patch("sys.stderr", terminal),
            unittest.mock.patch.object(progress, "REDRAW_INTERVAL", -1.0),
            unittest.mock.patch("os.get_terminal_size", lambda _: os.terminal_size((80, 24))),
        ):
            with ProgressBar("name", total, wanted) as bar:
                for piece in pieces:
                    bar.add(piece)
            # A terminal hands out what came in pieces of its own.
            text = b""
            while select.select([reader], [], [], 0.2)[0]:
                text += os.read(reader, 65536)
            return text.decode()

    def test_a_bar_grows(self):
        text = self.painted(4 * 2**20)
        self.assertIn("25% 1.0 MiB", text)
        self.assertIn("[###############               ]  50% 2.0 MiB", text)
        self.assertTrue(text.endswith("\r\033[K"))

    def test_without_a_size_there_is_no_bar(self):
        text = self.painted(None)
        self.assertIn("2.0 MiB", text)
        self.assertNotIn("[#", text)

    def test_nobody_wants_it(self):
        self.assertEqual("", self.painted(10, wanted=False))

    def test_a_file_gets_nothing(self):
        with unittest.mock.patch("sys.stderr", io.StringIO()) as file, ProgressBar("x", 10) as bar:
            bar.add(5)
        self.assertEqual("", file.getvalue())
