"""The table of covered code adds up, and a floor that is not held fails."""

from __future__ import annotations

import io
import json
import unittest
from unittest import mock

from tests import coverage_floor
from tests.coverage_floor import Figure


def report(**files: tuple[int, int, int, int]) -> io.StringIO:
    """What ``coverage json`` writes: (statements, covered, branches, covered) by path."""
    names = ("num_statements", "covered_lines", "num_branches", "covered_branches")
    return io.StringIO(
        json.dumps(
            {
                "files": {
                    path: {"summary": dict(zip(names, figures, strict=True))}
                    for path, figures in files.items()
                }
            }
        )
    )


class CoverageFloorTest(unittest.TestCase):
    def setUp(self) -> None:
        self.files = coverage_floor.read(
            report(
                **{
                    "a/one.py": (8, 6, 2, 1),
                    "a/two.py": (10, 10, 0, 0),
                    "a/b/three.py": (20, 20, 10, 10),
                    "a/b/__init__.py": (0, 0, 0, 0),
                }
            )
        )
        self.out = io.StringIO()

    def judge(self, **floors: tuple[tuple[str, ...], float]) -> bool:
        with mock.patch.object(coverage_floor, "FLOORS", floors):
            return coverage_floor.judge(self.files, self.out)

    def test_statements_and_branches_count_alike(self) -> None:
        self.assertEqual(Figure(7, 10), self.files["a/one.py"])
        self.assertEqual(70.0, self.files["a/one.py"].percent)

    def test_a_file_without_statements_is_covered(self) -> None:
        self.assertEqual(100.0, self.files["a/b/__init__.py"].percent)

    def test_packages_do_not_contain_each_other(self) -> None:
        self.assertEqual(
            {"a": Figure(17, 20), "a.b": Figure(30, 30)}, coverage_floor.by_package(self.files)
        )

    def test_a_floor_is_held_when_it_is_reached_exactly(self) -> None:
        self.assertTrue(self.judge(everything=(("*",), 94.0), one=(("a/o*",), 70.0)))
        self.assertIn("  94.0 %  everything: at least 94 %\n", self.out.getvalue())

    def test_each_floor_must_be_held(self) -> None:
        self.assertFalse(self.judge(one=(("a/o*",), 70.1), everything=(("*",), 90.0)))
        self.assertIn("  70.0 %  one: at least 70.1 %  TOO LOW\n", self.out.getvalue())

    def test_a_floor_without_files_is_not_held(self) -> None:
        self.assertFalse(self.judge(renamed=(("a/four*",), 0.0)))

    def test_each_floor_of_the_project_names_code_that_exists(self) -> None:
        root = coverage_floor.ROOT
        paths = [
            str(path.relative_to(root))
            for package in ("glance_py", "glance_store_py")
            for path in (root / package).rglob("*.py")
        ]
        for name, (patterns, _floor) in coverage_floor.FLOORS.items():
            with self.subTest(name):
                figures = dict.fromkeys(paths, Figure(1, 1))
                self.assertTrue(coverage_floor.matching(figures, patterns).total)


if __name__ == "__main__":
    unittest.main()
