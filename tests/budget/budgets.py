"""The table of budgets, and what to say when one is exceeded.

``budgets.txt`` has a column for each case and, line by line, the SQL statements,
the calls in each library and the calls of each of our own functions, as they
were counted when it was recorded.  A library of another version than is named
there is left out of the judgment: its calls are its makers' business.

    python -m tests.budget.budgets              # what each case costs now
    python -m tests.budget.budgets --record     # make that the budget
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping

from tests.budget.cases import NAMES, cases
from tests.budget.counting import RequestCost, measure_cost, version

TABLE = pathlib.Path(__file__).with_name("budgets.txt")

#: By how much the calls of a case may grow before it is a failure.
TOLERATED_GROWTH = 0.05

#: How many functions a complaint names.
_MAX_LISTED = 15

_STATEMENTS = "SQL statements"


@dataclasses.dataclass(frozen=True)
class Budget:
    """One column of the table; ``libraries`` are named with their versions."""

    statements: int
    libraries: Mapping[str, int]
    own: Mapping[str, int]


def describe_excess(budget: Budget, cost: RequestCost) -> str:
    """What is wrong with the effort of a case, most grown first; empty when nothing is."""
    lines = []
    if len(cost.statements) != budget.statements:
        lines += [
            f"{len(cost.statements)} SQL statements instead of {budget.statements}:",
            *(f"    {' '.join(each.split())[:100]}" for each in cost.statements),
        ]
    others = {_package(name) for name in budget.libraries if name != _with_version(_package(name))}
    before, after = (
        {name: number for name, number in each.items() if _package(name) not in others}
        for each in ({**budget.own, **budget.libraries}, {**cost.own, **_libraries(cost)})
    )
    allowed, spent = sum(before.values()), sum(after.values())
    if spent > allowed * (1 + TOLERATED_GROWTH):
        growth = {name: number - before.get(name, 0) for name, number in after.items()}
        worst = sorted((name for name in growth if growth[name] > 0), key=growth.get, reverse=True)
        lines += [
            f"{spent} Python calls, {allowed} are in the budget:",
            *(f"    {growth[name]:+7}  {name}" for name in worst[:_MAX_LISTED]),
        ]
    return "\n".join(lines)


def _package(name: str) -> str:
    return name.partition(" ")[0]


def _with_version(package: str) -> str:
    return f"{package} {version(package)}".strip()


def _libraries(cost: RequestCost) -> dict[str, int]:
    return {_with_version(package): number for package, number in cost.libraries.items()}


def load() -> dict[str, Budget]:
    """The table, by case."""
    return parse(TABLE.read_text())


def parse(text: str) -> dict[str, Budget]:
    """What :func:`dump` has written."""
    header, *lines = text.splitlines()
    names = header.split()
    budgets = {name: Budget(0, {}, {}) for name in names}
    for line in lines:
        label, *cells = line.rsplit(maxsplit=len(names))
        for name, cell in zip(names, cells, strict=True):
            number = int(cell.replace(".", "0"))
            if label == _STATEMENTS:
                budgets[name] = dataclasses.replace(budgets[name], statements=number)
            elif number:
                part = budgets[name].own if ":" in label else budgets[name].libraries
                part[label] = number  # type: ignore[index]
    return budgets


def dump(costs: Mapping[str, RequestCost]) -> str:
    """The table of these efforts."""
    columns = {
        name: {_STATEMENTS: len(each.statements), **_libraries(each), **each.own}
        for name, each in costs.items()
    }
    labels = {label for column in columns.values() for label in column}
    order = sorted(labels, key=lambda label: (label != _STATEMENTS, ":" in label, label))
    width = max(map(len, labels))
    lines = [" " * width + "".join(f" {name:>5}" for name in columns)]
    for label in order:
        lines.append(
            label.ljust(width)
            + "".join(
                f" {column.get(label) or '.':>{max(5, len(name))}}"
                for name, column in columns.items()
            )
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    with cases() as requests:
        costs = {name: measure_cost(getattr(requests, name)) for name in NAMES}
    print(f"{'':10} {'statements':>10} {'own calls':>10} {'libraries':>10}")
    for name, each in costs.items():
        print(
            f"{name:10} {len(each.statements):10} {sum(each.own.values()):10} "
            f"{sum(each.libraries.values()):10}"
        )
    if arguments.record:
        TABLE.write_text(dump(costs))


if __name__ == "__main__":
    main()
