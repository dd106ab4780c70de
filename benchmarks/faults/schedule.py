"""Which faults happen when: a pure function of a seed."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Sequence

#: Seconds from which on a fault is long.
LONG_SECONDS = 12.0


@dataclasses.dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault.

    :param weight: how often it is drawn, relative to others.
    :param min_seconds: seconds that it lasts at least; 0 and 0 for something momentary.
    :param max_seconds: seconds that it lasts at most.
    :param capability: a capability of the combination (see ``campaign``).
    :param group: two faults of one group do not overlap on one target; "" may always.
    :param whole_service: concerns the whole service, not one of its hosts.
    :param rare: at most one in so many faults.
    """

    name: str
    weight: int
    min_seconds: float
    max_seconds: float
    capability: str
    group: str = ""
    whole_service: bool = False
    rare: int = 0


KINDS = (
    # The network between a host and its database.
    FaultKind("db-cut", 3, 0, 0, "database"),
    FaultKind("db-refuse", 2, 2, 20, "database", "database"),
    FaultKind("db-stall", 3, 5, 20, "database", "database"),
    FaultKind("db-long-stall", 4, 35, 60, "database", "database"),
    FaultKind("db-blackhole", 3, 10, 50, "database", "database"),
    FaultKind("db-delay", 2, 10, 30, "database", "database"),
    FaultKind("db-lose-commit", 2, 20, 20, "database"),
    FaultKind("db-drop-commit", 3, 30, 30, "database"),
    FaultKind("db-drop-activation", 6, 45, 45, "database"),
    FaultKind("db-late-activation", 4, 45, 45, "database"),
    FaultKind("db-late-answer", 2, 30, 30, "database"),
    # The network between a host and the object store, and the store itself.
    FaultKind("store-cut", 3, 0, 0, "object-store"),
    FaultKind("store-refuse", 2, 2, 20, "object-store", "store"),
    FaultKind("store-stall", 3, 5, 40, "object-store", "store"),
    FaultKind("store-delay", 2, 10, 30, "object-store", "store"),
    FaultKind("store-503", 3, 2, 20, "object-store", "store"),
    FaultKind("store-torn-answer", 3, 20, 20, "object-store"),
    FaultKind("store-drop-answer", 4, 30, 30, "object-store"),
    FaultKind("store-empty-200", 4, 60, 60, "s3"),
    # Between a host and the registry.
    FaultKind("registry-cut", 2, 0, 0, "registry"),
    FaultKind("registry-stall", 3, 5, 50, "registry", "registry"),
    FaultKind("registry-refuse", 2, 2, 20, "registry", "registry"),
    FaultKind("registry-drop-answer", 5, 20, 20, "registry"),
    FaultKind(
        "registry-kill", 2, 1, 10, "registry", "registry-process", whole_service=True, rare=8
    ),
    # Processes.
    FaultKind("kill-worker", 5, 0, 0, "process"),
    FaultKind("kill-host", 3, 1, 15, "process", "process"),
    FaultKind("stop-host", 6, 40, 40, "process", "process"),
    FaultKind("stop-worker", 4, 40, 40, "process", "process"),
    FaultKind("stop-all", 2, 40, 40, "process", "process", whole_service=True, rare=20),
    # The machine.
    FaultKind("disk-full", 3, 3, 15, "disk", "disk", whole_service=True),
    FaultKind("clock", 2, 20, 60, "clock", "clock"),
    # The database itself.
    FaultKind(
        "node-kill", 3, 5, 20, "database-nodes", "database-process", whole_service=True, rare=8
    ),
    FaultKind(
        "promote", 3, 5, 10, "database-pair", "database-process", whole_service=True, rare=10
    ),
    FaultKind("pooler-kill", 3, 1, 5, "pooler", "database-process", whole_service=True, rare=8),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    :param at: seconds after the begin of the campaign.
    :param target: number of a host, from 0; None when it concerns the whole service.
    :param random_number: a number in [0, 1) for choices that the injector has to make.
    """

    number: int
    at: float
    kind: str
    target: int | None
    seconds: float
    random_number: float

    def __str__(self) -> str:
        where = "service" if self.target is None else f"host {self.target + 1}"
        lasts = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"#{self.number} {self.kind} on {where}{lasts}"


def available(capabilities: Collection[str], only: Collection[str] = ()) -> list[FaultKind]:
    """The kinds that a combination can have.

    :param only: names of kinds, or what they begin with; empty for all.
    """
    return [
        kind
        for kind in KINDS
        if kind.capability in capabilities and (not only or kind.name.startswith(tuple(only)))
    ]


def plan(
    seed: object,
    count: int,
    window: float,
    hosts: int,
    kinds: Sequence[FaultKind],
    scale: float = 1.0,
) -> list[Fault]:
    """``count`` faults that begin and end within ``window`` seconds, in order of their begin.

    Each kind comes once before any comes twice, as far as ``count`` allows; then they are drawn
    by weight.  What would overlap another fault of its group is moved, or becomes a momentary
    fault when there is no time left for it.  At every moment one host at least has no long
    fault, if there are several: else nothing would happen that could go wrong.

    :param scale: factor for how long faults last.
    :raises ValueError: there are no kinds.
    """
    if not kinds:
        raise ValueError("This combination has no kind of fault.")
    rng = random.Random(f"faults {seed}")  # noqa: S311 - repeatable on purpose
    busy: dict[tuple[str, int], list[tuple[float, float]]] = {}
    faults = []
    for number, kind in enumerate(_draw(rng, count, kinds)):
        target = None if kind.whole_service else rng.randrange(hosts)
        seconds = rng.uniform(kind.min_seconds, kind.max_seconds) * scale
        at, random_number = rng.uniform(0, max(0.0, window - seconds)), rng.random()
        if kind.group:
            places = [(kind.group, each) for each in (range(hosts) if target is None else [target])]
            if target is not None and seconds >= LONG_SECONDS and kind.group != "clock":
                places.append(("long", rng.randrange(max(1, hosts - 1))))
            found = _gap(
                [span for place in places for span in busy.get(place, ())], at, seconds, window
            )
            if found is None:
                short = [each for each in kinds if not each.group]
                if not short:
                    continue
                kind = rng.choice(short)
                seconds = kind.min_seconds * scale
                target = rng.randrange(hosts) if target is None else target
            else:
                at = found
                for place in places:
                    busy.setdefault(place, []).append((at, at + seconds))
        faults.append(
            Fault(number, round(at, 2), kind.name, target, round(seconds, 1), random_number)
        )
    return sorted(faults, key=lambda fault: (fault.at, fault.number))


def _draw(rng: random.Random, count: int, kinds: Sequence[FaultKind]) -> list[FaultKind]:
    """Kinds by their number, none more often than its rarity allows."""
    first = list(kinds)
    rng.shuffle(first)
    # What only this combination has comes first, however few faults there are.
    first.sort(key=lambda kind: kind.group != "database-process")
    drawn = first[:count]
    often = [kind for kind in kinds for _ in range(kind.weight)]
    while len(drawn) < count:
        kind = rng.choice(often)
        if kind.rare and drawn.count(kind) >= max(1, count // kind.rare):
            if all(each.rare for each in kinds):
                break
            continue
        drawn.append(kind)
    return drawn


def _gap(
    spans: list[tuple[float, float]], at: float, seconds: float, window: float
) -> float | None:
    """When it can begin, as soon after ``at`` as possible, or else before; None for never."""
    candidates = [
        at,
        *sorted(end + 0.5 for _, end in spans if end >= at),
        *sorted((end + 0.5 for _, end in spans if end < at), reverse=True),
        0.0,
    ]
    for begin in candidates:
        if begin <= max(0.0, window - seconds) and all(
            begin + seconds <= start or begin >= end for start, end in spans
        ):
            return begin
    return None
