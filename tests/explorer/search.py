"""Which schedules of a scenario are run, and what came of them.

First all with few deviations from the default, like CHESS does it: a deviation is a
switch to another actor or a fault.  Then random ones with more of them.
"""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Callable, Collection, Iterator

from tests.explorer import invariants, scheduler
from tests.explorer.scenarios import AppClient, Scenario, set_up
from tests.explorer.scheduler import Actor, DecisionLimitExceeded, Plan, Schedule, Workers
from tests.explorer.service import PERIODIC_READS, RECOVERIES, Cluster

WORKERS = Workers()


@dataclasses.dataclass(slots=True)
class Outcome:
    """What came of one schedule."""

    scenario: str
    plan: Plan
    violation: str | None
    steps: int
    faults: list[str]
    choices: list[tuple[str, str, tuple[str, ...]]]
    log: list[str] | None = None
    left_behind: int = 0


def execute(
    cluster: Cluster, scenario: Scenario, plan: Plan, traced: bool = False, choose=None
) -> Outcome:
    """Run one schedule of a scenario."""
    schedule = Schedule(WORKERS, plan, lambda: invariants.check_step(cluster), choose)
    if traced:
        schedule.log = []
    cluster.reset(schedule)
    cluster.database.split_reads = scenario.split_reads
    expectations = set_up(cluster, scenario)
    for name, what in scenario.clients.items():
        client = AppClient(cluster, name, expectations)
        schedule.add(Actor(name, client.host.process, getattr(client, what)))
    for name in dict.fromkeys(name[0] for name in scenario.clients):
        host = cluster.hosts[name]
        schedule.add(
            Actor(
                f"{name}.beat", host.process, host.run_heartbeats, daemon=True, is_heartbeat=True
            ),
            schedule.now + 5.0,
        )
    for name in RECOVERIES[: scenario.recoveries]:
        host = cluster.hosts[name]
        schedule.add(Actor(name, host.process, host.recover, daemon=True), schedule.now + 5.0)
        schedule.add(
            Actor(
                f"{name}.beat", host.process, host.run_heartbeats, daemon=True, is_heartbeat=True
            ),
            schedule.now + 5.0,
        )
    violation = None
    try:
        schedule.run()
        invariants.quiesce(cluster, schedule)
        invariants.check_end(cluster, expectations)
    except (invariants.Violation, DecisionLimitExceeded) as error:
        violation = str(error)
    except Exception as error:
        violation = f"{type(error).__name__}: {error}"
        if traced:
            raise
    return Outcome(
        scenario.name,
        dict(schedule.injected),
        violation,
        schedule.steps,
        [":".join(what[:1]) for _, what in schedule.injected],
        schedule.choices,
        schedule.log,
        expectations.left_behind,
    )


def alternatives(
    choice: tuple[str, str, tuple[str, ...]], faults: Collection[str] | None = None
) -> list[tuple[str, ...]]:
    """What may happen at a decision instead of the default.

    :param faults: only these; None: all.
    """
    kind, label, others = choice
    if label in PERIODIC_READS:
        return []
    found = [("switch", other) for other in others]
    if kind == scheduler.READ:
        return found  # What fails or stops here does so before the next effect, too.
    return found + [
        (fault,) for fault in scheduler.FAULTS[kind] if faults is None or fault in faults
    ]


class BoundedSearch:
    """All plans with at most ``bound`` deviations, those with fewer first.

    Plans with equally many come in random order, so that a part of them is a fair sample.
    Each is given back with :meth:`add_result`, from which plans with one deviation more follow.

    :param maximum: how many plans with equally many deviations are remembered.
    :param faults: only these, besides switches; None: all.
    """

    def __init__(
        self,
        bound: int,
        maximum: int,
        generator: random.Random,
        faults: Collection[str] | None = None,
    ) -> None:
        self._faults = faults
        self._bound = bound
        self._maximum = maximum
        self._known = 0
        self._sampled = False
        self._random = generator
        self._plans: list[dict[int, tuple[str, ...]]] = [{}]
        self._next: list[dict[int, tuple[str, ...]]] = []
        #: All plans with so many deviations were given out.
        self.complete = -1

    def __iter__(self) -> Iterator[Plan]:
        while self._plans:
            self._random.shuffle(self._plans)
            while self._plans:
                yield self._plans.pop()
            if not self._sampled:
                self.complete += 1
            self._sampled = self._known > self._maximum
            self._plans, self._next, self._known = self._next, [], 0

    def add_result(self, plan: Plan, outcome: Outcome) -> None:
        """Plans that deviate once more, later."""
        if len(plan) >= self._bound:
            return
        last = max(plan, default=-1)
        for number in range(last + 1, len(outcome.choices)):
            for what in alternatives(outcome.choices[number], self._faults):
                self._known += 1
                if len(self._next) < self._maximum:
                    self._next.append({**plan, number: what})
                elif (place := self._random.randrange(self._known)) < self._maximum:
                    self._next[place] = {**plan, number: what}


class RandomChooser:
    """Deviates at random: a few times, where one of the actors has something to do.

    :param maximum: deviations of one schedule at most.
    :param length: about how many decisions there are.
    """

    def __init__(self, generator: random.Random, maximum: int, length: int) -> None:
        self._random = generator
        self._left = maximum
        self._probability = maximum / max(length, 1)

    def __call__(self, number: int, actor: Actor, schedule: Schedule) -> tuple[str, ...] | None:
        if not self._left or self._random.random() > self._probability:
            return None
        found = alternatives((actor.kind, actor.label, schedule.others(actor)))
        if not found:
            return None
        self._left -= 1
        switches = [each for each in found if each[0] == "switch"]
        faults = [each for each in found if each[0] != "switch"]
        some = switches if switches and (not faults or self._random.random() < 0.4) else faults
        return self._random.choice(some)


@dataclasses.dataclass(slots=True)
class Totals:
    """What a search did and found."""

    schedules: int = 0
    bounded: int = 0
    steps: int = 0
    left_behind: int = 0
    faults: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    violations: list[tuple[Plan, str]] = dataclasses.field(default_factory=list)
    #: With how many deviations all schedules were run, as far as is known.
    complete: int | None = None

    def count(self, outcome: Outcome) -> None:
        """One schedule more."""
        self.schedules += 1
        self.steps += outcome.steps
        self.left_behind += outcome.left_behind
        self.faults.update(outcome.faults)
        if outcome.violation is not None:
            self.violations.append((outcome.plan, outcome.violation))

    def add(self, other: Totals) -> None:
        """Another search."""
        for name in ("schedules", "bounded", "steps", "left_behind", "faults", "violations"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        complete = "" if self.complete is None else (f"all with up to {self.complete} deviations, ")
        return (
            f"{self.schedules} schedules ({complete}{self.schedules - self.bounded} random), "
            f"{self.steps} steps, {sum(self.faults.values())} deviations, "
            f"{len(self.violations)} violations, {self.left_behind} objects left behind"
        )


def search(
    cluster: Cluster,
    scenario: Scenario,
    budget: int,
    generator: random.Random,
    max_violations: int = 1,
    on_progress: Callable[[Totals], None] = lambda totals: None,
    faults: Collection[str] | None = None,
) -> Totals:
    """Run schedules of a scenario: two thirds of the budget in order, the rest at random.

    :param faults: of those in order, only these besides switches; None: all.
    """
    totals = Totals()
    bounded = BoundedSearch(2, budget, generator, faults)
    length = 0
    for plan in bounded:
        if totals.schedules >= budget * 2 // 3 or len(totals.violations) >= max_violations:
            break
        outcome = execute(cluster, scenario, plan)
        length = length or len(outcome.choices)
        totals.count(outcome)
        totals.bounded += 1
        bounded.add_result(plan, outcome)
        on_progress(totals)
    totals.complete = max(0, bounded.complete)
    while totals.schedules < budget and len(totals.violations) < max_violations:
        chooser = RandomChooser(generator, generator.randint(2, 6), 2 * length)
        totals.count(execute(cluster, scenario, {}, choose=chooser))
        on_progress(totals)
    return totals
