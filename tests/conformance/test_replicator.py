"""glance-replicator between the original service and this one, both ways."""

from __future__ import annotations

import contextlib
import io
import tempfile
import unittest

from glance_py.cmd import replicator
from tests.conformance import reference
from tests.conformance.sample_data import SampleData
from tests.functional.server import GLANCE_API, ServerProcess


class ReplicatorTest(unittest.TestCase):
    def setUp(self) -> None:
        reference.command()

    def directory(self) -> str:
        return self.enterContext(tempfile.TemporaryDirectory(prefix="glance-"))

    def original(self) -> reference.Installation:
        directory = self.directory()
        installation = reference.Installation(
            directory, f"sqlite:///{directory}/glance.sqlite?timeout=60", "fakeauth+nocache", ""
        )
        self.addCleanup(installation.stop)
        installation.start_reference()
        return installation

    def run_tool(self, *words: str) -> str:
        """What it prints; it must end well."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = replicator.main([*words, "-t", "root:admin:admin"])
        self.assertEqual(0, code, out.getvalue() + err.getvalue())
        return out.getvalue()

    def test_there_and_back(self) -> None:
        old, new = self.original(), ServerProcess(self.directory(), GLANCE_API, client_timeout=60)
        self.addCleanup(new.end)
        sample_data = SampleData(old.port, "")
        sample_data.fill()
        source, target = f"127.0.0.1:{old.port}", f"127.0.0.1:{new.port}"
        self.assertIn("created", self.run_tool("livecopy", source, target))
        self.run_tool("compare", source, target)

        dump, empty = self.directory(), self.original()
        self.run_tool("dump", target, dump)
        self.run_tool("load", f"127.0.0.1:{empty.port}", dump)
        self.run_tool("compare", target, f"127.0.0.1:{empty.port}")
        self.run_tool("compare", source, f"127.0.0.1:{empty.port}")


if __name__ == "__main__":
    unittest.main()
