"""The claims that this process holds, and how it keeps them.

A claim is a lease on an image.  Its holder refreshes it every few seconds; processes that
observe the claims (``recovery``) take over one that was not refreshed for as long as the lease
lasts.  A holder that could not refresh its claim for nearly as long asks the database before its
next step whether it still has the claim, and stops when it has not.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from oslo_log import log as logging

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.claim import (
    ClaimGrant,
    ClaimRelease,
    ClaimRepository,
    ClaimRequest,
    object_name,
)
from glance_py.domain.image import Image
from glance_py.domain.ports import ImageRepository
from glance_py.heartbeat import Clock, Heartbeat
from glance_py.streams import Chunk, StreamFilter
from glance_store_py.process import PerProcess

LOG = logging.getLogger(__name__)

#: How many take-overs of one image in a row recovery cleans up after: each one that is cut off by
#: a crash adds one.
MAX_TAKEOVERS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The times of the leases of one process, in seconds."""

    #: Between two refreshes of a claim.
    heartbeat: float = 5.0
    #: Without a refresh, after which an observer takes the claim over.
    timeout: float = 30.0
    #: Between two looks of an observer.
    scan: float = 5.0
    #: In which the outcome of a write must be found out, and between two attempts.
    resolve_timeout: float = 15.0
    resolve_retry: float = 0.5


#: The times of processes that are given no others.
LEASE_TIMES = LeaseTimes()


def new_holder_token() -> str:
    """A random token for the holder of a claim: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def process_label() -> str:
    """Host name and process id of this process, for people who read the table of claims."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Claim:
    """One claim that this process holds for one attempt.

    :param confirm: asks the database whether this claim is still held.
    """

    def __init__(
        self,
        image_id: str,
        grant: ClaimGrant,
        request: ClaimRequest,
        clock: Clock,
        confirm: Callable[[Claim], bool],
        times: LeaseTimes = LEASE_TIMES,
    ) -> None:
        self.image_id = image_id
        self.generation = grant.generation
        #: The name of the staged data of the image.
        self.staged_name = object_name(image_id, grant.staged)
        #: The name under which this attempt writes objects.
        self.object_name = object_name(image_id, grant.generation)
        self.holder = request.holder
        self.kind = request.kind
        self.task_id = request.task_id
        #: True when there may be an object under ``object_name`` that no record names.
        self.may_leave_objects = False
        #: True when another process has taken the claim over.
        self.is_lost = False
        #: True when a write may have been committed, or may still be: only recovery may decide.
        self.outcome_unknown = False
        self._clock = clock
        self._confirm = confirm
        self._max_age = times.timeout - times.heartbeat
        # The answer may have come late: the lease began when the claim was asked for.
        self._confirmed_at = request.asked

    def abandoned_object_names(self) -> tuple[str, ...]:
        """The names under which the attempts wrote whose claim was taken over to get this one."""
        last = self.generation
        return tuple(
            object_name(self.image_id, number)
            for number in range(max(1, last - MAX_TAKEOVERS), last + 1)
        )

    def guard(self, change: ImageChange, release: bool = False) -> ImageChange:
        """``change`` on the condition that this claim is held.

        :param release: give the claim back in the same transaction.
        """
        return change.evolve(holder=self.holder, release=self.build_release() if release else None)

    def build_release(self) -> ClaimRelease:
        """What the DAL has to know to give this claim back."""
        return ClaimRelease(self.task_id, forget=not self.may_leave_objects)

    def set_confirmed(self, at: float) -> None:
        """Record that the database confirmed the claim when it was asked.

        :param at: when it was asked, in seconds of the clock.
        """
        self._confirmed_at = max(self._confirmed_at, at)

    def raise_if_lost(self) -> None:
        """Return when this attempt may go on; may ask the database.

        :raises errors.ClaimLost: another process has taken the claim over.
        :raises errors.DatabaseUnavailable: the database does not answer.
        """
        if self.is_lost:
            raise errors.ClaimLost(self.image_id)
        if self._clock.monotonic() - self._confirmed_at < self._max_age:
            return
        # This process slept, or its database was away: the claim may have been taken over.
        if not self._confirm(self):
            self.is_lost = True
            raise errors.ClaimLost(self.image_id)


class ClaimFilter(StreamFilter):
    """Stops a stream of bytes on its way to a store when the claim is lost."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def update(self, chunk: Chunk) -> None:
        """:raises errors.ClaimLost: see :meth:`Claim.raise_if_lost`."""
        self._claim.raise_if_lost()

    def finish(self) -> None:
        """:raises errors.ClaimLost: see :meth:`Claim.raise_if_lost`."""
        self._claim.raise_if_lost()


@dataclasses.dataclass(slots=True)
class _HeldClaims:
    """The claims of one process: those that are refreshed, by holder, and holders to release."""

    held: dict[str, Claim] = dataclasses.field(default_factory=dict)
    to_release: list[str] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)


class Claims:
    """All claims of this process.  Safe in threads; a forked child starts without claims.

    :param open_heartbeat_records: opens another connection to the records, for refreshes, which
        must neither wait for a connection that requests use nor long for an answer.
    :param heartbeat: calls :meth:`send_heartbeats`; by default a thread of its own.
    """

    def __init__(
        self,
        repository: ClaimRepository,
        images: ImageRepository,
        clock: Clock = time,
        open_heartbeat_records: Callable[[], ClaimRepository] | None = None,
        times: LeaseTimes | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self.times = LEASE_TIMES if times is None else times
        self._repository = repository
        self._open_heartbeat_records = open_heartbeat_records
        self._images = images
        self._clock = clock
        self._heartbeat = heartbeat or Heartbeat("claims", self.times.heartbeat, clock)
        self._process = PerProcess(self._begin_process)

    def _begin_process(self) -> _HeldClaims:
        atexit.register(self.stop)
        return _HeldClaims()

    @functools.cached_property
    def _heartbeat_records(self) -> ClaimRepository:
        return (
            self._repository
            if self._open_heartbeat_records is None
            else self._open_heartbeat_records()
        )

    @property
    def is_idle(self) -> bool:
        """True when this process holds no claim and has none to release."""
        mine = self._process.get()
        return not mine.held and not mine.to_release

    def request(
        self, kind: str, task_id: str | None = None, replaces: str | None = None
    ) -> ClaimRequest:
        """A request for a claim, to be put into a change as ``acquire``.

        :param kind: one of the kinds of ``domain.claim``.
        :param task_id: the task that reports on the attempt.
        :param replaces: the finished task whose id the lock property of the image may have.
        """
        return ClaimRequest(
            new_holder_token(), kind, process_label(), task_id, replaces, self._clock.monotonic()
        )

    @contextlib.contextmanager
    def hold(
        self, image_id: str, grant: ClaimGrant | None, request: ClaimRequest
    ) -> Iterator[Claim]:
        """Refresh a claim while the block runs; the block ends it, or leaves it to recovery.

        :param grant: the answer of the DAL to ``request``.
        """
        claim = self.keep_alive(image_id, grant, request)
        try:
            yield claim
        finally:
            self.stop_keeping_alive(claim)

    def keep_alive(self, image_id: str, grant: ClaimGrant | None, request: ClaimRequest) -> Claim:
        """Refresh a claim until :meth:`stop_keeping_alive`; see :meth:`hold`.

        :raises ValueError: ``grant`` is None.
        """
        if grant is None:
            raise ValueError("A change that asks for a claim was answered without one.")
        claim = Claim(image_id, grant, request, self._clock, self._confirm, self.times)
        mine = self._process.get()
        with mine.lock:
            mine.held[request.holder] = claim
            self._heartbeat.register("claims", self.send_heartbeats)
        return claim

    def stop_keeping_alive(self, claim: Claim) -> None:
        """Refresh the claim no more."""
        mine = self._process.get()
        with mine.lock:
            mine.held.pop(claim.holder, None)

    def take(self, image_id: str, request: ClaimRequest) -> Claim:
        """Take and keep the claim of an image that does not exist yet.

        :raises errors.ImageBusy: another attempt holds it.
        """
        return self.keep_alive(image_id, self._repository.take(image_id, request), request)

    def release_later(self, claim: Claim) -> None:
        """Release the claim of an attempt that succeeded at the next heartbeat, with others.

        Until then it keeps no other attempt from the image: see ``db.claims``.
        """
        mine = self._process.get()
        with mine.lock:
            mine.to_release.append(claim.holder)
            self._heartbeat.register("claims", self.send_heartbeats)

    def release(self, claim: Claim) -> None:
        """Release a claim now, unless an outcome is unknown; on an error, recovery does it."""
        if claim.outcome_unknown:
            return
        try:
            self._repository.release(claim.image_id, claim.holder, claim.build_release())
        except errors.GlanceError as error:
            LOG.warning(
                "The claim of image %s could not be released (%s); it expires in %d s",
                claim.image_id,
                error,
                self.times.timeout,
            )

    def end(self, claim: Claim, ended: bool = True) -> None:
        """Release the claim of an attempt that is over, and refresh it no more.

        :param ended: False when the end of the attempt, or of its task, may not be recorded: then
            the claim expires, and recovery ends both.
        """
        claim.outcome_unknown = claim.outcome_unknown or not ended
        self.release(claim)
        self.stop_keeping_alive(claim)

    # ------------------------------------------------------------ heartbeats

    def send_heartbeats(self) -> None:
        """Refresh all claims with one statement, and release those that are done with."""
        mine = self._process.get()
        with mine.lock:
            claims, finished, mine.to_release = list(mine.held.values()), mine.to_release, []
            if not claims and not finished:
                self._heartbeat.unregister("claims")
        if claims:
            self._refresh(claims)
        if finished:
            try:
                self._heartbeat_records.finish(finished)
            except Exception as error:
                LOG.warning("%d claims could not be released: %s", len(finished), error)
                with mine.lock:
                    mine.to_release += finished

    def stop(self) -> None:
        """Release at the end of the process the claims that are done with, which would expire."""
        mine = self._process.peek()
        if mine is None:
            return
        with mine.lock:
            finished, mine.to_release = mine.to_release, []
        if finished:
            try:
                self._heartbeat_records.finish(finished)
            except Exception as error:
                LOG.info("%d claims are left to expire: %s", len(finished), error)

    def _refresh(self, claims: Sequence[Claim]) -> None:
        started = self._clock.monotonic()
        try:
            lost = self._heartbeat_records.beat([claim.holder for claim in claims])
        except Exception as error:
            if len(claims) > 1:
                # One row that another transaction has locked must not keep the others from it.
                for claim in claims:
                    self._refresh([claim])
                return
            LOG.warning("The claim of image %s was not refreshed: %s", claims[0].image_id, error)
            return
        for claim in claims:
            if claim.holder not in lost:
                claim.set_confirmed(started)
            elif claim.holder in self._process.get().held:
                # Otherwise the token was replaced meanwhile: the answer is about the old one.
                LOG.warning(
                    "The claim of image %s was taken over by another process", claim.image_id
                )
                claim.is_lost = True

    def _confirm(self, claim: Claim) -> bool:
        """Ask the database whether the claim is still held.

        :raises errors.DatabaseUnavailable: the database does not answer.
        """
        started = self._clock.monotonic()
        if claim.holder in self._heartbeat_records.beat([claim.holder]):
            return False
        claim.set_confirmed(started)
        return True

    # ------------------------------------------------------------ unknown outcomes

    def resolve_outcome(
        self, ctx: Caller, claim: Claim, is_committed: Callable[[Image], bool]
    ) -> Image | None:
        """Find out whether a write of this claim was committed.

        The token of the claim is replaced first: a transaction that names the old one can no
        longer commit, so that what is read then is final.

        :param is_committed: True for an image that shows the write.
        :returns: the image that shows it; None when the write was not and will not be committed.
        :raises errors.OutcomeUnknown: the database did not answer in ``resolve_timeout`` seconds.
        """
        deadline = self._clock.monotonic() + self.times.resolve_timeout
        tokens = [claim.holder]
        while True:
            token = new_holder_token()
            tokens.append(token)
            try:
                if self._repository.replace_holder(claim.image_id, tokens[:-1], token):
                    self._replace_token(claim, token)
                    tokens = [token]
                else:
                    claim.is_lost = True
                image = self._images.get(ctx, claim.image_id)
                return image if is_committed(image) else None
            except errors.ImageNotFound:
                return None
            except errors.DatabaseUnavailable as error:
                if self._clock.monotonic() >= deadline:
                    raise errors.OutcomeUnknown() from error
                self._clock.sleep(self.times.resolve_retry)

    def _replace_token(self, claim: Claim, token: str) -> None:
        mine = self._process.get()
        with mine.lock:
            if mine.held.pop(claim.holder, None) is not None:
                mine.held[token] = claim
            claim.holder = token
