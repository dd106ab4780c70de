#!/usr/bin/env python3
"""Measures large images in each store: MiB/s, CPU time and memory of the service.

    benchmarks/stores.py [--gib N] [--directory DIR] [--beside NAME=COMMAND] [store ...]

Starts the S3 service and the Swift of the tests, and the service with one worker and the stores
``file``, ``s3`` and ``swift`` (also ``rbd`` if GLANCE_TEST_CEPH_CONF names a cluster, see
tests/contract/store/test_rbd.py).  An image is uploaded to each store, downloaded, compared byte by
byte and deleted.  COMMAND starts another Image service: its argument is a configuration file with
the same stores, which it reads in addition to its own, and it prints its URL and the id of its main
process.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tests import stores  # noqa: E402 - found through the line above
from tests.contract.store import seaweed, test_rbd  # noqa: E402
from tests.functional.server import GLANCE_API, MIB, ServerProcess  # noqa: E402
from tests.servers import swift  # noqa: E402

CHUNK = os.urandom(4 * MIB)
TOKEN = {"X-Auth-Token": "u:p:admin"}
TICKS = os.sysconf("SC_CLK_TCK")

LOCAL = """
[fast]
filesystem_store_datadir = {directory}/fast
[slow]
filesystem_store_datadir = {directory}/slow
"""
NAMES = {"file": "fast", "s3": "objects", "swift": "containers"}
if not test_rbd.missing():
    NAMES["rbd"] = "pool"


@dataclasses.dataclass(frozen=True, slots=True)
class MeasuredService:
    """An Image service: its URL and its main process."""

    name: str
    address: str
    process: int

    def processes(self) -> list[int]:
        """The ids of its processes, including all descendants."""
        found = [self.process]
        for each in found:
            with contextlib.suppress(OSError):
                found += map(
                    int, pathlib.Path(f"/proc/{each}/task/{each}/children").read_text().split()
                )
        return found

    def cpu(self) -> float:
        """CPU time of its processes so far, in seconds."""
        used = 0
        for each in self.processes():
            fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
        return used / TICKS

    def resident_mib(self) -> float:
        """Resident memory of its processes in MiB."""
        return (
            sum(
                int(
                    re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{each}/status").read_text())[
                        1
                    ]
                )
                for each in self.processes()
            )
            / 1024
        )

    @contextlib.contextmanager
    def request(self, method: str, path: str, body=None, **headers: str):
        """Send a request; returns the answer."""
        connection = http.client.HTTPConnection(
            urlsplit(self.address).netloc, timeout=900, blocksize=len(CHUNK)
        )
        with contextlib.closing(connection):
            connection.request(
                method,
                path,
                body,
                {**TOKEN, **{name.replace("_", "-"): value for name, value in headers.items()}},
            )
            answer = connection.getresponse()
            if answer.status >= 300:
                raise RuntimeError(
                    f"{self.name}: {method} {path}: {answer.status} {answer.read(500)!r}"
                )
            yield answer

    def request_json(self, method: str, path: str, body=None, **headers: str) -> dict:
        with self.request(method, path, body, **headers) as answer:
            return json.loads(answer.read() or "{}")


@contextlib.contextmanager
def measured(service: MeasuredService, what: str, gib: float) -> Iterator[None]:
    """Print rate, CPU time and memory of the block."""
    stopped, highest = threading.Event(), [service.resident_mib()]

    def watch() -> None:
        while not stopped.wait(0.05):
            highest.append(service.resident_mib())

    watcher = threading.Thread(target=watch, daemon=True)
    cpu, before, started = service.cpu(), highest[0], time.monotonic()
    watcher.start()
    try:
        yield
    finally:
        stopped.set()
        watcher.join()
    seconds = time.monotonic() - started
    print(
        f"{service.name:12} {what:16} {gib * 1024 / seconds:8.0f} "
        f"{(service.cpu() - cpu) / gib:10.2f} {before:8.0f} {max(highest) - before:8.1f}",
        flush=True,
    )


def run(service: MeasuredService, store: str, chunks: int, digest: str) -> None:
    """Upload, download and delete one image."""
    gib, size = chunks * len(CHUNK) / 2**30, chunks * len(CHUNK)
    image = service.request_json(
        "POST",
        "/v2/images",
        json.dumps({"disk_format": "raw", "container_format": "bare"}),
        Content_Type="application/json",
    )
    path = f"/v2/images/{image['id']}"
    with measured(service, f"{store} upload", gib):
        service.request_json(
            "PUT",
            f"{path}/file",
            (CHUNK for _ in range(chunks)),
            Content_Type="application/octet-stream",
            Content_Length=str(size),
            X_Image_Meta_Store=NAMES[store],
        )
    stored = service.request_json("GET", path)
    if (stored["status"], stored["size"], stored["checksum"]) != ("active", size, digest):
        raise RuntimeError(f"{service.name} stored something else: {stored}")
    with (
        measured(service, f"{store} download", gib),
        service.request("GET", f"{path}/file") as answer,
    ):
        compare(answer, chunks)
    service.request_json("DELETE", path)


def compare(answer: http.client.HTTPResponse, chunks: int) -> None:
    """Read the whole answer and compare it with the uploaded data."""
    buffer = memoryview(bytearray(len(CHUNK)))
    for _ in range(chunks):
        at = 0
        while at < len(CHUNK):
            count = answer.readinto(buffer[at:])
            if not count:
                raise RuntimeError("the download ended too early")
            at += count
        if buffer != CHUNK:
            raise RuntimeError("the download differs")


def write_stores(directory: pathlib.Path, volumes: int) -> str:
    """The configuration of the stores, without the directories of files."""
    s3 = urlsplit(seaweed.start(20 + volumes))
    first = urlsplit(swift.start().keystone.partition(",")[0])
    credentials, _, host = first.netloc.rpartition("@")
    user, _, key = credentials.rpartition(":")
    references = directory / "references.conf"
    stores.write_references(references, f"http://{host}{first.path}", user, key)
    pool = ", pool:rbd" if "rbd" in NAMES else ""
    return "".join(
        (
            "[DEFAULT]\n"
            f"enabled_backends = fast:file, slow:file, objects:s3, containers:swift{pool}\n",
            stores.s3(
                "objects",
                f"http://{s3.netloc.rpartition('@')[2]}",
                s3.username,
                s3.password,
                "benchmark",
                in_parts=False,
            ),
            stores.swift("containers", references, "benchmark", in_segments=False),
            test_rbd.section("pool") if pool else "",
        )
    )


def start_service(directory: pathlib.Path, stores: str) -> tuple[MeasuredService, ServerProcess]:
    """Start the service with one worker."""
    # Its first line is [DEFAULT], below which the options are inserted.
    options = stores.partition("\n")[2].replace("backends = ", "backends = local:file, ", 1)
    place = directory / "ours"
    place.mkdir()
    process = ServerProcess(
        str(place), GLANCE_API, client_timeout=60, options=options + LOCAL.format(directory=place)
    )
    return MeasuredService(
        "glance_py", f"http://127.0.0.1:{process.port}", process.process.pid
    ), process


def start_other_service(wanted: str, stores: pathlib.Path) -> MeasuredService:
    name, _, command = wanted.partition("=")
    output = subprocess.run(
        [*command.split(), str(stores)], check=True, text=True, stdout=subprocess.PIPE
    ).stdout.split()
    return MeasuredService(name, output[0], int(output[1]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--directory", help="directory for all data")
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument(
        "stores", nargs="*", default=list(NAMES), metavar="store", help=", ".join(NAMES)
    )
    arguments = parser.parse_args()
    tempfile.tempdir = arguments.directory
    chunks = int(arguments.gib * 2**30) // len(CHUNK)
    digest = hashlib.md5(usedforsecurity=False)
    for _ in range(chunks):
        digest.update(CHUNK)
    with tempfile.TemporaryDirectory(prefix="stores-") as name:
        directory = pathlib.Path(name)
        stores = write_stores(directory, int(arguments.gib * 4 * (2 + len(arguments.beside))))
        (directory / "stores.conf").write_text(stores)
        service, process = start_service(directory, stores)
        try:
            services = [
                service,
                *(
                    start_other_service(each, directory / "stores.conf")
                    for each in arguments.beside
                ),
            ]
            print(f"{arguments.gib:g} GiB, one worker; CPU time of the service alone")
            print(f"{'':12} {'':16} {'MiB/s':>8} {'CPU s/GiB':>10} {'MiB':>8} {'growth':>8}")
            for store in arguments.stores:
                for each in services:
                    # Modules are loaded at the first image, which is not measured.
                    warm_up(each, store)
                    run(each, store, chunks, digest.hexdigest())
        finally:
            process.end()


def warm_up(service: MeasuredService, store: str) -> None:
    digest = hashlib.md5(CHUNK * 8, usedforsecurity=False).hexdigest()
    with contextlib.redirect_stdout(None):
        run(service, store, 8, digest)


if __name__ == "__main__":
    main()
