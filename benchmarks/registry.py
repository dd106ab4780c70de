"""Measures the CPU time of an API process per request, with and without a registry.

    python -m benchmarks.registry [--seconds 3]

The requests pass the complete pipeline of an API in this process, with a thousand images in the
database (``tests/budget/cases.py``).  Without a registry the API uses SQLite; with one, it sends
HTTP requests to a glance-registry process on the same database, whose CPU time is read from /proc.
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
    """Yields the cases without a registry, those with one, and the registry."""
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
    """CPU time of the registry's worker processes so far, in seconds."""
    parent = process.process.pid
    children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    fields = [
        pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in children
    ]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICK


def measure(make: Callable[[], Callable[[], object]], seconds: float) -> tuple[float, float, int]:
    """CPU and elapsed milliseconds of one request, and the number of requests.

    :param make: prepares a request; returns the function that sends it.
    :param seconds: how long to repeat.
    """
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
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3, help="time for each case on each side")
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
