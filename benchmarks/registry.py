"""What a registry costs: CPU of an API process per request, with and without one, in one run.

    python -m benchmarks.registry [--seconds 3]

Requests go through the whole pipeline of an API in this process, over a thousand
images (see ``tests/budget/cases.py``).  Without a registry it has SQLite below
it; with one, HTTP to a glance-registry process over the same database.  The CPU
of the registry itself is read from /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import pathlib
import time
from collections.abc import Callable, Iterator

from glance_py import app
from glance_py.db.database import open_database
from tests.budget.cases import RequestCases, fill
from tests.functional import registry, service
from tests.functional.registry_process import RegistryProcess

NAMES = ("show", "missing", "list_1", "list_100", "create", "patch", "upload", "download")
TICK = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def cases_with_and_without_registry() -> Iterator[
    tuple[RequestCases, RequestCases, RegistryProcess]
]:
    """The cases without and with a registry, and that registry."""
    with service.configured(behind_registry=False) as (conf, directory):
        database = open_database(conf)
        database.write(fill)
        database.dispose()
        process = RegistryProcess(directory)
        process.start()
        try:
            with open(conf.config_file[0], "a") as file:
                file.write(registry.SECTIONS)
            conf.reload_config_files()
            direct = RequestCases(app.build(conf), "u:p1:member")
            conf.set_override("data_api", "registry")
            conf.set_override("registry_port", process.port)
            yield direct, RequestCases(app.build(conf), "u:p1:member"), process
        finally:
            process.kill()


def cpu_of(process: RegistryProcess) -> float:
    """Seconds of CPU that the registry's processes have used."""
    parent = process.process.pid
    children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    fields = [
        pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in children
    ]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICK


def measure(make: Callable, seconds: float) -> tuple[float, float, int]:
    """CPU and wall clock of one request in milliseconds, and how many were made."""
    make()()
    cpu = wall = 0.0
    number = 0
    while wall < seconds:
        action = make()
        start, start_cpu = time.perf_counter(), time.process_time()
        action()
        wall += time.perf_counter() - start
        cpu += time.process_time() - start_cpu
        number += 1
    return cpu / number * 1000, wall / number * 1000, number


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3, help="for each case and side")
    seconds = parser.parse_args().seconds
    logging.disable(logging.WARNING)
    with cases_with_and_without_registry() as (direct, remote, process):
        print(
            f"{'ms per request':14} {'API alone':>10} {'with':>8} {'times':>6} {'registry':>9}"
            f" {'wall alone':>11} {'with':>8}"
        )
        for name in NAMES:
            alone, wall_alone, _ = measure(getattr(direct, name), seconds)
            before = cpu_of(process)
            with_, wall, number = measure(getattr(remote, name), seconds)
            own = (cpu_of(process) - before) / number * 1000
            print(
                f"{name:14} {alone:10.3f} {with_:8.3f} {with_ / alone:6.2f} {own:9.3f}"
                f" {wall_alone:11.3f} {wall:8.3f}"
            )


if __name__ == "__main__":
    main()
