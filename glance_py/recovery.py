"""Recovery: brings work to an end that a crashed worker left.

A worker holds the claim of the image that it works on and refreshes it.  One process per host
reads all held claims every few seconds.  It measures how long a claim was not refreshed with its
own monotonic clock, because clocks of hosts differ, and does not count pauses of its own.  It
takes the claim over first; only then it changes the image and removes objects.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from oslo_config import cfg
from oslo_log import log as logging

from glance_py.claims import Claim, Claims, LeaseTimes
from glance_py.context import get_admin_context
from glance_py.data_access import is_remote
from glance_py.domain import errors
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import (
    COPY,
    IMPORT,
    LOCATION_IMPORT,
    STAGE,
    TASK,
    UPLOAD,
    ClaimGrant,
    HeldClaim,
    UnclaimedWork,
)
from glance_py.domain.image import ImageStatus, Location
from glance_py.domain.importing import LOCK_PROPERTY
from glance_py.domain.ports import Repositories
from glance_py.heartbeat import Clock
from glance_py.layers.data_deletion import DataDeleter
from glance_py.scrubber import Scrubber
from glance_store_py import process
from glance_store_py.config import STAGING_STORE
from glance_store_py.location import redacted
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)

#: Seconds between two clean-ups of the stores themselves, which cost more than reading claims.
CLEANUP_SECONDS = 60.0
#: Seconds between two looks for work of processes that do not know claims, and how old the
#: records of such work may be.  The first look is at records of any age.
UNCLAIMED_SCAN_SECONDS = 600.0
UNCLAIMED_WINDOW_SECONDS = 86400.0
#: Scans between two looks for data that could not be removed with its image.
PENDING_SCAN_INTERVAL = 12

#: What brings an attempt to an end whose claim was taken over; returns a log line for each action.
RecoveryHandler = Callable[[Claim], Iterable[str]]


@dataclasses.dataclass(slots=True)
class LivenessState:
    """The last marker of a holder, and for how many observed seconds it has not changed."""

    marker: object
    silent_seconds: float = 0.0


class LivenessMonitor:
    """Measures with the clock of this process for how long markers do not change.

    A pause of this process (SIGSTOP, a suspended virtual machine, a slow database) must not count
    as silence of the holders: of the time between two updates, at most two periods count.

    :param period: the usual seconds between two updates.
    """

    def __init__(self, clock: Clock, period: float) -> None:
        self._clock = clock
        self._period = period
        self._last = clock.monotonic()
        self._seen: dict[str, LivenessState] = {}

    def update(self, markers: Mapping[str, object]) -> Mapping[str, float]:
        """Compare markers with those of the last update.

        :param markers: by key, a value that changes with every refresh.
        :returns: by key, the observed seconds since the marker changed; 0 for a new key.
        """
        now = self._clock.monotonic()
        watched = min(now - self._last, 2 * self._period)
        self._last = now
        seen: dict[str, LivenessState] = {}
        for key, marker in markers.items():
            before = self._seen.get(key)
            if before is None or before.marker != marker:
                seen[key] = LivenessState(marker)
            else:
                seen[key] = LivenessState(marker, before.silent_seconds + watched)
        self._seen = seen
        return {key: each.silent_seconds for key, each in seen.items()}


class Recovery:
    """A thread that looks for abandoned work and brings it to an end.

    :param handlers: by kind of claim, see :func:`recovery_handlers`.
    :param recover_staging: removes staged data that no image needs; returns log lines.
    :param host_lock: lets one process of a host do this.
    :param times: by default those of ``claims``.
    """

    def __init__(
        self,
        repositories: Repositories,
        stores: Stores,
        claims: Claims,
        handlers: Mapping[str, RecoveryHandler],
        recover_staging: Callable[[], Iterable[str]],
        host_lock: HostLock,
        clock: Clock = time,
        times: LeaseTimes | None = None,
    ) -> None:
        self._repositories = repositories
        self._stores = stores
        self._claims = claims
        self._times = times or claims.times
        self._recover_staging = recover_staging
        self._handlers = {UPLOAD: self._requeue, STAGE: self._requeue, **handlers}
        self._deleter = DataDeleter(stores, repositories.pending)
        self._scrubber = Scrubber(stores, repositories.pending)
        self._clock = clock
        self._holder_monitor = LivenessMonitor(clock, self._times.scan)
        self._unclaimed_monitor = LivenessMonitor(clock, self._times.scan)
        self._has_unclaimed = False
        self._scan_count = 0
        self._next_cleanup = self._next_unclaimed_scan = clock.monotonic()
        self._has_scanned_unclaimed = False
        self._stop = threading.Event()
        self._host_lock = host_lock

    def start(self) -> None:
        """Scan now and then every ``times.scan`` seconds, here and in children of this process."""
        process.run_in_children(self._restart)
        self._start()

    def _start(self) -> None:
        self._stop = threading.Event()
        process.start_thread("recovery", self._run)

    def _restart(self) -> None:
        if not self._stop.is_set():
            self._host_lock.release()
            self._start()

    def stop(self) -> None:
        """End the thread after its present scan."""
        self._stop.set()

    def _run(self) -> None:
        stop = self._stop
        while True:
            try:
                if self._host_lock.acquire():
                    self.recover()
            except errors.DatabaseUnavailable as error:
                LOG.warning("Abandoned work cannot be looked for: %s", error)
            except Exception:
                LOG.exception("Looking for abandoned work failed; it will be tried again")
            if stop.wait(self._times.scan):
                self._host_lock.release()
                return

    def recover(self) -> list[str]:
        """Scan once and bring abandoned work to an end.

        An action that fails is logged, tried again at the next scan, and holds up no other.

        :returns: a line for each action, which is in the log as well.
        :raises errors.DatabaseUnavailable: the database does not answer.
        """
        done: list[str] = []
        for claim in self._expired_claims():
            done += self._run_step(self._take_over, claim)
        if self._has_unclaimed or self._clock.monotonic() >= self._next_unclaimed_scan:
            done += self._recover_unclaimed()
        if done or self._clock.monotonic() >= self._next_cleanup:
            self._next_cleanup = self._clock.monotonic() + CLEANUP_SECONDS
            done += self._run_step(self._stores.cleanup)
            done += self._run_step(self._recover_staging)
        if self._scan_count % PENDING_SCAN_INTERVAL == 0:
            done += self._run_step(self._remove_pending)
        self._scan_count += 1
        return done

    def _expired_claims(self) -> list[HeldClaim]:
        """The claims that were not refreshed for as long as a lease lasts."""
        held = {claim.holder: claim for claim in self._repositories.claims.held()}
        silence = self._holder_monitor.update(
            {holder: claim.beats for holder, claim in held.items()}
        )
        return [claim for holder, claim in held.items() if silence[holder] >= self._times.timeout]

    def _take_over(self, claim: HeldClaim) -> Iterable[str]:
        """Take a claim over, and then bring its attempt to an end."""
        claim_request = self._claims.request(claim.kind, claim.task_id)
        grant = self._repositories.claims.take_over(claim, claim_request.holder)
        if grant is None:
            return ()
        LOG.warning(
            "The holder of the claim of image %s (%s by %s) did not refresh it for %d s",
            claim.image_id,
            claim.kind,
            claim.host,
            self._times.timeout,
        )
        with self._claims.hold(claim.image_id, grant, claim_request) as mine:
            return list(self._handlers.get(claim.kind, self._release)(mine))

    # ------------------------------------------------------------ work without a claim

    def _recover_unclaimed(self) -> list[str]:
        """Take over work that is recorded as under way and has no claim.

        Processes that do not know claims refresh the record of their work.
        """
        window = UNCLAIMED_WINDOW_SECONDS if self._has_scanned_unclaimed else None
        found = {
            f"{each.image_id} {each.task_id}": each
            for each in self._repositories.claims.unclaimed(window)
        }
        self._has_unclaimed = bool(found)
        if not found:
            self._has_scanned_unclaimed = True
            self._next_unclaimed_scan = self._clock.monotonic() + UNCLAIMED_SCAN_SECONDS
        silence = self._unclaimed_monitor.update({key: each.stamp for key, each in found.items()})
        done: list[str] = []
        for key, each in found.items():
            if silence[key] >= self._times.timeout:
                done += self._run_step(self._recover_unclaimed_work, each)
        return done

    def _recover_unclaimed_work(self, work: UnclaimedWork) -> Iterable[str]:
        named = self._lock_task_id(work.image_id)
        claim_request = self._claims.request(work.kind, work.task_id or named, replaces=named)
        grant: ClaimGrant | None = self._repositories.claims.take_unclaimed(work, claim_request)
        if grant is None:
            return ()
        with self._claims.hold(work.image_id, grant, claim_request) as mine:
            # The process that began the work wrote under the name of a first attempt.
            mine.may_leave_objects = True
            return list(self._handlers.get(work.kind, self._release)(mine))

    def _lock_task_id(self, image_id: str) -> str | None:
        try:
            image = self._repositories.images.get(get_admin_context(), image_id)
        except errors.ImageNotFound:
            return None
        return image.properties.get(LOCK_PROPERTY)

    # ------------------------------------------------------------ ends of attempts

    def _requeue(self, claim: Claim) -> list[str]:
        """Set the image of an upload to queued, and remove the objects that the upload wrote."""
        admin = get_admin_context()
        stores: Sequence[str] = (STAGING_STORE,) if claim.kind == STAGE else self._stores.ids
        try:
            image = self._repositories.images.get(admin, claim.image_id)
        except errors.ImageNotFound:
            done = self._delete_objects(claim, stores, ())
            self._claims.release(claim)
            return done
        done = self._delete_objects(claim, stores, () if claim.kind == STAGE else image.locations)
        is_staged = image.status == ImageStatus.UPLOADING and image.size is not None
        if image.status not in (ImageStatus.SAVING, ImageStatus.UPLOADING) or is_staged:
            self._claims.release(claim)
            return done
        change = ImageChange.status(
            ImageStatus.QUEUED, expected=image.status, size=None, virtual_size=None
        )
        claim.may_leave_objects = True
        self._repositories.images.update(admin, image, claim.guard(change, release=True))
        return [
            *done,
            f"Image {claim.image_id} was left {image.status} by a dead worker: it is queued again",
        ]

    def _delete_objects(
        self, claim: Claim, stores: Iterable[str], recorded: Sequence[Location]
    ) -> list[str]:
        """Remove the objects of earlier attempts that no location records."""
        return [
            f"Removed {redacted(url)}, which a dead worker left"
            for url in self._deleter.delete_attempts(
                claim.image_id, stores, claim.abandoned_object_names(), recorded
            )
        ]

    def _release(self, claim: Claim) -> list[str]:
        self._claims.release(claim)
        return [f"The claim of image {claim.image_id} was left by a dead worker"]

    # ------------------------------------------------------------ and the rest

    @staticmethod
    def _run_step(act: Callable[..., Iterable[str]], *subject: object) -> list[str]:
        """Call ``act`` and log its lines; an error is logged and gives no lines.

        :raises errors.DatabaseUnavailable: the database does not answer.
        """
        try:
            done = list(act(*subject))
        except errors.DatabaseUnavailable:
            raise
        except Exception:
            LOG.exception(
                "%s failed%s; it will be tried again",
                act.__name__.strip("_"),
                f" for {subject[0]}" if subject else "",
            )
            return []
        for line in done:
            LOG.warning(line)
        return done

    def _remove_pending(self) -> Iterator[str]:
        """Finish deletions that a store or a crashed worker left unfinished."""
        return (
            f"Removed data of image {done.image_id} that was left behind"
            for done in self._scrubber.scrub(self._times.timeout, orphaned=True)
            if done.removed
        )


class HostLock:
    """A lock that one process of a host holds, until it releases it or ends.

    It is the name of a socket in the kernel's abstract namespace, which the kernel frees when the
    process ends, even after SIGKILL.

    :param subject: distinguishes services on one host, and users of the host are distinguished.
    """

    def __init__(self, subject: str) -> None:
        digest = hashlib.sha256(f"{os.getuid()} {subject}".encode()).hexdigest()[:32]
        self._address = f"\0glance-recovery-{digest}"
        self._socket: socket.socket | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting; True when this process has it now or had it before."""
        if self._socket is None:
            taken = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                taken.bind(self._address)
            except OSError:
                taken.close()
                return False
            self._socket = taken
        return True

    def release(self) -> None:
        """Give the lock up.  In a forked child: close its copy, and the parent keeps the lock."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def host_lock(conf: cfg.ConfigOpts, stores: Stores) -> HostLock:
    """The lock of the services on this host that share records and a staging directory.

    Staged data is on a disk that only the processes of some hosts or containers see, so one
    process that sees it must look after it.
    """
    return HostLock(f"{_database_id(conf)} {_staging_directory_id(stores)}")


def _database_id(conf: cfg.ConfigOpts) -> str:
    """The database or registry that has the records."""
    if is_remote(conf):
        return f"{conf.registry_host}:{conf.registry_port}"
    return str(conf.database.connection)


def _staging_directory_id(stores: Stores) -> str:
    """Device and inode of the staging directory: containers may use one path for several."""
    url = stores.predict_url(STAGING_STORE, "image") or ""
    directory = os.path.dirname(urllib.parse.urlsplit(url).path)
    try:
        found = os.stat(directory)
    except OSError:
        return directory
    return f"{found.st_dev}:{found.st_ino}"


def recovery_handlers(
    recover_import: RecoveryHandler, recover_location_import: RecoveryHandler
) -> Mapping[str, RecoveryHandler]:
    """The handlers of :class:`Recovery` for kinds of claims that imports take."""
    return {
        IMPORT: recover_import,
        COPY: recover_import,
        TASK: recover_import,
        LOCATION_IMPORT: recover_location_import,
    }
