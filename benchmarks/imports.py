#!/usr/bin/env python3
"""Measures imports: elapsed time and CPU time, of one service or of several.

    benchmarks/imports.py [--port N] [--size MIB] [--small N] [--rounds N] [--directory DIR]
                          NAME=URL=PID ...

A service is given by a name, its URL and the id of its main process; the CPU time of that process
and its descendants is counted, that of the database is not.  The service must accept
``X-Auth-Token: user:project:role``, have three stores of which `fast` is the default, and may
import from 127.0.0.1 at the given port.  Images are imported by glance-direct, by web-download and
by copy-image into two more stores: first a large one, then many of 1 MiB at the same time.  The
services are measured alternately.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import statistics
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator

MIB = 1 << 20
TICK = os.sysconf("SC_CLK_TCK")
TOKEN = {"X-Auth-Token": "u:p:admin"}
OCTETS = {"Content-Type": "application/octet-stream"}
COPIES = ["slow", "third"]
#: Seconds between two requests for the state of an image; the requests cost little CPU time.
POLL_INTERVAL = 0.2


@dataclasses.dataclass
class MeasuredService:
    """One of the services that are compared."""

    name: str
    url: urllib.parse.SplitResult
    process: int

    @classmethod
    def parse(cls, text: str) -> MeasuredService:
        name, url, process = text.split("=")
        return cls(name, urllib.parse.urlsplit(url), int(process))

    def request(self, method: str, path: str, body=None, headers=None) -> bytes:
        """Send one request; raises for an error status."""
        connection = http.client.HTTPConnection(self.url.netloc, timeout=600)
        with contextlib.closing(connection):
            if body is not None and not isinstance(body, bytes) and not hasattr(body, "read"):
                body, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
            connection.request(method, f"/v2/images{path}", body, {**TOKEN, **(headers or {})})
            answer = connection.getresponse()
            data = answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{self.name}: {method} {path}: {answer.status} {data[:200]!r}")
            return data

    def create(self) -> str:
        return json.loads(
            self.request("POST", "", {"disk_format": "raw", "container_format": "bare"})
        )["id"]

    def stage(self, image_id: str, path: pathlib.Path) -> None:
        with path.open("rb") as file:
            self.request(
                "PUT",
                f"/{image_id}/stage",
                file,
                {**OCTETS, "Content-Length": str(path.stat().st_size)},
            )

    def start_import(self, image_id: str, method: dict, **more) -> None:
        self.request("POST", f"/{image_id}/import", {"method": method, **more})

    def wait(self, image_ids: list[str], stores: int, digest: str) -> None:
        """Wait until each image is active in that many stores and has no import in progress."""
        left = list(image_ids)
        while left:
            image = json.loads(self.request("GET", f"/{left[-1]}"))
            idle = "os_glance_import_task" not in image
            if idle and image["status"] != "active" or image.get("os_glance_failed_import"):
                raise RuntimeError(f"{self.name}: {self.request('GET', f'/{left[-1]}/tasks')!r}")
            if idle and len(image["stores"].split(",")) >= stores:
                if image["os_hash_value"] != digest:
                    raise RuntimeError(f"{self.name}: another hash: {image}")
                left.pop()
            else:
                time.sleep(POLL_INTERVAL)

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far, in seconds."""
        total, processes = 0, [self.process]
        while processes:
            process = processes.pop()
            stat = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, stat[11:15]))
            for task in pathlib.Path(f"/proc/{process}/task").iterdir():
                processes += map(int, (task / "children").read_text().split())
        return total / TICK


@contextlib.contextmanager
def serve_files(directory: str, port: int) -> Iterator[str]:
    """Run a web server for the files of a directory; yields its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with open(os.path.join(directory, os.path.basename(self.path)), "rb") as file:
                self.send_response(200)
                self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
                self.end_headers()
                self.connection.sendfile(file)

        def log_message(self, *args) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@dataclasses.dataclass
class Load:
    """Images with the same data, which are imported by three methods one after the other."""

    path: pathlib.Path
    number: int
    uri: str

    def __post_init__(self) -> None:
        with self.path.open("rb") as file:
            self._digest = hashlib.file_digest(file, "sha512").hexdigest()

    def run(self, service: MeasuredService) -> Iterator[tuple[str, float, float]]:
        """Yields (method, elapsed seconds, CPU seconds) for one image."""
        images = [service.create() for _ in range(self.number)]
        yield self._measured(
            "stage", service, lambda: [service.stage(image, self.path) for image in images]
        )
        yield self._measured(
            "glance-direct",
            service,
            lambda: self._imported(service, images, 1, {"name": "glance-direct"}),
        )
        yield self._measured(
            "copy-image",
            service,
            lambda: self._imported(service, images, 3, {"name": "copy-image"}, stores=COPIES),
        )
        fetched = [service.create() for _ in range(self.number)]
        yield self._measured(
            "web-download",
            service,
            lambda: self._imported(service, fetched, 1, {"name": "web-download", "uri": self.uri}),
        )
        for image in (*images, *fetched):
            service.request("DELETE", f"/{image}")

    def _imported(
        self, service: MeasuredService, images: list[str], copies: int, method: dict, **more
    ) -> None:
        for image in images:
            service.start_import(image, method, **more)
        service.wait(images, copies, self._digest)

    def _measured(
        self,
        what: str,
        service: MeasuredService,
        act: Callable,
    ) -> tuple[str, float, float]:
        cpu_seconds, began = service.cpu_seconds(), time.monotonic()
        act()
        took = time.monotonic() - began
        time.sleep(POLL_INTERVAL)  # the last write of a task follows the one that its image shows
        return (
            f"{what}, {self.path.stat().st_size // MIB} MiB",
            took / self.number,
            (service.cpu_seconds() - cpu_seconds) / self.number,
        )


def report(services: list[MeasuredService], found: dict[str, dict[str, list]]) -> None:
    """Print a table: the median of the rounds, and the ratio of the first service to each other."""
    print(
        f"{'':<24}"
        + "".join(f"{s.name + ' s':>12}{'cpu s':>9}" for s in services)
        + "   times less: time, cpu"
    )
    for what, by_service in found.items():
        rows = [
            [statistics.median(column) for column in zip(*by_service[s.name], strict=True)]
            for s in services
        ]
        print(
            f"{what:<24}"
            + "".join(f"{took:>12.3f}{cpu:>9.3f}" for took, cpu in rows)
            + f"{rows[0][0] / rows[-1][0]:>12.2f}"
            f"{rows[0][1] / max(rows[-1][1], 1e-9):>9.2f}"
        )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("services", metavar="NAME=URL=PID", type=MeasuredService.parse, nargs="+")
    parser.add_argument("--port", type=int, default=18980)
    parser.add_argument("--size", type=int, default=1024, help="MiB of the large image")
    parser.add_argument("--small", type=int, default=40, help="number of images of 1 MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", help="directory for the data of the images")
    options = parser.parse_args()
    found: dict[str, dict[str, list]] = {}
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as directory,
        serve_files(directory, options.port) as address,
    ):
        loads = []
        for name, size, number in ("small", 1, options.small), ("large", options.size, 1):
            path = pathlib.Path(directory, name)
            with path.open("wb") as file:
                block = os.urandom(MIB)
                for _ in range(size):
                    file.write(block)
            loads.append(Load(path, number, f"{address}/{name}"))
        for _ in range(options.rounds):
            for load in loads:
                for service in options.services:
                    for what, took, cpu_seconds in load.run(service):
                        found.setdefault(what, {}).setdefault(service.name, []).append(
                            (took, cpu_seconds)
                        )
    print(
        f"# {time.strftime('%Y-%m-%d %H:%M')} rounds={options.rounds} cpus={os.cpu_count()} "
        f"load={os.getloadavg()[0]:.1f}"
    )
    report(options.services, found)


if __name__ == "__main__":
    main()
