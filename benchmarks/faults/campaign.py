"""One campaign: a combination of database and store, from its begin to its judgement."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import pathlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from benchmarks.faults import inject, workload
from benchmarks.faults.api import Api, OriginServer
from benchmarks.faults.backends import (
    DATABASES,
    STORE_TYPES,
    BackendMissing,
    Database,
    Files,
    Store,
)
from benchmarks.faults.observe import Observer
from benchmarks.faults.processes import Service, run_manage
from benchmarks.faults.proxy import Link, Listener, choose_by_process, listen_for
from benchmarks.faults.schedule import LONG_SECONDS, Fault, available, plan
from benchmarks.faults.shadow import Outcome, Shadow, Timeline
from benchmarks.faults.verify import Findings, Violation, distinct, find_violations

QUOTA = 1 << 40

API = """\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = {workers}
threads = {threads}
client_socket_timeout = 60
graceful_shutdown_timeout = 5
worker_self_reference_url = http://127.0.0.1:{port}
enabled_import_methods = [glance-direct,web-download,copy-image]
user_storage_quota = {quota}
{registry}
[glance_store]
default_backend = fast
[os_glance_staging_store]
filesystem_store_datadir = {staging}
[os_glance_tasks_store]
filesystem_store_datadir = {directory}/tasks
[import_filtering_opts]
allowed_hosts = [127.0.0.1]
allowed_ports = [{origin}]
[paste_deploy]
flavor = fakeauth
{credentials}
"""

DATABASE = """\
[database]
connection = {url}
max_pool_size = 3
max_overflow = 5
"""

REGISTRY = """\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = 2
threads = 8
[paste_deploy]
flavor = fakeauth
"""

CREDENTIALS = """\
[service_user]
auth_type = admin_token
endpoint = http://registry.invalid
token = glance:service:service
"""


@dataclasses.dataclass(frozen=True)
class Combination:
    """What a campaign is made against."""

    database: str
    store: str
    registry: bool = False

    def __str__(self) -> str:
        return f"{self.database}/{self.store}{'/registry' if self.registry else ''}"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a campaign is made; see the command's options."""

    seed: object = 1
    faults: int = 20
    window: float | None = None
    hosts: int = 3
    workers: int = 2
    threads: int = 8
    clients: int = 18
    only: tuple[str, ...] = ()
    scale: float = 1.0
    settle: float = 60.0
    sweep: float = 240.0
    largest: int = 40
    shared_staging: bool = False
    directory: str | None = None
    backends: pathlib.Path | None = None
    keep: bool = False


@dataclasses.dataclass
class Result:
    """How a campaign ended; ``skipped`` is the reason why it was not made."""

    combination: Combination
    seed: object
    skipped: str = ""
    remarks: list[str] = dataclasses.field(default_factory=list)
    faults: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    missed: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    operations: collections.Counter[tuple[str, Outcome]] = dataclasses.field(
        default_factory=collections.Counter
    )
    images: int = 0
    active: int = 0
    seconds: float = 0.0
    quiet: float | None = None
    swept: float = 0.0
    violations: list[Violation] = dataclasses.field(default_factory=list)
    directory: str = ""


class Campaign:
    """Builds everything up, lets clients and faults loose, looks and judges."""

    def __init__(
        self, combination: Combination, settings: Settings, show: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._combination = combination
        self._show = show
        self._shadow = Shadow()
        self._stop, self._no_delays = threading.Event(), threading.Event()
        self._stack = contextlib.ExitStack()
        self._result = Result(combination, settings.seed)

    def run(self) -> Result:
        """The whole campaign."""
        began = time.monotonic()
        place = pathlib.Path(
            tempfile.mkdtemp(
                prefix=f"faults-{self._combination.database}-", dir=self._settings.directory
            )
        )
        place.chmod(0o755)
        self._timeline = Timeline(place / "timeline.txt")
        try:
            with self._stack:
                self._build(place)
                self._campaign(place)
        except BackendMissing as missing:
            self._result.skipped = str(missing)
        finally:
            if self._result.violations or self._settings.keep or sys.exc_info()[0]:
                self._result.directory = str(place)
                self._keep(place)
            else:
                shutil.rmtree(place, ignore_errors=True)
        self._result.seconds = time.monotonic() - began
        return self._result

    # ------------------------------------------------------------ building

    def _build(self, place: pathlib.Path) -> None:
        settings, combination = self._settings, self._combination
        self._show("starting databases and stores")
        self._database: Database = DATABASES[combination.database](place, settings.backends)
        self._stack.callback(self._database.close)
        self._store: Store = STORE_TYPES[combination.store](place)
        self._stack.callback(self._store.close)
        if isinstance(self._store, Files) and self._store.skipped:
            self._result.remarks.append(self._store.skipped)
        self._origin = OriginServer(self._no_delays)
        self._stack.callback(self._origin.close)
        number = self._database.hosts or settings.hosts
        self._hosts: list[Service] = []
        self._registry: Service | None = None
        names = [f"host{each + 1}" for each in range(number)]
        for name in (*names, "manage", "registry", "staging", "limited"):
            (place / name).mkdir()
        for name in (*names, "limited"):
            for each in ("staging", "tasks"):
                (place / name / each).mkdir()
        for name in names:
            # One host keeps the true time: the others may go wrong.
            self._hosts.append(
                Service(
                    "glance_py.cmd.api", place / name, has_clock=name != names[0] or number == 1
                )
            )
        self._links(number)
        if combination.registry:
            self._start_registry(place / "registry")
        self._configure(place)
        synced = run_manage(place / "manage", "db", "sync")
        if synced.returncode:
            raise RuntimeError(f"glance-manage db sync: {synced.stderr[-2000:]}")
        self._show("starting hosts")
        for host in ([self._registry] if self._registry else []) + self._hosts:
            self._stack.callback(host.end)
            host.start()

    def _links(self, number: int) -> None:
        """Proxies between the hosts and what they need."""
        registry, sqlite = self._combination.registry, self._combination.database == "sqlite"
        urls = [sa.make_url(url) for url in self._database.urls]
        self._database_links = (
            []
            if sqlite
            else [
                Link(f"database {each + 1}", sql=True) for each in range(1 if registry else number)
            ]
        )
        self._database_urls = [urls[0].render_as_string(False)] * number if sqlite else []
        for each, link in enumerate(self._database_links):
            url = urls[each % len(urls)]
            ports = {"postgresql": 5432, "mysql": 3306}
            port = self._listen(
                listen_for((str(url.host), url.port or ports[url.get_backend_name()]), link)
            )
            self._database_urls.append(url.set(host="127.0.0.1", port=port).render_as_string(False))
        self._store_links, self._store_ports = [], [0] * number
        if self._store.target:
            self._store_links = [Link(f"store {each + 1}") for each in range(number)]
            if self._store.shared_address:
                choose = choose_by_process(
                    lambda: [
                        (host.processes(), link)
                        for host, link in zip(self._hosts, self._store_links, strict=True)
                    ],
                    Link("store, others"),
                )
                self._store_ports = [self._listen(Listener(self._store.target, choose))] * number
            else:
                self._store_ports = [
                    self._listen(listen_for(self._store.target, link)) for link in self._store_links
                ]
        self._registry_links = (
            [Link(f"registry {each + 1}") for each in range(number)] if registry else []
        )

    def _listen(self, listener: Listener) -> int:
        self._stack.callback(listener.close)
        return listener.port

    def _start_registry(self, directory: pathlib.Path) -> None:
        self._registry = Service("glance_py.cmd.registry", directory)
        self._registry.write(
            REGISTRY.format(port=self._registry.port) + DATABASE.format(url=self._database_urls[0]),
            "glance-registry.conf",
        )
        self._registry_ports = [
            self._listen(listen_for(("127.0.0.1", self._registry.port), link))
            for link in self._registry_links
        ]

    def _configure(self, place: pathlib.Path) -> None:
        """Write the configuration of all API hosts."""
        for number, host in enumerate(self._hosts):
            url = None if self._registry else self._database_urls[number]
            host.write(self._api(number, host.port, host.directory, url), "glance-api.conf")
        (place / "manage" / "glance-api.conf").write_text(
            self._api(0, 9292, place / "host1", self._database.url)
        )

    def _api(
        self, number: int, port: int, directory: pathlib.Path, url: str | None, quota: int = QUOTA
    ) -> str:
        """Configuration of an API host; without ``url`` its records are behind a registry."""
        settings = self._settings
        behind = (
            ""
            if url
            else (
                "data_api = registry\nregistry_host = 127.0.0.1\n"
                f"registry_port = {self._registry_ports[number]}"
            )
        )
        return self._store.sections(self._store_ports[number]) + API.format(
            port=port,
            workers=settings.workers,
            threads=settings.threads,
            quota=quota,
            staging=(directory.parent if settings.shared_staging else directory) / "staging",
            directory=directory,
            origin=self._origin.port,
            registry=behind,
            credentials=DATABASE.format(url=url.replace("$", "$$")) if url else CREDENTIALS,
        )

    # ------------------------------------------------------------ running

    def _capabilities(self) -> set[str]:
        found = {"process", "clock", *self._database.capabilities, *self._store.capabilities}
        if self._combination.registry:
            found.add("registry")
        return found

    def _schedule(self) -> list[Fault]:
        settings = self._settings
        window = settings.window or max(75.0, 2.6 * settings.faults)
        kinds = available(self._capabilities(), settings.only)
        if self._registry is not None:
            # All hosts have the registry's connections to the database.
            kinds = [
                dataclasses.replace(
                    kind, whole_service=True, rare=12 if kind.max_seconds >= LONG_SECONDS else 0
                )
                if kind.capability == "database" and kind.group
                else kind
                for kind in kinds
            ]
        return plan(
            f"{settings.seed} {self._combination}",
            settings.faults,
            window,
            len(self._hosts),
            kinds,
            settings.scale,
        )

    def _campaign(self, place: pathlib.Path) -> None:
        settings, timeline = self._settings, self._timeline
        schedule = self._schedule()
        (place / "schedule.txt").write_text(
            "".join(f"{fault.at:8.2f} {fault}\n" for fault in schedule)
        )
        api = Api([host.port for host in self._hosts])
        shared = workload.SharedState(
            api,
            self._origin,
            self._shadow,
            timeline,
            self._stop,
            self._no_delays,
            settings.seed,
            min(settings.largest, self._store.largest) << 20,
        )
        targets = inject.Targets(
            self._hosts,
            self._database_links,
            self._store_links,
            self._registry_links,
            self._database,
            self._store,
            self._registry,
        )
        injector = inject.Injector(targets, timeline)
        services = [*self._hosts, *([self._registry] if self._registry else [])]

        def tick() -> None:
            for service in services:
                if not service.stopped:
                    service.restart_if_ended()
            self._show_progress(injector, shared, len(schedule))

        clients = workload.start(shared, settings.clients)
        time.sleep(2)
        thread = threading.Thread(target=injector.run, args=(schedule,), daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                tick()
                thread.join(0.5)
        finally:
            injector.over.set()
            self._stop.set()
            self._no_delays.set()
            targets.heal()
        timeline.note("fault", "all faults ended")
        for service in services:
            if not service.is_running():
                service.start()
        if not workload.wait(clients, 120, tick):
            self._result.remarks.append("clients did not finish within 120 s")
        timeline.note("fault", "all clients finished")
        self._result.faults, self._result.missed = injector.injected, injector.missed
        self._result.operations = shared.counts
        if shared.errors:
            self._result.remarks.append(
                "answers of status 500: "
                + ", ".join(f"{number} {operation}" for operation, number in shared.errors.items())
            )
        self._check_result(place, api, shared)
        restarts = sum(service.restarts for service in services)
        if restarts:
            self._result.remarks.append(f"{restarts} times a service ended by itself")

    def _check_result(self, place: pathlib.Path, api: Api, shared: workload.SharedState) -> None:
        settings, result = self._settings, self._result
        observer = Observer(
            api, self._hosts, self._store, place / "manage", settings.shared_staging
        )
        records = self._shadow.records()
        began, moving = time.monotonic(), ["?"]
        while moving and time.monotonic() < began + settings.settle:
            moving = observer.in_motion(records)
            self._show(f"{len(moving)} images in motion, {time.monotonic() - began:.0f} s")
            if moving:
                time.sleep(1)
        result.quiet = None if moving else time.monotonic() - began
        self._timeline.note("fault", f"in motion: {moving or 'nothing'}")
        findings = observer.look(records, self._show)
        result.swept = observer.look_at_stores(findings, settings.sweep, self._show)
        findings.usage = observer.usage(
            findings,
            {each.image_id: each.project for each in records},
            lambda quota: self._limited(place / "limited", quota),
            self._show,
        )
        result.images = len(records)
        result.active = sum(seen.status == "active" for seen in findings.images.values())
        result.violations = distinct([*shared.violations, *find_violations(records, findings)])
        for each in result.violations:
            self._timeline.note(each.image_id or "service", f"VIOLATION {each.kind}: {each.detail}")
        self._write_reports(place, findings)
        if moving:
            for host in self._hosts:
                host.dump_stacks()
            time.sleep(1)

    @contextlib.contextmanager
    def _limited(self, directory: pathlib.Path, quota: int) -> Iterator[Api]:
        """A host without faults in its way, where a project may use so many bytes."""
        host = Service("glance_py.cmd.api", directory)
        host.write(self._api(0, host.port, directory, self._database.url, quota), "glance-api.conf")
        try:
            host.start()
            yield Api([host.port])
        finally:
            host.end()

    # ------------------------------------------------------------ telling

    def _show_progress(
        self, injector: inject.Injector, shared: workload.SharedState, planned: int
    ) -> None:
        outcomes: collections.Counter[Outcome] = collections.Counter()
        for (_, outcome), number in list(shared.counts.items()):
            outcomes[outcome] += number
        self._show(
            f"{injector.injected.total() + injector.missed.total()}/{planned} faults ended, "
            f"{outcomes[Outcome.ACKNOWLEDGED]} requests acknowledged, "
            f"{outcomes[Outcome.REFUSED]} refused, {outcomes[Outcome.UNKNOWN]} unknown, "
            f"{len(shared.violations)} violations seen"
        )

    def _write_reports(self, place: pathlib.Path, findings: Findings) -> None:
        """Write a time line for each image with a violation."""
        timeline = self._timeline
        (place / "violations.txt").write_text(
            "".join(f"{each}\n" for each in self._result.violations)
        )
        for image_id in {each.image_id for each in self._result.violations if each.image_id}:
            lines = [timeline.line(each) for each in timeline.of(image_id, "fault")]
            lines += ["", f"after the faults: {findings.images.get(image_id, 'none')}", ""]
            for service in (*self._hosts, *([self._registry] if self._registry else [])):
                lines += [f"{service.name}: {line}" for line in service.lines_about(image_id)]
            (place / f"image-{image_id}.txt").write_text("\n".join(lines) + "\n")

    @staticmethod
    def _keep(place: pathlib.Path) -> None:
        """Keep logs and time lines of a campaign, and not its data."""
        for each in ("stores", "s3"):
            shutil.rmtree(place / each, ignore_errors=True)
