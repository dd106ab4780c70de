"""The command: see the package."""

from __future__ import annotations

import argparse
import collections
import pathlib
import random
import signal
import sys
import time
import traceback

from benchmarks import faults as package
from benchmarks.faults.backends import DATABASES, STORE_TYPES
from benchmarks.faults.campaign import Campaign, Combination, Result, Settings
from benchmarks.faults.shadow import Outcome

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks/results/faults.txt"

#: All combinations; those that need --backends are left out without.
ALL = (
    Combination("postgresql", "file"),
    Combination("postgresql", "s3"),
    Combination("postgresql", "swift"),
    Combination("mariadb", "file"),
    Combination("mariadb", "s3"),
    Combination("sqlite", "file"),
    Combination("postgresql", "file", registry=True),
    Combination("galera", "file"),
    Combination("postgresql-pair", "file"),
    Combination("pgbouncer", "file"),
)
NEED_BACKENDS = frozenset({"galera", "postgresql-pair", "pgbouncer"})


class Progress:
    """One line on a terminal; elsewhere a line now and then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = self._last = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last < (0.2 if self._terminal else 20):
            return
        self._last = now
        line = f"{self._name} {now - self._began:4.0f} s: {text}"
        sys.stderr.write(f"\r\x1b[K{line[:150]}" if self._terminal else line + "\n")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")


def arguments() -> argparse.ArgumentParser:
    """What the command understands."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seed", help="repeats a run's faults and clients; default: drawn and printed")
    add("--faults", type=int, default=20, help="how many; with --all divided among combinations")
    add("--all", action="store_true", help="all combinations of databases and stores")
    add("--database", choices=sorted(DATABASES), default="postgresql")
    add("--store", choices=sorted(STORE_TYPES), default="file")
    add("--registry", action="store_true", help="hosts have their records behind a registry")
    add(
        "--only",
        action="append",
        default=[],
        metavar="KIND",
        help="only kinds of fault that begin with this; may be given several times",
    )
    add(
        "--window",
        type=float,
        metavar="SECONDS",
        help="time in which faults happen; default: 2.6 s for each, at least 75",
    )
    add("--scale", type=float, default=1.0, help="factor for how long faults last")
    add(
        "--settle",
        type=float,
        default=60,
        metavar="SECONDS",
        help="time after the faults in which all must come to rest",
    )
    add(
        "--sweep",
        type=float,
        default=240,
        metavar="SECONDS",
        help="time after that in which orphans must go",
    )
    add("--hosts", type=int, default=3)
    add("--workers", type=int, default=2, help="processes of each host")
    add("--threads", type=int, default=8, help="of each worker")
    add("--clients", type=int, default=18)
    add("--largest", type=int, default=40, metavar="MIB", help="size of the largest images")
    add("--shared-staging", action="store_true", help="one staging area for all hosts")
    add("--directory", help="where everything is written; default: the temporary directory")
    add(
        "--backends",
        type=pathlib.Path,
        metavar="DIR",
        help="directory with galera-up, pg-pair-up, pgbouncer-up and their -down, each called "
        "with a directory, into which it writes 'env' with DB_URL...",
    )
    add("--keep", action="store_true", help="keep the directory also without violations")
    add("--output", type=pathlib.Path, default=RESULTS, help="default %(default)s")
    return parser


def combinations(options: argparse.Namespace) -> list[Combination]:
    """What is to be tried."""
    if not options.all:
        return [Combination(options.database, options.store, options.registry)]
    return [each for each in ALL if options.backends or each.database not in NEED_BACKENDS]


def report(results: list[Result], options: argparse.Namespace, seed: object) -> str:
    """Tables of what happened; without places on this machine."""
    what = "--all" if options.all else ""
    lines = [
        f"python -m benchmarks.faults {what} --faults {options.faults} --seed {seed}    "
        f"{time.strftime('%Y-%m-%d')}".replace("  --", " --"),
        "",
        f"{'combination':<28}{'faults':>7}{'missed':>7}{'images':>7}{'active':>7}"
        f"{'acked':>7}{'refused':>8}{'unknown':>8}{'quiet':>7}{'swept':>7}{'s':>6}"
        f"  violations",
    ]
    for result in results:
        if result.skipped:
            lines.append(f"{result.combination!s:<28} skipped: {result.skipped}")
            continue
        outcomes: collections.Counter[Outcome] = collections.Counter()
        for (_, outcome), number in result.operations.items():
            outcomes[outcome] += number
        quiet = "no" if result.quiet is None else f"{result.quiet:.0f} s"
        kinds = collections.Counter(each.kind for each in result.violations)
        lines.append(
            f"{result.combination!s:<28}{result.faults.total():>7}{result.missed.total():>7}"
            f"{result.images:>7}{result.active:>7}{outcomes[Outcome.ACKNOWLEDGED]:>7}"
            f"{outcomes[Outcome.REFUSED]:>8}{outcomes[Outcome.UNKNOWN]:>8}{quiet:>7}"
            f"{result.swept:>5.0f} s{result.seconds:>6.0f}  "
            + (", ".join(f"{number} {kind}" for kind, number in kinds.items()) or "0")
        )
    if options.all and not options.backends:
        lines += [
            f"{each!s:<28} left out: needs --backends"
            for each in ALL
            if each.database in NEED_BACKENDS
        ]
    lines += [
        "",
        "missed: armed, and the moment did not come.  quiet: seconds after faults and "
        "clients until nothing was in motion.",
        "swept: seconds after that until no orphan was left.",
        "",
    ]
    for result in results:
        lines += _details(result)
    return "\n".join(lines) + "\n"


def _details(result: Result) -> list[str]:
    if result.skipped:
        return []
    faults = ", ".join(f"{number} {kind}" for kind, number in sorted(result.faults.items()))
    operations: dict[str, collections.Counter[Outcome]] = {}
    for (operation, outcome), number in sorted(result.operations.items(), key=str):
        operations.setdefault(operation, collections.Counter())[outcome] += number
    missed = ", ".join(f"{number} {kind}" for kind, number in sorted(result.missed.items()))
    lines = [f"{result.combination}", f"  faults: {faults}", f"  missed: {missed or 'none'}"]
    lines += [
        f"  {operation:<24}"
        + "  ".join(
            f"{outcome.value} {number}"
            for outcome, number in sorted(counts.items(), key=lambda pair: pair[0].value)
        )
        for operation, counts in operations.items()
    ]
    lines += [f"  remark: {remark}" for remark in result.remarks]
    lines += [f"  VIOLATION {each}" for each in result.violations]
    return [*lines, ""]


def main() -> int:
    """Run campaigns; the exit code is 1 when one found a violation or could not be made."""
    options = arguments().parse_args()
    # Everything that was started is ended also then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = options.seed or str(random.SystemRandom().randrange(10**6))
    wanted = combinations(options)
    print(f"seed {seed}: {', '.join(map(str, wanted))}", flush=True)
    results, failed = [], False
    for number, combination in enumerate(wanted):
        share = options.faults // len(wanted) + (number < options.faults % len(wanted))
        progress = Progress(str(combination))
        settings = Settings(
            seed=seed,
            faults=share,
            window=options.window,
            hosts=options.hosts,
            workers=options.workers,
            threads=options.threads,
            clients=options.clients,
            only=tuple(options.only),
            scale=options.scale,
            settle=options.settle,
            sweep=options.sweep,
            largest=options.largest,
            shared_staging=options.shared_staging,
            directory=options.directory,
            backends=options.backends,
            keep=options.keep,
        )
        try:
            results.append(Campaign(combination, settings, progress).run())
        except Exception:
            # The others may still tell something.
            traceback.print_exc()
            results.append(Result(combination, seed, skipped="failed, see the traceback"))
            failed = True
        progress.clear()
        last = results[-1]
        state = (
            f"skipped: {last.skipped}"
            if last.skipped
            else (
                f"{last.faults.total()} faults, {len(last.violations)} violations, "
                f"{last.seconds:.0f} s"
            )
        )
        print(f"{combination}: {state}", flush=True)
    text = report(results, options, seed)
    options.output.write_text(text)
    print(text)
    for each in results:
        if each.directory:
            print(f"{each.combination}: see {each.directory}")
    return 1 if failed or any(result.violations for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
