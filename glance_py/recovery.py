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

from glance_py import claims as leases
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
PERIOD = 5.0
#: Seconds between two looks into the stores themselves, which costs more.
SWEEP = 60.0
#: Seconds between two looks for work of processes that do not know claims, and how far back they
#: look: the first look is at everything.
ADOPT_PERIOD = 600.0
ADOPT_WINDOW = 86400.0
#: Turns between two looks for data that could not be removed with its image.
PENDING_TURNS = 12

_ADMIN = RequestContext(is_admin=True)


@dataclasses.dataclass(slots=True)
class Observation:
    """For how many seconds something gave no sign of life while we were watching."""

    sign: object
    silence: float = 0.0


class Observer:
    """Measures silence with the clock of this process.

    A pause of this process (SIGSTOP, a suspended virtual machine, a slow database) is not
    the silence of anybody else: of the time between two looks not much more counts than
    is usual.

    :param period: seconds between two looks.
    """

    def __init__(self, clock: leases.Clock, period: float) -> None:
        self._clock = clock
        self._period = period
        self._last = clock.monotonic()
        self._seen: dict[str, Observation] = {}

    def look(self, signs: Mapping[str, object]) -> Mapping[str, float]:
        """Compare the present signs of life with those of the last look.

        :param signs: by key, what changes with every sign of life.
        :returns: seconds of silence by key.
        """
        now = self._clock.monotonic()
        passed = now - self._last
        watched = min(passed, 2 * self._period)
        self._last = now
        seen: dict[str, Observation] = {}
        for key, sign in signs.items():
            before = self._seen.get(key)
            if before is None or before.sign != sign:
                seen[key] = Observation(sign)
            else:
                seen[key] = Observation(sign, before.silence + watched)
        self._seen = seen
        return {key: each.silence for key, each in seen.items()}


class Recovery:
    """One background thread that looks for abandoned work.

    :param deps: repositories, stores, claims and configuration.
    :param recover: by kind of claim, what brings an attempt of that kind to an end.  It is given
        a claim that was taken over and returns a line for each thing that it did.
    :param recover_staging: removes staged data that nobody waits for.
    """

    def __init__(
        self,
        deps,
        recover: Mapping[str, Callable[[Claim], Iterable[str]]],
        recover_staging: Callable[[], Iterable[str]],
        clock: leases.Clock = time,
    ) -> None:
        self._repositories = deps.repositories
        self._stores = deps.stores
        self._claims: Claims = deps.claims
        self._recover_staging = recover_staging
        self._by_kind = {UPLOAD: self._requeue, STAGE: self._requeue, **recover}
        self._deleter = DataDeleter(deps.stores, deps.repositories.pending)
        self._scrubber = Scrubber(deps.stores, deps.repositories.pending)
        self._clock = clock
        self._held = Observer(clock, PERIOD)
        self._unclaimed = Observer(clock, PERIOD)
        self._candidates = False
        self._turn = 0
        self._next_sweep = self._next_adoption = clock.monotonic()
        self._looked_once = False
        self._stop = threading.Event()
        # What is staged on a disk of its own is looked after by those who see it.
        self._only = OnlyOne(f"{_source(deps.conf)} {_staging(deps.stores)}")
        os.register_at_fork(after_in_child=self._after_fork)

    def start(self) -> None:
        """Begin looking, at once and then every PERIOD seconds."""
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="recovery", daemon=True).start()

    def _after_fork(self) -> None:
        self._only.forget()
        self.start()

    def stop(self) -> None:
        """End the thread at its next turn."""
        self._stop.set()

    def _run(self) -> None:
        stop = self._stop
        while True:
            try:
                if self._only.is_it():
                    self.recover()
            except errors.DatabaseUnavailable as error:
                LOG.warning("Abandoned work cannot be looked for: %s", error)
            except Exception:
                LOG.exception("Looking for abandoned work failed; it will be tried again")
            if stop.wait(PERIOD):
                self._only.leave()
                return

    def recover(self) -> list[str]:
        """Bring abandoned work to an end.  Returns a line for each thing that was done.

        What cannot be brought to an end now is in the log and does not hold up the rest.
        """
        done: list[str] = []
        for claim in self._expired():
            done += self._try(self._take_over, claim)
        if self._candidates or self._clock.monotonic() >= self._next_adoption:
            done += self._adopt()
        if done or self._clock.monotonic() >= self._next_sweep:
            self._next_sweep = self._clock.monotonic() + SWEEP
            done += self._try(self._stores.cleanup)
            done += self._try(self._recover_staging)
        if self._turn % PENDING_TURNS == 0:
            done += self._try(self._remove_pending)
        self._turn += 1
        return done

    def _expired(self) -> list[HeldClaim]:
        """The claims whose holders were silent for as long as a lease lasts."""
        held = {claim.holder: claim for claim in self._repositories.claims.held()}
        silence = self._held.look({holder: claim.beats for holder, claim in held.items()})
        return [claim for holder, claim in held.items() if silence[holder] >= leases.LEASE]

    def _take_over(self, claim: HeldClaim) -> Iterable[str]:
        """Take over first, then act."""
        wanted = self._claims.request(claim.kind, claim.task_id)
        grant = self._repositories.claims.take_over(claim, wanted.holder)
        if grant is None:
            return ()
        LOG.warning(
            "The holder of the claim of image %s (%s by %s) gave no sign of life for %d s",
            claim.image_id,
            claim.kind,
            claim.host,
            leases.LEASE,
        )
        with self._claims.hold(claim.image_id, grant, wanted) as mine:
            return list(self._by_kind.get(claim.kind, self._release)(mine))

    # ------------------------------------------------------------ work without a claim

    def _adopt(self) -> list[str]:
        """Take over work that is recorded as under way and has no claim.

        Processes that do not know claims refresh the record while they live.
        """
        window = ADOPT_WINDOW if self._looked_once else None
        found = {
            f"{each.image_id} {each.task_id}": each
            for each in self._repositories.claims.unclaimed(window)
        }
        self._candidates = bool(found)
        if not found:
            self._looked_once = True
            self._next_adoption = self._clock.monotonic() + ADOPT_PERIOD
        silence = self._unclaimed.look({key: each.stamp for key, each in found.items()})
        done: list[str] = []
        for key, each in found.items():
            if silence[key] >= leases.LEASE:
                done += self._try(self._adopt_one, each)
        return done

    def _adopt_one(self, work: UnclaimedWork) -> Iterable[str]:
        named = self._task_named_by(work.image_id)
        wanted = self._claims.request(work.kind, work.task_id or named, replaces=named)
        grant: ClaimGrant | None = self._repositories.claims.take_unclaimed(work, wanted)
        if grant is None:
            return ()
        with self._claims.hold(work.image_id, grant, wanted) as mine:
            # Whoever began it wrote under the name of a first attempt.
            mine.unrecorded = True
            return list(self._by_kind.get(work.kind, self._release)(mine))

    def _task_named_by(self, image_id: str) -> str | None:
        try:
            return self._repositories.images.get(_ADMIN, image_id).properties.get(LOCK_PROPERTY)
        except errors.ImageNotFound:
            return None

    # ------------------------------------------------------------ ends of attempts

    def _requeue(self, claim: Claim) -> list[str]:
        """Bring the image of an upload back to queued, and remove what the upload wrote."""
        stored = (leases.STAGING_STORE,) if claim.kind == STAGE else self._stores.ids
        try:
            image = self._repositories.images.get(_ADMIN, claim.image_id)
        except errors.ImageNotFound:
            done = self._discard(claim, stored, ())
            self._claims.release(claim)
            return done
        done = self._discard(claim, stored, () if claim.kind == STAGE else image.locations)
        if image.status not in ("saving", "uploading") or (
            image.status == "uploading" and image.size is not None
        ):
            self._claims.release(claim)
            return done
        change = ImageChange.status("queued", expected=image.status, size=None, virtual_size=None)
        claim.unrecorded = True
        self._repositories.images.update(_ADMIN, image, claim.guard(change, release=True))
        return [
            *done,
            f"Image {claim.image_id} was left {image.status} by a dead worker: it is queued again",
        ]

    def _discard(
        self, claim: Claim, stores: Iterable[str], recorded: Sequence[Location]
    ) -> list[str]:
        """Remove the objects of dead attempts that no location records."""
        return [
            f"Removed {redacted(url)}, which a dead worker left"
            for url in self._deleter.delete_attempts(
                claim.image_id, stores, claim.dead_names(), recorded
            )
        ]

    def _release(self, claim: Claim) -> list[str]:
        self._claims.release(claim)
        return [f"The claim of image {claim.image_id} was left by a dead worker"]

    # ------------------------------------------------------------ and the rest

    @staticmethod
    def _try(act: Callable[..., Iterable[str]], *subject: object) -> list[str]:
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
            for done in self._scrubber.scrub(leases.LEASE, orphaned=True)
            if done.removed
        )


class OnlyOne:
    """Lets one process of this host do something, and another one when that has ended.

    The name of a socket in the kernel's abstract namespace is taken: it is free again when the
    process ends, however that happens.

    :param subject: what it is about, so that several services on one host do not meet.
    """

    def __init__(self, subject: str) -> None:
        digest = hashlib.sha256(f"{os.getuid()} {subject}".encode()).hexdigest()[:32]
        self._address = f"\0glance-recovery-{digest}"
        self._socket: socket.socket | None = None

    def is_it(self) -> bool:
        """Is it this process?  It stays this one until :meth:`leave` or its end."""
        if self._socket is None:
            taken = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                taken.bind(self._address)
            except OSError:
                taken.close()
                return False
            self._socket = taken
        return True

    def leave(self) -> None:
        """Let another process do it."""
        self.forget()

    def forget(self) -> None:
        """Close the socket of this process; in a child, its copy of the parent's."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _source(conf) -> str:
    """Where the records are."""
    if is_remote(conf):
        return f"{conf.registry_host}:{conf.registry_port}"
    return str(conf.database.connection)


def _staging(stores) -> str:
    """Which directory holds staged data: containers may have different ones by one name."""
    url = stores.predict_url(leases.STAGING_STORE, "image") or ""
    directory = os.path.dirname(urllib.parse.urlsplit(url).path)
    try:
        found = os.stat(directory)
    except OSError:
        return directory
    return f"{found.st_dev}:{found.st_ino}"


def recoverers(
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
