"""Makes faults happen, and end."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.faults import proxy
from benchmarks.faults.backends import Database, Store
from benchmarks.faults.processes import Service
from benchmarks.faults.proxy import Link, Trap
from benchmarks.faults.schedule import Fault
from benchmarks.faults.shadow import Timeline


@dataclasses.dataclass
class Targets:
    """What faults are done to; lists go by the number of a host.

    With a registry ``database_links`` is the one link of that.
    """

    hosts: Sequence[Service]
    database_links: Sequence[Link]
    store_links: Sequence[Link]
    registry_links: Sequence[Link]
    database: Database
    store: Store
    registry: Service | None = None

    def heal(self) -> None:
        """No fault any more; everything runs."""
        for link in (*self.database_links, *self.store_links, *self.registry_links):
            link.heal()
        for service in (*self.hosts, *([self.registry] if self.registry else [])):
            service.stop(False)


class Injector:
    """Executes a schedule.

    ``injected`` counts faults that happened, by kind; ``missed`` those whose moment did not
    come, as when no transaction was committed.
    """

    def __init__(self, targets: Targets, timeline: Timeline) -> None:
        self._targets = targets
        self._timeline = timeline
        self.injected: collections.Counter[str] = collections.Counter()
        self.missed: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self.over = threading.Event()

    def run(self, faults: Sequence[Fault]) -> None:
        """Inject all of them at their times; returns when the last has ended."""
        began, threads = time.monotonic(), []
        for fault in faults:
            if self.over.wait(max(0.0, began + fault.at - time.monotonic())):
                break
            thread = threading.Thread(target=self._inject, args=(fault,), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()

    def _inject(self, fault: Fault) -> None:
        act = getattr(self, "_" + fault.kind.replace("-", "_"))
        self._timeline.note("fault", f"{fault} begins")
        happened, remark = True, ""
        try:
            with act(fault) as trap:
                self.over.wait(fault.seconds)
                if isinstance(trap, Trap):
                    happened, remark = trap.fired > 0, f" (met {trap.fired} times)"
                elif trap:
                    remark = f" ({trap})"
        except Exception as error:
            happened, remark = False, f" (failed: {error!r})"
        with self._lock:
            (self.injected if happened else self.missed)[fault.kind] += 1
        self._timeline.note("fault", f"{fault} ended{remark}")

    # ------------------------------------------------------------ networks

    def _link(self, fault: Fault) -> Link:
        targets = self._targets
        links = {
            "db": targets.database_links,
            "store": targets.store_links,
            "registry": targets.registry_links,
        }[fault.kind.partition("-")[0]]
        return links[(fault.target or 0) % len(links)]

    @contextlib.contextmanager
    def _cut(self, fault: Fault) -> Iterator[str]:
        yield f"{self._link(fault).cut()} connections"

    @contextlib.contextmanager
    def _switch(self, fault: Fault, name: str) -> Iterator[None]:
        turn: Callable[[bool], None] = getattr(self._link(fault), name)
        turn(True)
        try:
            yield
        finally:
            turn(False)

    def _stall(self, fault: Fault) -> Any:
        return self._switch(fault, "stall")

    def _refuse(self, fault: Fault) -> Any:
        return self._switch(fault, "refuse")

    _db_cut = _store_cut = _registry_cut = _cut
    _db_stall = _db_long_stall = _store_stall = _registry_stall = _stall
    _db_refuse = _store_refuse = _registry_refuse = _refuse

    def _db_blackhole(self, fault: Fault) -> Any:
        return self._switch(fault, "blackhole")

    @contextlib.contextmanager
    def _db_delay(self, fault: Fault) -> Iterator[str]:
        link = self._link(fault)
        # The store sends far more packets than a database.
        link.latency = (
            (0.02 + 0.3 * fault.random_number) if link.sql else (0.002 + 0.03 * fault.random_number)
        )
        try:
            yield f"{link.latency * 1000:.0f} ms"
        finally:
            link.latency = 0.0

    _store_delay = _db_delay

    @contextlib.contextmanager
    def _trap(self, fault: Fault, trap: Trap) -> Iterator[Trap]:
        link = self._link(fault)
        link.arm(trap)
        try:
            yield trap
        finally:
            link.disarm(trap)

    # ------------------------------------------------------------ the moment of a COMMIT

    def _db_lose_commit(self, fault: Fault) -> Any:
        return self._trap(fault, Trap(_commit, "lose"))

    def _db_drop_commit(self, fault: Fault) -> Any:
        return self._trap(
            fault, Trap(_commit, "drop-answer", times=1 + int(fault.random_number * 3))
        )

    def _db_drop_activation(self, fault: Fault) -> Any:
        return self._trap(fault, Trap(_activation, "drop-answer"))

    def _db_late_activation(self, fault: Fault) -> Any:
        return self._trap(fault, Trap(_activation, "late", seconds=25 + 25 * fault.random_number))

    def _db_late_answer(self, fault: Fault) -> Any:
        return self._trap(
            fault, Trap(_commit, "late-answer", seconds=10 + 35 * fault.random_number)
        )

    # ------------------------------------------------------------ answers of services

    def _store_503(self, fault: Fault) -> Any:
        return self._trap(fault, Trap(_request(), "answer", reply=proxy.UNAVAILABLE, times=1 << 30))

    def _store_torn_answer(self, fault: Fault) -> Any:
        return self._trap(
            fault, Trap(_request(), "tear-answer", times=1 + int(fault.random_number * 3))
        )

    def _store_drop_answer(self, fault: Fault) -> Any:
        return self._trap(fault, Trap(_request(b"PUT ", b"POST ", b"DELETE "), "drop-answer"))

    def _store_empty_200(self, fault: Fault) -> Any:
        return self._trap(
            fault,
            Trap(
                lambda connection, data: proxy.completes_multipart(data),
                "answer",
                reply=proxy.EMPTY_OK,
            ),
        )

    def _registry_drop_answer(self, fault: Fault) -> Any:
        return self._trap(
            fault, Trap(_request(b"POST "), "drop-answer", times=1 + int(fault.random_number * 3))
        )

    # ------------------------------------------------------------ processes

    def _host(self, fault: Fault) -> Service:
        return self._targets.hosts[fault.target or 0]

    @contextlib.contextmanager
    def _kill_worker(self, fault: Fault) -> Iterator[str]:
        workers = self._host(fault).workers()
        if not workers:
            raise RuntimeError("the host has no workers at the moment")
        victim = workers[int(fault.random_number * len(workers))]
        os.kill(victim, signal.SIGKILL)
        yield f"process {victim}"

    @contextlib.contextmanager
    def _kill_host(self, fault: Fault) -> Iterator[None]:
        yield from _killed(self._host(fault))

    @contextlib.contextmanager
    def _registry_kill(self, fault: Fault) -> Iterator[None]:
        if self._targets.registry is None:
            raise RuntimeError("there is no registry")
        yield from _killed(self._targets.registry)

    @contextlib.contextmanager
    def _stop_host(self, fault: Fault) -> Iterator[None]:
        self._host(fault).stop(True)
        try:
            yield
        finally:
            self._host(fault).stop(False)

    @contextlib.contextmanager
    def _stop_worker(self, fault: Fault) -> Iterator[str]:
        workers = self._host(fault).workers()
        if not workers:
            raise RuntimeError("the host has no workers at the moment")
        victim = workers[int(fault.random_number * len(workers))]
        os.kill(victim, signal.SIGSTOP)
        try:
            yield f"process {victim}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)

    @contextlib.contextmanager
    def _stop_all(self, fault: Fault) -> Iterator[None]:
        for host in self._targets.hosts:
            host.stop(True)
        try:
            yield
        finally:
            for host in self._targets.hosts:
                host.stop(False)

    @contextlib.contextmanager
    def _clock(self, fault: Fault) -> Iterator[str]:
        """On one of the hosts whose clock can be set; the others keep the true time."""
        hosts = [host for host in self._targets.hosts if host.has_clock]
        host, offset = (
            hosts[(fault.target or 0) % len(hosts)],
            (-300 + 600 * fault.random_number) // 1,
        )
        host.set_clock(offset)
        try:
            yield f"{host.name} {offset:+.0f} s"
        finally:
            host.set_clock(0)

    # ------------------------------------------------------------ back ends

    @contextlib.contextmanager
    def _back_end(self, begin: Callable[[], Any], end: Callable[[], None]) -> Iterator[Any]:
        try:
            yield begin()
        finally:
            end()

    def _disk_full(self, fault: Fault) -> Any:
        store: Any = self._targets.store
        return self._back_end(store.fill_disk, store.free_space)

    def _node_kill(self, fault: Fault) -> Any:
        database: Any = self._targets.database
        return self._back_end(
            lambda: database.kill_node(fault.random_number), database.restart_node
        )

    def _promote(self, fault: Fault) -> Any:
        database: Any = self._targets.database
        return self._back_end(database.promote, database.restart_replica)

    def _pooler_kill(self, fault: Fault) -> Any:
        database: Any = self._targets.database
        return self._back_end(database.kill_pooler, database.restart_pooler)


def _killed(service: Service) -> Iterator[None]:
    service.kill()
    try:
        yield
    finally:
        service.start()


def _commit(connection: proxy.Connection, data: bytes) -> bool:
    return proxy.is_commit(data)


def _activation(connection: proxy.Connection, data: bytes) -> bool:
    return proxy.is_commit(data) and proxy.adds_location(bytes(connection.transaction))


def _request(*methods: bytes) -> Callable[[proxy.Connection, bytes], bool]:
    return lambda connection, data: proxy.is_request(data, *methods)
