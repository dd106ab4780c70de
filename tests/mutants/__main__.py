"""The command ``python -m tests.mutants``."""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from tests.mutants import operators, packages, rights, runner


class Examination:
    """Tries mutants of files, several at a time, and collects those that no test notices."""

    def __init__(self, jobs: concurrent.futures.Executor) -> None:
        self._jobs = jobs
        self.total = 0
        self.surviving: list[str] = []

    def file(
        self,
        path: str,
        chosen: Sequence[operators.Mutant],
        tree: ast.Module,
        covering: Mapping[int, Sequence[str]],
        equivalent: Mapping[tuple[str, str], str],
        declarations: Sequence[str] = (),
    ) -> None:
        """Try the chosen mutants of one file.

        :param declarations: places of tests for a file of which none executes a line.
        """
        if not any(covering.values()):
            covering = {}
        runs = []
        for mutant in chosen:
            if (path, mutant.description) in equivalent:
                continue
            names = (
                runner.tests_of(covering, tree, mutant)
                if covering
                else runner.module_names(declarations)
            )
            with mutant:
                text = ast.unparse(tree)
            runs.append((mutant, self._jobs.submit(runner.is_killed, path, text, names)))
        alive = [
            f"{path}:{mutant.line}: {mutant.description}"
            for mutant, run in runs
            if not run.result()
        ]
        print(f"{path}: {len(runs)} mutants, {len(alive)} not noticed", flush=True)
        self.total += len(runs)
        self.surviving += alive

    @property
    def percent(self) -> float:
        """How many of the mutants were noticed."""
        return 100 * (1 - len(self.surviving) / self.total) if self.total else 100.0


def source(path: str) -> ast.Module:
    return ast.parse((runner.ROOT / path).read_text())


def examine_rights(jobs: concurrent.futures.Executor) -> bool:
    """All mutants of the code that judges callers; True when each was noticed."""
    from glance_py import policies

    rules = frozenset(rule.name for rule in policies.list_rules())
    covering = runner.covering_tests(rights.TESTS, "glance_py")
    found = Examination(jobs)
    for path, names in rights.TARGETS.items():
        tree = source(path)
        chosen = list(operators.mutants(tree, rules, names))
        found.file(path, chosen, tree, covering.get(path, {}), rights.EQUIVALENT)
    return report("rights", found, 100)


def examine_package(
    name: str, sample: int | None, seed: int, only: str | None, jobs: concurrent.futures.Executor
) -> bool:
    """A sample of the mutants of a package; True when enough of them were noticed."""
    from glance_py import policies

    rules = frozenset(rule.name for rule in policies.list_rules())
    package = packages.PACKAGES[name]
    covering = runner.covering_tests(package.tests, package.path)
    found = Examination(jobs)
    for path in files_of(package.path):
        if only is not None and only not in path:
            continue
        tree = source(path)
        chosen = list(operators.general_mutants(tree, rules))
        if sample is not None and len(chosen) > sample:
            chosen = random.Random(f"{seed} {path}").sample(chosen, sample)  # noqa: S311
        found.file(
            path,
            chosen,
            tree,
            covering.get(path, {}),
            packages.EQUIVALENT,
            package.declarations,
        )
    return report(name, found, package.floor)


def files_of(folder: str) -> Iterator[str]:
    for path in sorted((runner.ROOT / folder).rglob("*.py")):
        yield str(path.relative_to(runner.ROOT))


def report(name: str, found: Examination, floor: float) -> bool:
    """Print what survived; True when the share of noticed mutants reaches the floor."""
    print("\n".join(found.surviving))
    print(
        f"{name}: {found.total} mutants, {found.percent:.1f} % noticed, at least {floor} % wanted"
    )
    return found.percent >= floor


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"rights or one of {', '.join(packages.PACKAGES)}; all of them without",
    )
    parser.add_argument("--sample", type=int, default=packages.SAMPLE, help="mutants of a file")
    parser.add_argument("--all", action="store_true", help="all mutants, not a sample")
    parser.add_argument("--seed", type=int, default=0, help="which sample")
    parser.add_argument("--file", help="only files whose path contains this text")
    options = parser.parse_args(arguments)
    known = ["rights", *packages.PACKAGES]
    if unknown := set(options.parts) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    started = time.monotonic()
    runner.warm_up()
    good = True
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as jobs:
        for part in options.parts or known:
            if part == "rights":
                good &= examine_rights(jobs)
            else:
                sample = None if options.all else options.sample
                good &= examine_package(part, sample, options.seed, options.file, jobs)
    print(f"{time.monotonic() - started:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
