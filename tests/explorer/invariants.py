"""What must hold after every step, and what must hold when everything has come to rest."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib

from glance_py.domain import errors
from glance_py.domain.claim import object_name
from glance_py.importing.staging_recovery import StagingRecovery
from tests.explorer.scheduler import Process, Schedule
from tests.explorer.service import CLEANER, PROJECT, Cluster

_LOCATIONS = (
    "SELECT i.id, i.status, i.size, i.checksum, l.value FROM images i "
    "LEFT JOIN image_locations l ON l.image_id = i.id AND NOT l.deleted "
    "WHERE i.status IN ('active', 'deactivated') AND NOT i.deleted"
)
_IN_PROGRESS = (
    "SELECT id, status FROM images WHERE NOT deleted AND "
    "(status IN ('saving', 'importing') OR status = 'uploading' AND size IS NULL)"
)
_HELD = "SELECT image_id, kind, holder FROM image_claims WHERE holder IS NOT NULL"
_UNFINISHED = "SELECT id, status FROM tasks WHERE status IN ('pending', 'processing')"
_PENDING = "SELECT image_id, value FROM image_locations WHERE status = 'pending_delete'"
_LOCKS = (
    "SELECT p.image_id, p.name, p.value FROM image_properties p JOIN images i "
    "ON p.image_id = i.id WHERE NOT i.deleted AND NOT p.deleted AND p.value != '' "
    "AND p.name IN ('os_glance_import_task', 'os_glance_importing_to_stores')"
)
_STAGED = (
    "SELECT i.id, coalesce(c.staged, 1) FROM images i LEFT JOIN image_claims c "
    "ON c.image_id = i.id WHERE NOT i.deleted AND i.status = 'uploading'"
)

#: Looks of the recovery, ten seconds each, in which all must have come to rest.
MAX_SCANS = 8
MAX_ROUNDS = 4


class Violation(Exception):
    """An invariant does not hold."""


@dataclasses.dataclass(slots=True)
class Expectations:
    """The answers that the clients of a schedule got.

    uploaded, removed
        By image, the digest of data whose upload was answered with success, and images whose
        removal was.
    deleting
        Images that a client tried to delete; their data may be there or not.
    staged
        Data whose staging was acknowledged, by process.
    tasks
        By task: the process that worked on it, and the data that it brings; None: what was staged.
    foreign
        Objects that were there before; they belong to no image until they are registered.
    failed
        Work of a process that nothing was injected into, which failed: (process, sentence).
    left_behind
        Objects of which only ``glance-manage store check`` can know.
    restoring
        True when a client asked for the image to be restored.
    """

    uploaded: dict[str, str] = dataclasses.field(default_factory=dict)
    removed: set[str] = dataclasses.field(default_factory=set)
    deleting: set[str] = dataclasses.field(default_factory=set)
    staged: dict[str, bytes] = dataclasses.field(default_factory=dict)
    tasks: dict[str, tuple[Process, bytes | None]] = dataclasses.field(default_factory=dict)
    foreign: dict[str, bytes] = dataclasses.field(default_factory=dict)
    failed: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    left_behind: int = 0
    restoring: bool = False

    def record_failure(self, process: Process, error: BaseException) -> None:
        """Work that had begun failed, which needs a reason."""
        if not (process.had_faults or self.deleting or isinstance(error, errors.QuotaExceeded)):
            self.failed.append((process.name, f"{type(error).__name__}: {error}"))

    def record_upload(self, image_id: str, data: bytes) -> None:
        """An upload or an import of data succeeded."""
        if image_id in self.uploaded:
            raise Violation(f"Two uploads of image {image_id} were answered with success")
        self.uploaded[image_id] = digest(data)


def digest(data: bytes) -> str:
    """The checksum of data."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def check_step(cluster: Cluster) -> None:
    """No active image without the data that its record describes, and no more than the quota.

    :raises Violation: there is one.
    """
    objects = cluster.objects()
    found = cluster.query(_LOCATIONS)
    if (used := sum(row[2] or 0 for row in found)) > cluster.quota:
        raise Violation(f"{used} bytes are stored, but only {cluster.quota} are allowed")
    for image_id, status, size, checksum, url in found:
        if url is None:
            raise Violation(f"Image {image_id} is {status} and has no location")
        data = objects.get(url)
        if data is None:
            raise Violation(f"Image {image_id} is {status}, but {url} does not exist")
        if size != len(data):
            raise Violation(
                f"Image {image_id} is {status} with size {size}, but {url} has {len(data)} bytes"
            )
        if checksum is not None and checksum != digest(data):
            raise Violation(f"Image {image_id} is {status}, but {url} has other data")


def quiesce(cluster: Cluster, schedule: Schedule) -> None:
    """Let recovery, sweeps and the scrubber of a healthy process do their work."""
    last = cluster.hosts[CLEANER]
    running = [host for host in cluster.hosts.values() if not host.process.is_dead]
    for _ in range(MAX_ROUNDS):
        recovery = last.recovery()
        for _ in range(MAX_SCANS):
            for host in running:
                host.send_heartbeats()
            if _is_quiescent(cluster):
                return
            # An unfinished look is taken up by the next one.
            with contextlib.suppress(errors.DatabaseUnavailable):
                recovery.recover()
            schedule.now += 10.0
            check_step(cluster)
        list(last.scrubber().scrub(30.0))
        # The cleanup of staged data comes once a minute.
        StagingRecovery(cluster.repositories, last.importer.staging).recover()


def _is_quiescent(cluster: Cluster) -> bool:
    return not (
        any(cluster.query(each) for each in (_IN_PROGRESS, _HELD, _UNFINISHED, _PENDING))
        or cluster.staged()
    )


def check_end(cluster: Cluster, expectations: Expectations) -> None:
    """What must hold when everything has come to rest.

    :raises Violation: it does not.
    """
    check_step(cluster)
    for what, statement in (
        ("is in motion", _IN_PROGRESS),
        ("has a claim that is held", _HELD),
        ("is a task without an end", _UNFINISHED),
        ("has data that is still to be removed", _PENDING),
        ("names an import that is over", _LOCKS),
    ):
        for row in cluster.query(statement):
            raise Violation(f"{row[0]} {what}: {row[1:]}")
    _check_tasks(cluster, expectations)
    _check_acknowledged(cluster, expectations)
    _check_orphans(cluster, expectations)
    _check_usage(cluster)
    if expectations.failed:
        raise Violation(
            "Nothing was injected into process {}, but its work failed: {}".format(
                *expectations.failed[0]
            )
        )


def _check_tasks(cluster: Cluster, expectations: Expectations) -> None:
    """A task that succeeded acknowledges its data; one that failed needs a reason."""
    for task_id, status in cluster.query("SELECT id, status FROM tasks"):
        if task_id not in expectations.tasks:
            continue  # Its client never heard of it.
        process, body = expectations.tasks[task_id]
        if status == "success" and body is not None:
            for (image_id,) in cluster.query("SELECT image_id FROM tasks WHERE id = ?", task_id):
                expectations.record_upload(image_id, body)
        if status == "failure" and not process.had_faults and not expectations.deleting:
            expectations.failed.append(
                (
                    process.name,
                    str(cluster.query("SELECT message FROM task_info WHERE task_id = ?", task_id)),
                )
            )


def _check_acknowledged(cluster: Cluster, expectations: Expectations) -> None:
    status = dict(cluster.query("SELECT id, status FROM images WHERE NOT deleted"))
    checksums = dict(cluster.query("SELECT id, checksum FROM images WHERE NOT deleted"))
    for image_id, wanted in expectations.uploaded.items():
        if image_id in expectations.deleting:
            continue
        if status.get(image_id) not in ("active", "deactivated"):
            raise Violation(
                f"The data of image {image_id} was acknowledged, and it is "
                f"{status.get(image_id, 'gone')}"
            )
        if checksums[image_id] not in (None, wanted):
            raise Violation(f"The data of image {image_id} is not what was acknowledged")
    for image_id in expectations.removed:
        if image_id in status and not expectations.restoring:
            raise Violation(
                f"The deletion of image {image_id} was acknowledged, and it is {status[image_id]}"
            )


def _check_orphans(cluster: Cluster, expectations: Expectations) -> None:
    objects = cluster.objects()
    recorded = {
        row[0] for row in cluster.query("SELECT value FROM image_locations WHERE NOT deleted")
    }
    for url in objects:
        if url in recorded or url in expectations.foreign:
            continue
        if cluster.is_left_behind(url):
            expectations.left_behind += 1
            continue
        raise Violation(f"No record names {url}")
    staged = {object_name(*row) for row in cluster.query(_STAGED)}
    for name in cluster.staged():
        if name not in staged:
            raise Violation(f"No image needs the staged data {name}")
    for name in staged:
        if name not in cluster.staged():
            raise Violation(f"The staged data {name} is gone")


def _check_usage(cluster: Cluster) -> None:
    occupied = sum(row[2] or 0 for row in cluster.query(_LOCATIONS))
    counted = cluster.repositories.usage.storage(PROJECT)
    if counted != occupied:
        raise Violation(f"{occupied} bytes are stored, but {counted} are counted")
