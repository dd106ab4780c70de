"""Upper bounds of requirements, and the tests that they are for."""

from __future__ import annotations

import configparser
import re
import unittest

from tests import canary
from tests.canary import Bounded

TEXT = """
install_requires =
    # Another comment.
    free>=1
    # private parts in a/b.py, a/c.py:
    #   tests.unit.x tests.unit.y
    #   tests.unit.z
    bound.lib>=2.1,<3
extra =
    bound.lib>=2.1,<3
"""


class CanaryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.libraries = canary.bounded((canary.ROOT / "setup.cfg").read_text())

    def test_comments_are_read(self) -> None:
        tests = ("tests.unit.x", "tests.unit.y", "tests.unit.z")
        self.assertEqual([Bounded("bound.lib", ("a/b.py", "a/c.py"), tests)], canary.bounded(TEXT))

    def test_a_bound_without_a_comment_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "other>=1,<2"):
            canary.bounded(f"{TEXT}    other>=1,<2\n")

    def test_every_bound_of_the_project_is_found(self) -> None:
        parsed = configparser.ConfigParser(interpolation=None)
        parsed.read(canary.ROOT / "setup.cfg")
        requirements = "\n".join(
            [parsed["options"]["install_requires"], *parsed["options.extras_require"].values()]
        )
        self.assertEqual(
            set(re.findall(r"^([\w.-]+)[^\n]*<", requirements, re.M)),
            {library.name for library in self.libraries},
        )

    def test_modules_and_tests_exist(self) -> None:
        for library in self.libraries:
            for path in (*library.modules, *(f"{t.replace('.', '/')}.py" for t in library.tests)):
                with self.subTest(library.name, path=path):
                    self.assertTrue((canary.ROOT / path).is_file())


if __name__ == "__main__":
    unittest.main()
