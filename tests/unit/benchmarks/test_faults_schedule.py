"""Schedules of faults follow from their seed."""

from __future__ import annotations

import collections
import itertools
import unittest

from benchmarks.faults.inject import Injector
from benchmarks.faults.schedule import KINDS, available, plan

ALL = available({kind.capability for kind in KINDS})


class PlanTest(unittest.TestCase):
    def test_a_seed_repeats_a_run(self) -> None:
        self.assertEqual(plan(7, 50, 100, 2, ALL), plan(7, 50, 100, 2, ALL))
        self.assertNotEqual(plan(7, 50, 100, 2, ALL), plan(8, 50, 100, 2, ALL))

    def test_in_the_order_of_time_and_inside_the_window(self) -> None:
        faults = plan(1, 80, 120, 3, ALL)
        times = [fault.at for fault in faults]
        self.assertEqual(sorted(times), times)
        self.assertTrue(all(0 <= each <= 120 for each in times))
        self.assertLessEqual(max(fault.at + fault.seconds for fault in faults), 120.2)
        self.assertEqual({0, 1, 2, None}, {fault.target for fault in faults})

    def test_every_kind_comes_before_any_comes_twice(self) -> None:
        kinds = [kind for kind in ALL if not kind.group]
        self.assertEqual(
            {kind.name for kind in kinds},
            {fault.kind for fault in plan(3, len(kinds), 60, 2, kinds)},
        )

    def test_faults_of_a_group_do_not_overlap_on_a_host(self) -> None:
        groups = {kind.name: kind.group for kind in ALL}
        for seed in range(20):
            spans = collections.defaultdict(list)
            for fault in plan(seed, 60, 120, 2, ALL):
                if group := groups[fault.kind]:
                    for host in (0, 1) if fault.target is None else (fault.target,):
                        spans[group, host].append((fault.at, fault.at + fault.seconds))
            for each in spans.values():
                for (_, end), (start, _) in itertools.pairwise(sorted(each)):
                    # Times are rounded to tenths.
                    self.assertLessEqual(end, start + 0.1)

    def test_rare_kinds_stay_rare(self) -> None:
        faults = plan(5, 40, 400, 2, ALL)
        self.assertLessEqual(sum(fault.kind == "stop-all" for fault in faults), 2)

    def test_scale(self) -> None:
        kinds = [kind for kind in ALL if kind.name == "stop-host"]
        [fault] = plan(1, 1, 60, 1, kinds, scale=0.5)
        self.assertEqual(20, fault.seconds)

    def test_what_cannot_be(self) -> None:
        with self.assertRaisesRegex(ValueError, "no kind of fault"):
            plan(1, 1, 10, 1, [])


class AvailableTest(unittest.TestCase):
    def test_by_capability(self) -> None:
        names = {kind.name for kind in available({"process", "database"})}
        self.assertIn("db-cut", names)
        self.assertIn("stop-all", names)
        self.assertNotIn("store-503", names)

    def test_only_some(self) -> None:
        self.assertEqual(
            {"kill-worker", "kill-host"},
            {kind.name for kind in available({"process", "database"}, ["kill"])},
        )

    def test_the_injector_knows_every_kind(self) -> None:
        for kind in KINDS:
            self.assertTrue(hasattr(Injector, "_" + kind.name.replace("-", "_")), kind.name)
