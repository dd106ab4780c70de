"""Recovery: what a worker that died left behind is brought to an end.

A worker holds the claim of the image that it works on and gives signs of life.  One process
per host looks at all held claims every few seconds.  It measures silence by its own clock and
counts only the time during which it was awake itself.  The claim of a silent holder is taken over
first; only then its image and its objects are touched.
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

from oslo_log import log as logging

from glance_py import claims
from glance_py.claims import Claim, Claims
from glance_py.context import RequestContext
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
from glance_py.domain.image import Location
from glance_py.domain.importing import LOCK_PROPERTY as LOCK_PROPERTY
from glance_py.layers.data_deletion import DataDeleter
from glance_py.scrubber import Scrubber
from glance_store_py.location import redacted

LOG = logging.getLogger(__name__)

#: Seconds between two looks at the held claims.
SCAN_SECONDS = 5.0
#: Seconds between two looks into the stores themselves, which costs more.
CLEANUP_SECONDS = 60.0
#: Seconds between two looks for work of processes that do not know claims, and how far back they
#: look: the first look is at everything.
UNCLAIMED_SCAN_SECONDS = 600.0
UNCLAIMED_WINDOW_SECONDS = 86400.0
#: Turns between two looks for data that could not be removed with its image.
PENDING_SCAN_INTERVAL = 12

_ADMIN = RequestContext(is_admin=True)


@dataclasses.dataclass(slots=True)
class LivenessState:
    """For how many seconds something gave no sign of life while we were watching."""

    marker: object
    silent_seconds: float = 0.0


class LivenessMonitor:
    """Measures silence with the clock of this process.

    A pause of this process (SIGSTOP, a suspended virtual machine, a slow database) is not
    the silence of anybody else: of the time between two looks not much more counts than
    is usual.

    :param period: seconds between two looks.
    """

    def __init__(self, clock: claims.Clock, period: float) -> None:
        self._clock = clock
        self._period = period
        self._last = clock.monotonic()
        self._seen: dict[str, LivenessState] = {}

    def update(self, markers: Mapping[str, object]) -> Mapping[str, float]:
        """Compare the present signs of life with those of the last look.

        :param markers: by key, what changes with every sign of life.
        :returns: seconds of silence by key.
        """
        now = self._clock.monotonic()
        passed = now - self._last
        watched = min(passed, 2 * self._period)
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
    """One background thread that looks for abandoned work.

    :param deps: repositories, stores, claims and configuration.
    :param handlers: by kind of claim, what brings an attempt of that kind to an end.  It is given
        a claim that was taken over and returns a line for each thing that it did.
    :param recover_staging: removes staged data that nobody waits for.
    """

    def __init__(
        self,
        deps,
        handlers: Mapping[str, Callable[[Claim], Iterable[str]]],
        recover_staging: Callable[[], Iterable[str]],
        clock: claims.Clock = time,
    ) -> None:
        self._repositories = deps.repositories
        self._stores = deps.stores
        self._claims: Claims = deps.claims
        self._recover_staging = recover_staging
        self._handlers = {UPLOAD: self._requeue, STAGE: self._requeue, **handlers}
        self._deleter = DataDeleter(deps.stores, deps.repositories.pending)
        self._scrubber = Scrubber(deps.stores, deps.repositories.pending)
        self._clock = clock
        self._holder_monitor = LivenessMonitor(clock, SCAN_SECONDS)
        self._unclaimed_monitor = LivenessMonitor(clock, SCAN_SECONDS)
        self._has_unclaimed = False
        self._scan_count = 0
        self._next_cleanup = self._next_unclaimed_scan = clock.monotonic()
        self._has_scanned_unclaimed = False
        self._stop = threading.Event()
        # What is staged on a disk of its own is looked after by those who see it.
        self._host_lock = HostLock(
            f"{_database_id(deps.conf)} {_staging_directory_id(deps.stores)}"
        )
        os.register_at_fork(after_in_child=self._after_fork)

    def start(self) -> None:
        """Begin looking, at once and then every SCAN_SECONDS seconds."""
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="recovery", daemon=True).start()

    def _after_fork(self) -> None:
        self._host_lock.close()
        self.start()

    def stop(self) -> None:
        """End the thread at its next turn."""
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
            if stop.wait(SCAN_SECONDS):
                self._host_lock.release()
                return

    def recover(self) -> list[str]:
        """Bring abandoned work to an end.  Returns a line for each thing that was done.

        What cannot be brought to an end now is in the log and does not hold up the rest.
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
        """The claims whose holders were silent for as long as a lease lasts."""
        held = {claim.holder: claim for claim in self._repositories.claims.held()}
        silence = self._holder_monitor.update(
            {holder: claim.beats for holder, claim in held.items()}
        )
        return [claim for holder, claim in held.items() if silence[holder] >= claims.LEASE_SECONDS]

    def _take_over(self, claim: HeldClaim) -> Iterable[str]:
        """Take over first, then act."""
        claim_request = self._claims.request(claim.kind, claim.task_id)
        grant = self._repositories.claims.take_over(claim, claim_request.holder)
        if grant is None:
            return ()
        LOG.warning(
            "The holder of the claim of image %s (%s by %s) gave no sign of life for %d s",
            claim.image_id,
            claim.kind,
            claim.host,
            claims.LEASE_SECONDS,
        )
        with self._claims.hold(claim.image_id, grant, claim_request) as mine:
            return list(self._handlers.get(claim.kind, self._release)(mine))

    # ------------------------------------------------------------ work without a claim

    def _recover_unclaimed(self) -> list[str]:
        """Take over work that is recorded as under way and has no claim.

        Processes that do not know claims refresh the record while they live.
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
            if silence[key] >= claims.LEASE_SECONDS:
                done += self._run_step(self._recover_unclaimed_work, each)
        return done

    def _recover_unclaimed_work(self, work: UnclaimedWork) -> Iterable[str]:
        named = self._lock_task_id(work.image_id)
        claim_request = self._claims.request(work.kind, work.task_id or named, replaces=named)
        grant: ClaimGrant | None = self._repositories.claims.take_unclaimed(work, claim_request)
        if grant is None:
            return ()
        with self._claims.hold(work.image_id, grant, claim_request) as mine:
            # Whoever began it wrote under the name of a first attempt.
            mine.may_leave_objects = True
            return list(self._handlers.get(work.kind, self._release)(mine))

    def _lock_task_id(self, image_id: str) -> str | None:
        try:
            return self._repositories.images.get(_ADMIN, image_id).properties.get(LOCK_PROPERTY)
        except errors.ImageNotFound:
            return None

    # ------------------------------------------------------------ ends of attempts

    def _requeue(self, claim: Claim) -> list[str]:
        """Bring the image of an upload back to queued, and remove what the upload wrote."""
        stored = (claims.STAGING_STORE,) if claim.kind == STAGE else self._stores.ids
        try:
            image = self._repositories.images.get(_ADMIN, claim.image_id)
        except errors.ImageNotFound:
            done = self._delete_objects(claim, stored, ())
            self._claims.release(claim)
            return done
        done = self._delete_objects(claim, stored, () if claim.kind == STAGE else image.locations)
        if image.status not in ("saving", "uploading") or (
            image.status == "uploading" and image.size is not None
        ):
            self._claims.release(claim)
            return done
        change = ImageChange.status("queued", expected=image.status, size=None, virtual_size=None)
        claim.may_leave_objects = True
        self._repositories.images.update(_ADMIN, image, claim.guard(change, release=True))
        return [
            *done,
            f"Image {claim.image_id} was left {image.status} by a dead worker: it is queued again",
        ]

    def _delete_objects(
        self, claim: Claim, stores: Iterable[str], recorded: Sequence[Location]
    ) -> list[str]:
        """Remove the objects of dead attempts that no location records."""
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
        """What was done, which the log tells, too; nothing when that failed."""
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
        """Finish deletions that a store or a dying worker left unfinished."""
        return (
            f"Removed data of image {done.image_id} that was left behind"
            for done in self._scrubber.scrub(claims.LEASE_SECONDS, orphaned=True)
            if done.removed
        )


class HostLock:
    """Lets one process of this host do something, and another one when that has ended.

    The name of a socket in the kernel's abstract namespace is taken: it is free again when the
    process ends, however that happens.

    :param subject: what it is about, so that several services on one host do not meet.
    """

    def __init__(self, subject: str) -> None:
        digest = hashlib.sha256(f"{os.getuid()} {subject}".encode()).hexdigest()[:32]
        self._address = f"\0glance-recovery-{digest}"
        self._socket: socket.socket | None = None

    def acquire(self) -> bool:
        """Is it this process?  It stays this one until :meth:`release` or its end."""
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
        """Let another process do it."""
        self.close()

    def close(self) -> None:
        """Close the socket of this process; in a child, its copy of the parent's."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _database_id(conf) -> str:
    """Where the records are."""
    if is_remote(conf):
        return f"{conf.registry_host}:{conf.registry_port}"
    return str(conf.database.connection)


def _staging_directory_id(stores) -> str:
    """Which directory holds staged data: containers may have different ones by one name."""
    url = stores.predict_url(claims.STAGING_STORE, "image") or ""
    directory = os.path.dirname(urllib.parse.urlsplit(url).path)
    try:
        found = os.stat(directory)
    except OSError:
        return directory
    return f"{found.st_dev}:{found.st_ino}"


def recovery_handlers(
    importer,
    registration: Callable[[Claim], Iterable[str]],
) -> Mapping[str, Callable[[Claim], Iterable[str]]]:
    """What brings an attempt of each kind to an end."""
    return {
        IMPORT: importer.recover,
        COPY: importer.recover,
        TASK: importer.recover,
        LOCATION_IMPORT: registration,
    }
