"""A real OpenStack Swift for the time of a test run: one node, one replica, loopback.

``make test`` installs it (``requirements.txt``).  Two ways in: tempauth, whose
accounts begin with ``AUTH_``, and keystoneauth behind :mod:`tests.servers.identity`,
whose accounts begin with ``KEY_``.  Ends with the process that started it.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import dataclasses
import functools
import getpass
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from tests.servers import ports

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ("account", "container", "object")

COMMON = """\
[swift-hash]
swift_hash_path_suffix = test
[storage-policy:0]
name = gold
default = yes
"""

STORAGE = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {directory}
devices = {directory}/devices
mount_check = false
recon_cache_path = {directory}
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
# On a busy machine nothing is late: nobody comes by later to put things right.
conn_timeout = 20
node_timeout = 60
container_update_timeout = 60
"""

PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {directory}
[pipeline:main]
pipeline = catch_errors gatekeeper s3api identity keystoneauth tempauth bulk copy container_quotas
    slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 20
node_timeout = 60
recoverable_node_timeout = 60
error_suppression_limit = 1000000
# A device that is full is tried again soon: there is no other.
error_suppression_interval = 1
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
[filter:identity]
paste.filter_factory = tests.servers.identity:filter_factory
address = http://127.0.0.1:{port}
[filter:keystoneauth]
use = egg:swift#keystoneauth
reseller_prefix = KEY
operator_roles = member
[filter:tempauth]
use = egg:swift#tempauth
fernet_key_one = {key}
active_fernet_key_id = one
user_test_tester = testing .admin
user_test2_tester2 = testing2 .admin
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:container_quotas]
use = egg:swift#container_quotas
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Swift:
    """Addresses with credentials of two users, as the contract of drivers takes them."""

    port: int
    processes: tuple[subprocess.Popen, ...] = ()

    def end(self) -> None:
        """Nobody uses its directory any more."""
        for process in self.processes:
            ports.end(process)

    @property
    def keystone(self) -> str:
        return f"http://service:glance:glance@127.0.0.1:{self.port}/identity/v3,demo:demo:demo"

    @property
    def s3(self) -> str:
        """The S3 API, for the first user of tempauth."""
        return f"http://test%3Atester:testing@127.0.0.1:{self.port}"

    @property
    def tempauth(self) -> str:
        return f"http://test:tester:testing@127.0.0.1:{self.port},test2:tester2:testing2"


def program(name: str = "swift-proxy-server") -> str | None:
    """Where a program of Swift is: where ``make test`` puts it, or on the path."""
    installed = os.path.join(sys.prefix, "servers", "bin")
    return shutil.which(name, path=installed) or shutil.which(name)


@functools.cache
def start() -> Swift:
    """The Swift of this process."""
    scratch = tempfile.TemporaryDirectory(prefix="swift-", dir=_directory_with_xattrs())
    atexit.register(scratch.cleanup)
    return start_in(scratch.name)


def start_in(directory: str) -> Swift:
    """A Swift that keeps everything in ``directory``."""
    port, *storage = ports.free(4)
    path = pathlib.Path(directory)
    (path / "devices" / "d1").mkdir(parents=True)
    (path / "swift.conf").write_text(COMMON)
    values = {"directory": directory, "user": getpass.getuser()}
    for kind, its_port in zip(KINDS, storage, strict=True):
        _make_ring(path / f"{kind}.builder", its_port)
        (path / f"{kind}.conf").write_text(STORAGE.format(kind=kind, port=its_port, **values))
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    (path / "proxy.conf").write_text(PROXY.format(port=port, key=key, **values))
    started = [
        (_run(kind, path), its_port)
        for kind, its_port in zip((*KINDS, "proxy"), (*storage, port), strict=True)
    ]
    for process, its_port in started:
        ports.wait(its_port, process, path / "log")
    return Swift(port, tuple(process for process, _ in started))


def _directory_with_xattrs() -> str:
    """A directory on a file system with extended attributes, where Swift keeps metadata.

    :raises RuntimeError: there is none.
    """
    for place in (tempfile.gettempdir(), "/var/tmp", "/dev/shm", str(ROOT)):
        with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=place) as file:
            os.setxattr(file.fileno(), "user.test", b"x" * 1024)
            return place
    raise RuntimeError("Swift needs a file system with extended attributes")


def _run(kind: str, path: pathlib.Path) -> subprocess.Popen:
    return ports.start(
        [str(program(f"swift-{kind}-server")), str(path / f"{kind}.conf")],
        path / "log",
        PYTHONPATH=str(ROOT),
    )


def _make_ring(builder: pathlib.Path, port: int) -> None:
    def run(*arguments: str) -> None:
        subprocess.run(
            [str(program("swift-ring-builder")), str(builder), *arguments],
            check=True,
            capture_output=True,
        )

    run("create", "4", "1", "1")
    run("add", f"r1z1-127.0.0.1:{port}/d1", "100")
    run("rebalance")
