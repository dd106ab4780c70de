"""Every request keeps to its budget of calls and statements: see budgets.py."""

from __future__ import annotations

import contextlib
import unittest

from tests.budget import budgets
from tests.budget.cases import NAMES, RequestCases, cases
from tests.budget.counting import RequestCost, measure_cost


class BudgetTest(unittest.TestCase):
    requests: RequestCases

    @classmethod
    def setUpClass(cls) -> None:
        stack = contextlib.ExitStack()
        cls.requests = stack.enter_context(cases())
        cls.addClassCleanup(stack.close)

    def test_budgets(self) -> None:
        """Statements exactly; calls within five per cent above what is recorded."""
        table = budgets.load()
        self.assertEqual(set(NAMES), set(table))
        for name in NAMES:
            with self.subTest(name):
                cost = measure_cost(getattr(self.requests, name))
                self.assertEqual("", budgets.describe_excess(table[name], cost))

    def test_per_image(self) -> None:
        """A list grows by few calls, and by no statement, for each image."""
        hundred, thousand = (
            measure_cost(case) for case in (self.requests.list_100, self.requests.list_1000)
        )
        self.assertLessEqual(len(thousand.statements), 4)
        self.assertLess((thousand.calls - hundred.calls) / 900, 50)


class DescribeExcessTest(unittest.TestCase):
    """What a budget that does not hold has to say."""

    BUDGET = budgets.Budget(1, {"x": 20, "y 1.0": 10}, {"m:a": 70, "m:b": 10})

    def said(self, own: int = 10, library: int = 20, statements: int = 1, other: int = 10) -> str:
        cost = RequestCost(
            {"m:a": 70, "m:b": own}, {"x": library, "y": other}, ["SELECT 1"] * statements
        )
        return budgets.describe_excess(self.BUDGET, cost)

    def test_within(self) -> None:
        """Five per cent more, and anything less, is no growth."""
        self.assertEqual("", self.said(own=15))
        self.assertEqual("", self.said(own=1, library=1))

    def test_grown(self) -> None:
        """It names what grew, most first, by how much, and nothing else."""
        self.assertEqual(
            "106 Python calls, 100 are in the budget:\n         +4  m:b\n         +2  x",
            self.said(own=14, library=22),
        )
        self.assertIn("2 SQL statements instead of 1", self.said(statements=2))
        self.assertIn("0 SQL statements instead of 1", self.said(statements=0))

    def test_another_version(self) -> None:
        """The calls of a library that is not the one that was counted are not judged."""
        self.assertEqual("", self.said(other=1000))

    def test_round_trip(self) -> None:
        """What is written into the table is what is read from it."""
        costs = {name: RequestCost({"m:a": 3}, {"y": 2}, ["SELECT 1"]) for name in ("one", "two")}
        text = budgets.dump(costs)
        self.assertEqual(
            {
                "one": budgets.Budget(1, {"y": 2}, {"m:a": 3}),
                "two": budgets.Budget(1, {"y": 2}, {"m:a": 3}),
            },
            budgets.parse(text),
        )
