"""The bounded form of the search, and proof that it finds what it is for."""

from __future__ import annotations

import contextlib
import random
import unittest

from tests.explorer import search
from tests.explorer.defects import DEFECTS
from tests.explorer.scenarios import SCENARIOS
from tests.explorer.scheduler import plan_of, text_of
from tests.explorer.service import Cluster

#: Schedules of each scenario.
SOME = 60


class ExplorerTest(unittest.TestCase):
    cluster: Cluster

    @classmethod
    def setUpClass(cls) -> None:
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.cluster = stack.enter_context(contextlib.closing(Cluster()))

    def test_no_schedule_violates_an_invariant(self) -> None:
        for name, scenario in SCENARIOS.items():
            with self.subTest(name):
                found = search.search(self.cluster, scenario, SOME, random.Random(name))
                self.assertEqual([], [(text_of(plan), said) for plan, said in found.violations])
                self.assertEqual(SOME, found.schedules)

    def test_defects_of_the_past_are_found(self) -> None:
        for name, defect in DEFECTS.items():
            with self.subTest(name), defect.put_back():
                found = search.search(
                    self.cluster,
                    SCENARIOS[defect.scenario],
                    defect.within * 3 // 2,
                    random.Random(name),
                    faults=defect.faults,
                )
                self.assertEqual(1, len(found.violations))
                [(plan, said)] = found.violations
                again = search.execute(
                    self.cluster, SCENARIOS[defect.scenario], plan_of(text_of(plan))
                )
                self.assertEqual(said, again.violation)


if __name__ == "__main__":
    unittest.main()
