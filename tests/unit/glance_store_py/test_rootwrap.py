"""The command glance-rootwrap: what it needs, and what it returns."""

import contextlib
import io
import sys
import types
import unittest
from unittest import mock

from glance_store_py import rootwrap


class TestRootwrap(unittest.TestCase):
    def test_the_status_of_the_library_is_returned(self):
        library = types.SimpleNamespace(cmd=types.SimpleNamespace(main=lambda: 99))
        with mock.patch.dict(sys.modules, {"oslo_rootwrap": library}):
            self.assertEqual(99, rootwrap.main())

    def test_a_missing_library_is_named(self):
        with (
            mock.patch.dict(sys.modules, {"oslo_rootwrap": None}),
            contextlib.redirect_stderr(io.StringIO()) as text,
        ):
            self.assertEqual(96, rootwrap.main())
        self.assertIn("oslo.rootwrap", text.getvalue())


if __name__ == "__main__":
    unittest.main()
