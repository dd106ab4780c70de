"""The bounded form of the search, and proof that it finds what it is for."""

from __future__ import annotations

import contextlib
import random
import unittest

from tests.explorer import search
from tests.explorer.defects import DEFECTS
from tests.explorer.scenarios import SCENARIOS
from tests.explorer.scheduler import format_plan, parse_plan
from tests.explorer.service import Cluster

#: Schedules of each scenario.
SCHEDULES_PER_SCENARIO = 60


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
                found = search.search(
                    self.cluster, scenario, SCHEDULES_PER_SCENARIO, random.Random(name)
                )
                self.assertEqual(
                    [], [(format_plan(plan), violation) for plan, violation in found.violations]
                )
                self.assertEqual(SCHEDULES_PER_SCENARIO, found.schedules)

    def test_defects_of_the_past_are_found(self) -> None:
        for name, defect in DEFECTS.items():
            with self.subTest(name), defect.apply():
                found = search.search(
                    self.cluster,
                    SCENARIOS[defect.scenario],
                    defect.max_schedules * 3 // 2,
                    random.Random(name),
                    faults=defect.faults,
                )
                self.assertEqual(1, len(found.violations))
                [(plan, violation)] = found.violations
                again = search.execute(
                    self.cluster, SCENARIOS[defect.scenario], parse_plan(format_plan(plan))
                )
                self.assertEqual(violation, again.violation)


if __name__ == "__main__":
    unittest.main()
