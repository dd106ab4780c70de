#!/usr/bin/env python3
"""Measures the memory of a large upload of unknown length, under each server.

    benchmarks/upload_memory.py [--gib N] [--limit MIB] [--directory DIR] [server ...]

Uploads zeros in chunks of 4 MiB to glance-api, gunicorn and uWSGI (if they are installed), each
with one worker, into a store that keeps zeros as holes in a file.  Prints the growth of the
worker's resident memory at its maximum.  The exit code is 1 when that is above the limit or the
recorded size is wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tests.functional.server import (  # noqa: E402 - found through the line above
    GLANCE_API,
    GUNICORN,
    MIB,
    UWSGI,
    ServerProcess,
)

SERVERS = {"glance-api": GLANCE_API, "gunicorn": GUNICORN, "uwsgi": UWSGI}
CHUNK = 4 * MIB
THIN = "[local]\nfilesystem_thin_provisioning = true"


def resident_mib(process: int) -> float:
    """Resident memory of a process in MiB."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


class PeakMemory(threading.Thread):
    """Measures the highest resident memory of a process during the block."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._stopped = threading.Event()
        self.value = 0.0

    def run(self) -> None:
        while not self._stopped.wait(0.01):
            self.value = max(self.value, resident_mib(self._process))

    def __enter__(self) -> PeakMemory:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        self.join()


def zeros(size: int) -> Iterator[bytes]:
    chunk = bytes(CHUNK)
    for _ in range(size // CHUNK):
        yield chunk


def measure(command: list[str], size: int, directory: str | None) -> tuple[float, float, float]:
    """Memory before the large upload and its maximum in MiB, and the seconds of the upload."""
    with tempfile.TemporaryDirectory(prefix="glance-", dir=directory) as place:
        server = ServerProcess(place, command, client_timeout=60, options=THIN)
        try:
            # Modules are loaded at the first upload, which is not measured.
            if server.upload(server.create(), zeros(16 * CHUNK)) != 204:
                raise RuntimeError(server.log())
            (worker,) = server.workers()
            before = resident_mib(worker)
            image_id = server.create()
            with PeakMemory(worker) as peak:
                started = time.monotonic()
                status = server.upload(image_id, zeros(size))
                seconds = time.monotonic() - started
            if status != 204 or server.show(image_id)["size"] != size:
                raise RuntimeError(f"{status}: {server.log()}")
            return before, peak.value, seconds
        finally:
            server.end()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gib", type=int, default=5)
    parser.add_argument("--limit", type=float, default=40, help="MiB of growth")
    parser.add_argument("--directory", help="directory for the files")
    parser.add_argument(
        "servers", nargs="*", default=list(SERVERS), metavar="server", help=", ".join(SERVERS)
    )
    arguments = parser.parse_args()
    failed = False
    print(f"{arguments.gib} GiB in chunks of {CHUNK // MIB} MiB, one worker; resident MiB")
    print(f"{'':12} {'before':>8} {'highest':>8} {'growth':>8} {'MiB/s':>8}")
    for name in arguments.servers:
        if name == "uwsgi" and importlib.util.find_spec("pyuwsgi") is None:
            print(f"{name:12} pyuwsgi is not installed")
            continue
        size = arguments.gib << 30
        before, highest, seconds = measure(SERVERS[name], size, arguments.directory)
        failed |= highest - before > arguments.limit
        print(
            f"{name:12} {before:8.1f} {highest:8.1f} {highest - before:8.1f} "
            f"{size / MIB / seconds:8.0f}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
