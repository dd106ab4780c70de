"""Search: ``python -m tests.explorer --schedules 100000``.

Exits with 1 when an invariant was violated.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time

from tests.explorer import search
from tests.explorer.defects import DEFECTS
from tests.explorer.scenarios import SCENARIOS
from tests.explorer.scheduler import format_plan, parse_plan
from tests.explorer.service import Cluster

#: Seconds between two lines of progress.
PROGRESS_SECONDS = 30.0


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    parser.add_argument(
        "--schedules",
        type=int,
        default=100000,
        help="how many schedules to run, over all scenarios",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random schedules")
    parser.add_argument(
        "--scenario",
        action="append",
        choices=sorted(SCENARIOS),
        help="only this one; may be given several times",
    )
    parser.add_argument(
        "--defect",
        choices=sorted(DEFECTS),
        help="put this defect of the past back, to see that it is found",
    )
    parser.add_argument(
        "--replay",
        metavar="SCHEDULE",
        help="run one schedule of the one scenario and print what happens",
    )
    parser.add_argument(
        "--keep-going", action="store_true", help="go on after the first violations of a scenario"
    )
    arguments = parser.parse_args()
    names = arguments.scenario or list(SCENARIOS)
    defect = DEFECTS[arguments.defect].apply() if arguments.defect else (contextlib.nullcontext())
    with contextlib.closing(Cluster()) as cluster, defect:
        if arguments.replay is not None:
            return replay(cluster, names[0], arguments.replay)
        return explore(cluster, names, arguments)


def replay(cluster: Cluster, name: str, text: str) -> int:
    """Run one schedule and print its trace."""
    outcome = search.execute(cluster, SCENARIOS[name], parse_plan(text), traced=True)
    print("\n".join(outcome.log or ()))
    print(f"Violation: {outcome.violation}" if outcome.violation else "No violation.")
    return 1 if outcome.violation else 0


def explore(cluster: Cluster, names: list[str], arguments: argparse.Namespace) -> int:
    """Search all scenarios and print what was found."""
    totals = search.Totals()
    started = time.monotonic()
    for place, name in enumerate(names):
        share = (arguments.schedules - totals.schedules) // (len(names) - place)
        found = search.search(
            cluster,
            SCENARIOS[name],
            share,
            random.Random(f"{arguments.seed} {name}"),  # noqa: S311
            2 if not arguments.keep_going else share,
            _progress(name, started),
        )
        print(f"{name:24s} {found}", flush=True)
        for plan, violation in found.violations:
            defect = f" --defect {arguments.defect}" if arguments.defect else ""
            print(
                f"  VIOLATION {violation}\n  replay with: python -m tests.explorer "
                f"--scenario {name}{defect} --replay {format_plan(plan)}",
                flush=True,
            )
        totals.add(found)
        for plan, _ in found.violations[:1]:
            outcome = search.execute(cluster, SCENARIOS[name], plan, traced=True)
            print("\n".join(outcome.log or ()), flush=True)
    print(f"{'all':24s} {totals}")
    faults = ", ".join(f"{what} {count}" for what, count in sorted(totals.faults.items()))
    print(f"injected: {faults}")
    print(f"{time.monotonic() - started:.0f} s, {time.process_time():.0f} s of processor time")
    return 1 if totals.violations else 0


def _progress(name: str, started: float):
    """Prints a line now and then."""
    last = [time.monotonic()]

    def on_progress(found: search.Totals) -> None:
        if time.monotonic() - last[0] >= PROGRESS_SECONDS:
            last[0] = time.monotonic()
            print(f"{last[0] - started:6.0f} s  {name}: {found}", file=sys.stderr, flush=True)

    return on_progress


if __name__ == "__main__":
    sys.exit(main())
