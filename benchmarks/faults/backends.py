"""Databases and stores of a campaign, and the faults that they have of their own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from urllib.parse import urlsplit

import sqlalchemy as sa

from glance_store_py.drivers import s3
from glance_store_py.drivers import swift as driver
from glance_store_py.drivers.s3_options import OPTIONS as S3_OPTIONS
from glance_store_py.drivers.swift_options import OPTIONS as SWIFT_OPTIONS
from glance_store_py.testing import settings
from tests.contract.store import seaweed
from tests.servers import swift

POSTGRESQL = "postgresql+psycopg2://root@127.0.0.1:5432/postgres"
MARIADB = "mysql+pymysql://root@127.0.0.1:3306/test"

STORES = ("fast", "slow")


class BackendMissing(Exception):
    """A combination needs something that is not on this machine; the text names it."""


# ---------------------------------------------------------------- databases


class Database:
    """A database for one campaign.

    ``urls`` are those of the hosts, by turns; ``url`` is for what has no faults.
    """

    capabilities: frozenset[str] = frozenset({"database"})
    hosts: int | None = None
    urls: list[str]

    @property
    def url(self) -> str:
        return self.urls[0]

    def close(self) -> None:
        """Remove it."""


class Sqlite(Database):
    """A file: for one host."""

    capabilities = frozenset()
    hosts = 1

    def __init__(self, directory: pathlib.Path, backends: pathlib.Path | None) -> None:
        self.urls = [f"sqlite:///{directory}/glance.sqlite"]


class Server(Database):
    """A database of its own on a server that runs already."""

    variable, default = "", ""

    def __init__(self, directory: pathlib.Path, backends: pathlib.Path | None) -> None:
        self._server = sa.make_url(os.environ.get(self.variable) or self.default)
        self.name = f"faults_{secrets.token_hex(4)}"
        self._admin(f"CREATE DATABASE {self.name}")
        self.urls = [self._server.set(database=self.name).render_as_string(False)]

    def _admin(self, *statements: str) -> None:
        engine = sa.create_engine(self._server, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)
        except sa.exc.OperationalError as error:
            raise BackendMissing(f"{self.variable} names no server: {error.orig}") from None
        finally:
            engine.dispose()

    def close(self) -> None:
        self._admin(f"DROP DATABASE {self.name}")


class Postgresql(Server):
    variable, default = "GLANCE_TEST_POSTGRESQL", POSTGRESQL

    def close(self) -> None:
        self._admin(f"DROP DATABASE {self.name} WITH (FORCE)")


class Mariadb(Server):
    variable, default = "GLANCE_TEST_MARIADB", MARIADB


def find_free_ports(number: int) -> int:
    """The first of so many consecutive free ports of the loopback interface."""
    for _ in range(100):
        first = 20000 + secrets.randbelow(10000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + number):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise BackendMissing(f"there are no {number} free ports side by side")


class Scripts:
    """Commands ``NAME-up`` and ``NAME-down`` in a directory, which write ``env`` into another.

    :param variables: for the commands' environment.
    """

    def __init__(self, backends: pathlib.Path | None, name: str, **variables: str) -> None:
        if backends is None or not (backends / f"{name}-up").exists():
            raise BackendMissing(f"--backends names no directory with {name}-up")
        # Daemons that give up root must be able to enter.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.directory.chmod(0o755)
        self._backends, self._name = backends, name
        self._environment = {**os.environ, **variables}
        try:
            self.run("up")
        except BackendMissing:
            self.close()
            raise
        self.variables = dict(
            re.findall(r"^export (\w+)=(.*)$", (self.directory / "env").read_text(), re.M)
        )

    def run(self, action: str, *words: str) -> None:
        """Run ``NAME-action``.

        :raises Missing: it failed.
        """
        # Daemons inherit its output, which is therefore no pipe that ends with the command.
        log = self.directory / f"{action}.log"
        with open(log, "wb") as file:
            done = subprocess.run(
                [str(self._backends / f"{self._name}-{action}"), str(self.directory), *words],
                env=self._environment,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
            )
        if done.returncode:
            raise BackendMissing(f"{self._name}-{action}: {log.read_text(errors='replace')[-500:]}")

    def restart(self, *words: str) -> None:
        """Start it again after it was killed; its port may not be free at once.

        :raises Missing: it does not start.
        """
        for last in (False, False, False, True):
            try:
                self.run("up", *words)
            except BackendMissing:
                if last:
                    raise
                time.sleep(1)
            else:
                return

    def kill(self, daemon: str) -> None:
        """Kill a daemon with signal 9."""
        process = int((self.directory / "run" / f"{daemon}.pid").read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

    def close(self) -> None:
        """Stop it and remove all of it."""
        with contextlib.suppress(BackendMissing, OSError):
            self.run("down", "--wipe")
        shutil.rmtree(self.directory, ignore_errors=True)


class Galera(Database):
    """Three nodes, a host before each: all of them are written to."""

    capabilities = frozenset({"database", "database-nodes"})
    hosts = 3

    def __init__(self, directory: pathlib.Path, backends: pathlib.Path | None) -> None:
        self._scripts = Scripts(backends, "galera", GALERA_PORT=str(find_free_ports(60)))
        self.urls = [self._scripts.variables[f"DB_URL_NODE{n}"] for n in (1, 2, 3)]

    def kill_node(self, random_number: float) -> str:
        """Kill a node, by a number in [0, 1); its name."""
        self._node = str(int(random_number * 3) + 1)
        self._scripts.kill(f"node{self._node}")
        return f"node{self._node}"

    def restart_node(self) -> None:
        self._scripts.restart("--node", self._node)

    def close(self) -> None:
        self._scripts.close()


class ReplicatedPostgresql(Database):
    """A PostgreSQL with a synchronous replica that is promoted."""

    capabilities = frozenset({"database", "database-pair"})

    def __init__(self, directory: pathlib.Path, backends: pathlib.Path | None) -> None:
        self._scripts = Scripts(
            backends, "pg-pair", PAIR_SYNC="1", PAIR_PORT=str(find_free_ports(5))
        )
        self.urls = [self._scripts.variables["DB_URL"]]

    def promote(self) -> None:
        """Kill the primary; the replica takes over."""
        self._scripts.run("promote")

    def restart_replica(self) -> None:
        """There is a replica again."""
        self._scripts.restart()

    def close(self) -> None:
        self._scripts.close()


class PooledPostgresql(Postgresql):
    """PostgreSQL behind PgBouncer in transaction mode."""

    capabilities = frozenset({"database", "pooler"})

    def __init__(self, directory: pathlib.Path, backends: pathlib.Path | None) -> None:
        super().__init__(directory, backends)
        url = sa.make_url(self.urls[0])
        self._direct = self.urls[0]
        try:
            self._scripts = Scripts(
                backends,
                "pgbouncer",
                PGB_PORT=str(find_free_ports(1)),
                PG_HOST=str(url.host),
                PG_PORT=str(url.port or 5432),
                PG_DB=self.name,
                PG_USER=str(url.username),
                PG_PASS=url.password or "none",
            )
        except BackendMissing:
            super().close()
            raise
        self.urls = [self._scripts.variables["DB_URL"]]

    @property
    def url(self) -> str:
        return self._direct

    def kill_pooler(self) -> None:
        self._scripts.kill("pgbouncer")

    def restart_pooler(self) -> None:
        self._scripts.restart()

    def close(self) -> None:
        self._scripts.close()
        super().close()


DATABASES: dict[str, type[Database]] = {
    "sqlite": Sqlite,
    "postgresql": Postgresql,
    "mariadb": Mariadb,
    "galera": Galera,
    "postgresql-pair": ReplicatedPostgresql,
    "pgbouncer": PooledPostgresql,
}


# ---------------------------------------------------------------- stores


class Store:
    """The two stores ``fast`` and ``slow`` of a campaign.

    ``target`` is where the service behind them listens, None for files.
    """

    capabilities: frozenset[str] = frozenset({"object-store"})
    target: tuple[str, int] | None = None
    #: Must all hosts know the service by one address?
    shared_address = False
    #: MiB of the largest images that make sense.
    largest = 40

    def sections(self, port: int) -> str:
        """Configuration of a host that reaches the service on a port of loopback."""
        raise NotImplementedError

    def objects(self) -> list[tuple[str, str]]:
        """(store, name) of all objects, read without the service."""
        raise NotImplementedError

    def unfinished(self) -> list[str]:
        """Unfinished uploads, for services that list them separately."""
        return []

    def close(self) -> None:
        """End it."""


class Files(Store):
    """Directories that the hosts share; on a small file system of their own if root.

    ``skipped`` is the reason why the file system cannot be filled.
    """

    SIZE = "4g"

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory / "stores"
        self._directory.mkdir()
        mounted = (
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={self.SIZE}", "tmpfs", str(self._directory)],
                capture_output=True,
                text=True,
            )
            if os.getuid() == 0
            else None
        )
        self._mounted = mounted is not None and mounted.returncode == 0
        self.skipped = "" if self._mounted else "disk-full: only root can mount a tmpfs"
        self.capabilities = frozenset({"disk"} if self._mounted else ())
        for name in STORES:
            (self._directory / name).mkdir()

    def sections(self, port: int) -> str:
        return "[DEFAULT]\nenabled_backends = fast:file, slow:file\n" + "".join(
            f"[{name}]\nfilesystem_store_datadir = {self._directory}/{name}\n" for name in STORES
        )

    def fill_disk(self) -> None:
        """Leave half a MiB of space."""
        usage = shutil.disk_usage(self._directory)
        self._resize(str(usage.used + (1 << 19)))

    def free_space(self) -> None:
        """There is space again."""
        self._resize(self.SIZE)

    def _resize(self, size: str) -> None:
        subprocess.run(
            ["mount", "-o", f"remount,size={size}", str(self._directory)],
            check=True,
            capture_output=True,
        )

    def objects(self) -> list[tuple[str, str]]:
        return [(name, each.name) for name in STORES for each in (self._directory / name).iterdir()]

    def close(self) -> None:
        if self._mounted:
            subprocess.run(["umount", "-l", str(self._directory)], capture_output=True)


class S3(Store):
    """SeaweedFS, or the service that GLANCE_TEST_S3 names; a bucket for each store."""

    capabilities = frozenset({"object-store", "s3"})
    shared_address = True  # it is in the locations of images

    def __init__(self, directory: pathlib.Path) -> None:
        self._process: subprocess.Popen | None = None
        url = os.environ.get("GLANCE_TEST_S3")
        if not url:
            if not seaweed.program():
                raise BackendMissing(
                    "there is no program 'weed', and GLANCE_TEST_S3 names no service"
                )
            (directory / "s3").mkdir()
            url, self._process = seaweed.start_in(str(directory / "s3"), volumes=40)
        self._url = urlsplit(url)
        self._prefix = f"faults-{secrets.token_hex(3)}"
        self.target = str(self._url.hostname), int(self._url.port or 80)
        self._clients = {}
        for name in STORES:
            client = s3.S3Driver(
                settings(
                    S3_OPTIONS,
                    s3_store_host=f"http://{self.target[0]}:{self.target[1]}",
                    s3_store_access_key=self._url.username,
                    s3_store_secret_key=self._url.password,
                    s3_store_bucket=f"{self._prefix}-{name}",
                ),
                name,
            )._client
            client.create_bucket()
            self._clients[name] = client

    def sections(self, port: int) -> str:
        return "[DEFAULT]\nenabled_backends = fast:s3, slow:s3\n" + "".join(
            f"""\
[{name}]
s3_store_host = http://127.0.0.1:{port}
s3_store_access_key = {self._url.username}
s3_store_secret_key = {self._url.password}
s3_store_bucket = {self._prefix}-{name}
s3_store_large_object_size = 10
s3_store_large_object_chunk_size = 5
"""
            for name in STORES
        )

    def objects(self) -> list[tuple[str, str]]:
        return [
            (name, each.key)
            for name, client in self._clients.items()
            for each in client.list_objects()
        ]

    def unfinished(self) -> list[str]:
        return [
            f"{name}: unfinished upload of {each.key}"
            for name, client in self._clients.items()
            for each in client.list_uploads()
        ]

    def close(self) -> None:
        if self._process is not None:
            seaweed.end(self._process)


class Swift(Store):
    """A Swift of one node; a container for each store."""

    largest = 20  # three segments: large objects are slow here

    def __init__(self, directory: pathlib.Path) -> None:
        if not swift.program():
            raise BackendMissing("Swift is not installed (make .venv/.servers)")
        self._scratch = tempfile.TemporaryDirectory(prefix="swift-", dir=swift._roomy())
        self._swift = swift.start_in(self._scratch.name)
        self.target = "127.0.0.1", self._swift.port
        self._references = directory / "references.conf"
        self._references.write_text(f"""\
[ours]
auth_address = http://127.0.0.1:{self._swift.port}/identity/v3
user = service:glance
key = glance
user_domain_id = default
project_domain_id = default
""")
        made = driver.SwiftDriver(
            settings(
                SWIFT_OPTIONS,
                swift_store_config_file=str(self._references),
                default_swift_reference="ours",
            ),
            "ours",
        )
        self._client = made._client(made._references["ours"])

    def objects(self) -> list[tuple[str, str]]:
        return [
            (name, each.name)
            for name in STORES
            if self._client.has_container(name)
            for each in self._client.list_objects(name)
        ]

    def sections(self, port: int) -> str:
        return "[DEFAULT]\nenabled_backends = fast:swift, slow:swift\n" + "".join(
            f"""\
[{name}]
swift_store_config_file = {self._references}
default_swift_reference = ours
swift_store_endpoint = http://127.0.0.1:{port}/v1/KEY_p-service
swift_store_container = {name}
swift_store_create_container_on_put = True
swift_store_large_object_size = 5
swift_store_large_object_chunk_size = 8
"""
            for name in STORES
        )

    def close(self) -> None:
        self._swift.end()
        self._scratch.cleanup()


STORE_TYPES: dict[str, type[Store]] = {"file": Files, "s3": S3, "swift": Swift}
