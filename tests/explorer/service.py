"""The service, several processes of it, over one database and one set of stores.

Everything is the production code but the edges: the database stops at every read and
transaction, the driver of the stores at every operation, and time is the schedule's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import os
import sqlite3
import sys
import tempfile
import time
import types
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn
from unittest import mock

import sqlalchemy as sa
from oslo_config import cfg

from glance_py import app, claims, config, gateway, recovery
from glance_py.context import RequestContext
from glance_py.db import migrations
from glance_py.db.database import Database, open_database
from glance_py.db.repositories import sql_repositories
from glance_py.dependencies import Dependencies
from glance_py.domain import errors
from glance_py.domain.claim import split_object_name
from glance_py.heartbeat import Heartbeat
from glance_py.importing import (
    importer,
    location_import,
    staging,
    task_executor,
    tasks_api,
)
from glance_py.layers.location import LocationProxy
from glance_py.layers.quota import QuotaProxy
from glance_py.layers.tasks import internal_tasks
from glance_py.safe_http import Response
from glance_py.scrubber import Scrubber
from glance_py.settings import Settings
from glance_store_py import errors as store_errors
from glance_store_py.config import STAGING_STORE
from glance_store_py.driver import AddResult, ObjectData
from glance_store_py.drivers import file, memory
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import StoreLocation
from glance_store_py.stores import Stores
from tests.explorer import scheduler
from tests.explorer.scheduler import Actor, Process, Schedule

#: Names of the processes of clients, of recoveries, and of what puts everything in order at last.
CLIENTS, RECOVERIES, CLEANER = ("A", "B", "C"), ("R", "S"), "Z"

STAGING = STAGING_STORE
EPOCH = datetime.datetime(2030, 1, 1)
PROJECT = "p"
CONFIGURATION = """\
[DEFAULT]
enabled_backends = one:memory, two:memory
user_storage_quota = 1GB
[glance_store]
default_backend = one
[os_glance_staging_store]
filesystem_store_datadir = {directory}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {directory}/tasks
[database]
connection = sqlite://
"""

#: Reads of looks that come again and again.
PERIODIC_READS = ("Claims.held", "Claims.unclaimed", "Pending.find")

_TABLES = (
    "image_properties",
    "image_locations",
    "image_tags",
    "image_members",
    "image_claims",
    "task_info",
    "tasks",
    "images",
)


class ScheduledClock:
    """The clock of the schedule that is being executed."""

    schedule: Schedule | None = None

    def monotonic(self) -> float:
        return 1000.0 if self.schedule is None else self.schedule.now

    def sleep(self, seconds: float) -> None:
        if self.schedule is not None:
            self.schedule.sleep(seconds)

    def time(self) -> float:
        """Files have times of the machine, so this is that of the machine and what passed."""
        return time.time() + self.monotonic() - 1000.0

    def utcnow(self) -> datetime.datetime:
        return EPOCH + datetime.timedelta(seconds=self.monotonic() - 1000.0)

    def step(self, kind: str, label: str) -> str | None:
        """See :meth:`Schedule.step`; between schedules it returns at once."""
        schedule = self.schedule
        return schedule.step(kind, label) if schedule is not None and schedule.active else None

    def actor(self) -> Actor | None:
        """Whose thread this is."""
        return self.schedule.current if self.schedule is not None else None

    def process(self) -> Process | None:
        """Whose process this is."""
        actor = self.actor()
        return actor.process if actor is not None else None

    def changed(self, fault: str | None) -> None:
        """A call took effect; with the fault LATE its caller hears of it late."""
        if self.schedule is not None and self.schedule.active:
            self.schedule.changed()
            if fault == scheduler.LATE:
                self.schedule.pause_process()


#: One clock for everything that is built here.
CLOCK = ScheduledClock()


class PersistentConnection(sqlite3.Connection):
    """The one connection to a database in memory, which would be gone with it.

    SQLAlchemy closes a connection at which a thread was stopped for good.
    """

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()

    def close_connection(self) -> None:
        super().close()


class SteppedDatabase(Database):
    """Stops before every read and transaction, and loses answers."""

    #: What a lost answer to COMMIT looks like.
    unknown: type[errors.GlanceError] = errors.OutcomeUnknown

    def now(self) -> datetime.datetime:
        return CLOCK.utcnow()

    #: Stop also between the statements of a read, which see what others commit meanwhile.
    split_reads = False

    def __init__(self, made: sa.Engine) -> None:
        super().__init__(made)
        self._statements: dict[object, int] = {}
        sa.event.listen(made, "before_cursor_execute", self._before_statement)

    def read(self, work, replica: bool = False):
        label = _caller()
        if CLOCK.step(scheduler.READ, label) is not None:
            raise errors.DatabaseUnavailable
        if not self.split_reads or label in PERIODIC_READS:
            return super().read(work, replica)
        actor = CLOCK.actor()
        self._statements[actor] = 0
        try:
            return super().read(work, replica)
        finally:
            del self._statements[actor]

    def _before_statement(self, *_: object) -> None:
        actor = CLOCK.actor()
        if actor in self._statements:
            self._statements[actor] += 1
            if self._statements[actor] > 1:
                CLOCK.step(scheduler.READ, "next statement")

    def write(self, work, lock: str | None = None):
        label = _caller()
        fault = CLOCK.step(scheduler.WRITE, label)
        if fault == scheduler.FAIL:
            raise errors.DatabaseUnavailable
        if fault == scheduler.UNKNOWN_LOST:
            raise self.unknown
        if fault == scheduler.UNKNOWN_LATER:
            if CLOCK.schedule is not None:
                CLOCK.schedule.deliver_later(label, lambda: self._deliver(work, lock))
            raise self.unknown
        result = super().write(work, lock)
        CLOCK.changed(fault)
        if fault == scheduler.UNKNOWN_DONE:
            raise self.unknown
        return result

    def _deliver(self, work, lock: str | None) -> None:
        """A transaction that was on its way; what it meets decides whether it commits."""
        with contextlib.suppress(errors.GlanceError):
            super().write(work, lock)


def _caller() -> str:
    """Which operation of the DAL this is."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_name in (
        "read",
        "write",
        "_write",
        "_set",
        "_number",
    ):
        frame = frame.f_back
    return frame.f_code.co_qualname.removeprefix("Sql") if frame is not None else "?"


class MemoryDriver(memory.MemoryDriver):
    """Objects in memory; it stops before it publishes, removes or reads one."""

    def __init__(
        self,
        store_id: str,
        is_claimed: Callable[[str, Process], bool],
        written_after_loss: set[str],
    ) -> None:
        super().__init__(None, store_id)  # type: ignore[arg-type]
        self.is_claimed = is_claimed
        #: Which process wrote an object, and objects of attempts that had lost their claim.
        self.published: dict[str, Process | None] = {}
        self.written_after_loss = written_after_loss
        #: Objects whose writer got an error although they were written.
        self.orphaned: set[str] = set()

    def add(self, image_id: str, data: Iterable[bytes], size: int | None) -> AddResult:
        whole = [b"".join(data)]
        fault = CLOCK.step(scheduler.PUBLISH, f"{self._store}/{image_id}")
        if fault == scheduler.FAIL:
            raise store_errors.RemoteServiceUnavailable
        if fault in (scheduler.UNKNOWN_DONE, scheduler.UNKNOWN_LATER):
            self.orphaned.add(self._location(image_id).url)
            _add_and_fail(
                fault,
                f"object {image_id}",
                lambda: super(MemoryDriver, self).add(image_id, whole, size),
            )
        stored = super().add(image_id, whole, size)
        process = self.published[stored.url] = CLOCK.process()
        if process is not None and not self.is_claimed(image_id, process):
            self.written_after_loss.add(stored.url)
        CLOCK.changed(fault)
        return stored

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        if CLOCK.step(scheduler.GET, location.redacted) is not None:
            raise store_errors.RemoteServiceUnavailable
        return super().get(location, start, stop)

    def delete(self, location: StoreLocation) -> None:
        fault = CLOCK.step(scheduler.DELETE, location.redacted)
        if fault == scheduler.FAIL:
            raise store_errors.RemoteServiceUnavailable
        super().delete(location)
        CLOCK.changed(fault)
        if fault == scheduler.DONE_FAIL:
            raise store_errors.RemoteServiceUnavailable

    def data(self) -> dict[str, bytes]:
        """All objects by URL."""
        return {f"memory://{self._store}{path}": data for path, data in self._objects.items()}

    def clear(self) -> None:
        """Remove all of them."""
        self._objects.clear()
        self.published.clear()
        self.orphaned.clear()


def _add_and_fail(fault: str, what: str, add: Callable[[], object]) -> NoReturn:
    """Add an object, now or later, and report an error."""

    def attempt() -> None:
        with contextlib.suppress(store_errors.GlanceStoreError):
            add()

    if fault == scheduler.UNKNOWN_DONE:
        attempt()
        CLOCK.changed(fault)
    elif CLOCK.schedule is not None:
        CLOCK.schedule.deliver_later(what, attempt)
    raise store_errors.RemoteServiceUnavailable


class FileDriver(file.FileDriver):
    """Files of the staging store, with the same stops."""

    def add(self, image_id: str, data: Iterable[bytes], size: int | None) -> AddResult:
        whole = list(data)
        fault = CLOCK.step(scheduler.PUBLISH, f"staging/{image_id}")
        if fault == scheduler.FAIL:
            raise store_errors.RemoteServiceUnavailable
        if fault in (scheduler.UNKNOWN_DONE, scheduler.UNKNOWN_LATER):
            _add_and_fail(
                fault,
                f"staged data {image_id}",
                lambda: super(FileDriver, self).add(image_id, whole, size),
            )
        stored = super().add(image_id, whole, size)
        CLOCK.changed(fault)
        return stored

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        if CLOCK.step(scheduler.GET, f"staging/{os.path.basename(location.path)}") is not None:
            raise store_errors.RemoteServiceUnavailable
        return super().get(location, start, stop)

    def delete(self, location: StoreLocation) -> None:
        fault = CLOCK.step(scheduler.DELETE, f"staging/{os.path.basename(location.path)}")
        if fault == scheduler.FAIL:
            raise store_errors.RemoteServiceUnavailable
        super().delete(location)
        CLOCK.changed(fault)


class InlineTaskExecutor(task_executor.TaskExecutor):
    """Does the work of a task in the thread that submits it; ``last`` is the id of the task."""

    last: str | None = None

    def submit(self, task, function, after=task_executor.do_nothing) -> None:
        self.last = task.id
        self.run(task, function, after)

    def reset(self) -> None:
        self._process.get().unfinished.clear()
        self.last = None


class ManualHeartbeat(Heartbeat):
    """A heartbeat without a thread: an actor calls ``beat``."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 0.0, CLOCK, start_thread=lambda name, run: None)

    def reset(self) -> None:
        self._process.get().beats.clear()


class ProcessClaims(claims.Claims):
    """The claims of a process that forgets everything between two schedules."""

    def reset(self) -> None:
        mine = self._process.get()
        mine.held.clear()
        mine.to_release.clear()


class _NoNotifier:
    enabled = False


class _NoFilter:
    def check(self, url: str, skip_lists: bool = True) -> None:
        """Every URL passes."""


class _FakeFetcher:
    """A web server that has one body."""

    def open(
        self, url: str, start: int = 0, validator: str | None = None, headers: object = None
    ) -> Response:
        body = url.rpartition("/")[2].encode()
        return Response(200, {}, len(body), body_chunks(body), lambda: None)  # type: ignore[arg-type]


def body_chunks(body: bytes) -> Iterator[bytes]:
    """A body that arrives in two pieces."""
    half = len(body) // 2
    yield body[:half]
    CLOCK.step(scheduler.SOURCE, "second half of the data")
    yield body[half:]


class Host:
    """One process of the service."""

    def __init__(self, name: str, conf: cfg.ConfigOpts, repositories, stores: Stores) -> None:
        self.name = name
        self.repositories = repositories
        self.stores = stores
        self.heartbeats = (ManualHeartbeat("claims"), ManualHeartbeat("tasks"))
        self.claims = ProcessClaims(
            repositories.claims, repositories.images, CLOCK, heartbeat=self.heartbeats[0]
        )
        settings = Settings.from_conf(conf)
        notifier = _NoNotifier()
        tasks = internal_tasks(repositories.tasks, notifier, settings.tasks)
        self.task_executor = InlineTaskExecutor(tasks, 1, self.heartbeats[1])
        self.deps = deps = Dependencies(
            conf=conf,
            settings=settings,
            repositories=repositories,
            stores=stores,
            enforcer=None,
            notifier=notifier,
            claims=self.claims,
            uri_filter=_NoFilter(),
            task_executor=self.task_executor,
        )
        self.images = gateway.build_internal_images(deps)
        self.importer = importer.Importer(
            self.images,
            deps,
            CLOCK,
            CLOCK.utcnow,
            staging.StagingArea(stores, CLOCK.time),
            _FakeFetcher(),  # type: ignore[arg-type]
        )
        self.location_import = location_import.LocationImportProxy(self.images, deps)
        self.tasks = tasks_api.TaskStartProxy(self.task_executor.tasks, deps, self.importer)
        self.reset()

    def configure(self, delayed: bool, quota: int) -> None:
        """Set the options ``delayed_delete`` and ``user_storage_quota`` (bytes)."""
        layer = self.images
        while not isinstance(layer, LocationProxy):
            if isinstance(layer, QuotaProxy):
                layer._storage = quota
            layer = layer.inner
        layer._delayed = delayed

    def recovery(self) -> recovery.Recovery:
        """A new recovery of this process."""
        return app.build_recovery(self.deps, self.importer, CLOCK)

    def scrubber(self) -> Scrubber:
        """What removes data that waits for its removal."""
        return Scrubber(self.stores, self.repositories.pending)

    def reset(self) -> Process:
        """The process as it is before it did anything."""
        self.claims.reset()
        self.task_executor.reset()
        for heartbeat in self.heartbeats:
            heartbeat.reset()
        self.process = Process(
            self.name, lambda: not (self.claims.is_idle and self.task_executor.is_idle)
        )
        return self.process

    def run_heartbeats(self) -> None:
        """Both heartbeat threads, in one."""
        while True:
            CLOCK.sleep(claims.LEASE_TIMES.heartbeat)
            self.send_heartbeats()

    def send_heartbeats(self) -> None:
        """One heartbeat of all claims and tasks."""
        for heartbeat in self.heartbeats:
            heartbeat.beat()

    def recover(self) -> None:
        """The thread of recovery."""
        made = self.recovery()
        while True:
            with contextlib.suppress(errors.DatabaseUnavailable):
                made.recover()
            CLOCK.sleep(2 * claims.LEASE_TIMES.scan)


class Cluster:
    """Processes over one database and one set of stores, and what is looked at from outside."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="explorer-", dir=shared)
        )
        conf = self._configuration()
        self._patch()
        logging.disable(logging.CRITICAL)
        self._stack.callback(logging.disable, logging.NOTSET)
        self.sql = sqlite3.connect(
            ":memory:", check_same_thread=False, isolation_level=None, factory=PersistentConnection
        )
        self._stack.callback(self.sql.close_connection)
        made = open_database(conf).engine
        sa.event.listen(made, "do_connect", lambda *_: self.sql)
        self.database = SteppedDatabase(made)
        migrations.upgrade(self.database)
        self.repositories = sql_repositories(self.database)
        self.drivers: dict[str, MemoryDriver] = {}
        self.written_after_loss: set[str] = set()
        self.quota = 0
        self.stores = self._stores(conf)
        self.owner = RequestContext(user_id="u", project_id=PROJECT, roles=["member"])
        self.admin = RequestContext(is_admin=True)
        self.hosts = {
            name: Host(name, conf, self.repositories, self.stores)
            for name in (*CLIENTS, *RECOVERIES, CLEANER)
        }
        self.conf = conf

    def close(self) -> None:
        """Give everything back."""
        CLOCK.schedule = None
        self._stack.close()

    def _configuration(self) -> cfg.ConfigOpts:
        for name in ("staging", "tasks"):
            os.mkdir(os.path.join(self.directory, name))
        path = os.path.join(self.directory, "glance-api.conf")
        with open(path, "w") as opened:
            opened.write(CONFIGURATION.format(directory=self.directory))
        return config.load(["--config-file", path], conf=cfg.ConfigOpts())

    def _patch(self) -> None:
        """Random numbers, and what only costs time."""
        numbers = _IdSequence()
        for target, name, value in (
            (claims, "new_holder_token", numbers.holder),
            (importer, "uuid", types.SimpleNamespace(uuid4=numbers.task)),
            (tasks_api, "uuid", types.SimpleNamespace(uuid4=numbers.task)),
            (location_import, "uuid", types.SimpleNamespace(uuid4=numbers.task)),
            (file.os, "fsync", lambda _: None),
        ):
            self._stack.enter_context(mock.patch.object(target, name, value))
        self.numbers = numbers

    def _stores(self, conf: cfg.ConfigOpts) -> Stores:
        built = Stores.from_config(conf)
        stores = []
        for store in built._stores.values():
            if store.type == "memory":
                driver = self.drivers[store.id] = MemoryDriver(
                    store.id, self._is_claimed, self.written_after_loss
                )
                store = dataclasses.replace(store, guard=GuardedDriver(driver, store.id))
            elif store.id == STAGING:
                driver = FileDriver(store.guard.driver._settings.options, store.id)
                store = dataclasses.replace(store, guard=GuardedDriver(driver, store.id))
            else:
                continue
            stores.append(store)
        return Stores(stores, built.default, True)

    # ------------------------------------------------------------ between schedules

    def reset(self, schedule: Schedule) -> None:
        """Empty tables and stores, processes that did nothing, and a new clock."""
        CLOCK.schedule = schedule
        schedule.active = False
        self.numbers.reset()
        self.sql.execute("BEGIN")
        for table in _TABLES:
            self.sql.execute(f"DELETE FROM {table}")
        self.sql.execute("COMMIT")
        self.written_after_loss.clear()
        for driver in self.drivers.values():
            driver.clear()
        for name in self.staged():
            os.unlink(os.path.join(self.directory, "staging", name))
        for host in self.hosts.values():
            host.reset()

    # ------------------------------------------------------------ from outside

    def query(self, statement: str, *values: object) -> list[tuple]:
        """Rows, without a step."""
        return self.sql.execute(statement, values).fetchall()

    def staged(self) -> list[str]:
        """The names of staged files."""
        return os.listdir(os.path.join(self.directory, "staging"))

    def objects(self) -> dict[str, bytes]:
        """All objects of the stores by address."""
        found: dict[str, bytes] = {}
        for driver in self.drivers.values():
            found.update(driver.data())
        return found

    def _is_claimed(self, name: str, process: Process) -> bool:
        found = split_object_name(name)
        return found is not None and any(
            (holder or "").startswith(f"{process.name}")
            for (holder,) in self.query(
                "SELECT holder FROM image_claims WHERE image_id = ?", found[0]
            )
        )

    def is_left_behind(self, url: str) -> bool:
        """True for an object of which only ``glance-manage store check`` can know.

        It was published by an attempt that had lost its claim and died then, or after its
        store had reported an error.
        """
        return any(
            url in driver.orphaned
            or url in self.written_after_loss
            and process is not None
            and process.is_dead
            for driver in self.drivers.values()
            for process in (driver.published.get(url),)
        )


class _IdSequence:
    """Tokens and ids that can be told apart in a trace and are the same in every run."""

    def __init__(self) -> None:
        self._last = 0

    def reset(self) -> None:
        self._last = 0

    def holder(self) -> str:
        self._last += 1
        by = CLOCK.schedule.current if CLOCK.schedule is not None else None
        return f"{by}-{self._last}"

    def task(self) -> uuid.UUID:
        self._last += 1
        return uuid.UUID(int=0x7A5C << 96 | self._last)
