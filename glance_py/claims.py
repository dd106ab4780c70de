"""The claims that this process holds, and how they are kept alive.

A claim is a lease: its holder gives a sign of life every few seconds, and observers in other
processes (``recovery``) take the claim of a silent holder over.  A holder that could not give
a sign of life for nearly as long as the lease stops by itself before its next step, until
the database confirms that it still has the claim.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

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
from glance_py.streams import Chunk, StreamFilter

LOG = logging.getLogger(__name__)

#: The store that holds data between staging and import.
STAGING_STORE = "os_glance_staging_store"
#: Seconds between two signs of life.
HEARTBEAT_SECONDS = 5.0
#: Seconds of silence after which observers take a claim over.
LEASE_SECONDS = 30.0
#: How many take-overs of one image in a row recovery cleans up after: each one that dies adds one.
MAX_TAKEOVERS = 8
#: Seconds in which the outcome of a write has to be found out, and between two attempts.
RESOLVE_TIMEOUT_SECONDS = 15.0
RESOLVE_RETRY_SECONDS = 0.5


class Clock(Protocol):
    """Time, as far as claims need it; ``time`` is one."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


def new_holder_token() -> str:
    """A token that no other attempt has."""
    return secrets.token_hex(16)


def process_label() -> str:
    """Host name and process id, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Claim:
    """One claim of this process, for the time of one attempt.

    :param confirm: asks the database whether this claim is still held.
    """

    def __init__(
        self,
        image_id: str,
        grant: ClaimGrant,
        request: ClaimRequest,
        clock: Clock,
        confirm: Callable[[Claim], bool],
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
        #: May there be an object under ``object_name`` that no record names?
        self.may_leave_objects = False
        #: Another process has taken the claim over.
        self.is_connection_lost = False
        #: A write may have been committed, or may still be: only recovery may decide.
        self.outcome_unknown = False
        self._clock = clock
        self._confirm = confirm
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
        """``change`` made to happen only while this claim is held.

        :param release: give the claim back in the same transaction.
        """
        change.holder = self.holder
        change.release = self.build_release() if release else None
        return change

    def build_release(self) -> ClaimRelease:
        """How to give this claim back."""
        return ClaimRelease(self.task_id, forget=not self.may_leave_objects)

    def set_confirmed(self, at: float) -> None:
        """The database confirmed the claim when asked at this time of the clock."""
        self._confirmed_at = max(self._confirmed_at, at)

    def raise_if_lost(self) -> None:
        """Stop an attempt that may not go on.

        :raises errors.ClaimLost: another process has taken the claim over.
        :raises errors.DatabaseUnavailable: nobody can tell whether it has.
        """
        if self.is_connection_lost:
            raise errors.ClaimLost(self.image_id)
        if self._clock.monotonic() - self._confirmed_at < LEASE_SECONDS - HEARTBEAT_SECONDS:
            return
        # This process slept, or its database was away: others may have taken the claim over.
        if not self._confirm(self):
            self.is_connection_lost = True
            raise errors.ClaimLost(self.image_id)


class ClaimFilter(StreamFilter):
    """Stops a stream of bytes on its way to a store when the claim is lost."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def update(self, chunk: Chunk) -> None:
        self._claim.raise_if_lost()

    def finish(self) -> None:
        self._claim.raise_if_lost()


class Claims:
    """All claims of this process.  Safe in threads and across a fork.

    :param clock: has ``monotonic`` and ``sleep``.
    :param open_heartbeat_records: opens another way to the records, for signs of life, which
        must neither wait behind requests for a connection nor long for an answer.
    """

    def __init__(
        self,
        repository: ClaimRepository,
        images: ImageRepository,
        clock: Clock = time,
        open_heartbeat_records: Callable[[], ClaimRepository] | None = None,
    ) -> None:
        self._repository = repository
        self._open_heartbeat_records = open_heartbeat_records
        self._images = images
        self._clock = clock
        self._lock = threading.Lock()
        self._has_heartbeat_thread = False
        self._pid: int | None = None
        self._held: dict[str, Claim] = {}
        self._to_release: list[str] = []

    @functools.cached_property
    def _heartbeat_records(self) -> ClaimRepository:
        return (
            self._repository
            if self._open_heartbeat_records is None
            else self._open_heartbeat_records()
        )

    def request(
        self, kind: str, task_id: str | None = None, replaces: str | None = None
    ) -> ClaimRequest:
        """A request for a claim, to be put into a change as ``acquire``."""
        return ClaimRequest(
            new_holder_token(), kind, process_label(), task_id, replaces, self._clock.monotonic()
        )

    @contextlib.contextmanager
    def hold(
        self, image_id: str, grant: ClaimGrant | None, request: ClaimRequest
    ) -> Iterator[Claim]:
        """Keep a claim alive while the block runs; the block ends it, or leaves it to recovery.

        :param grant: the answer to ``request``.
        """
        claim = self.keep_alive(image_id, grant, request)
        try:
            yield claim
        finally:
            self.stop_keeping_alive(claim)

    def keep_alive(self, image_id: str, grant: ClaimGrant | None, request: ClaimRequest) -> Claim:
        """Keep a claim alive until :meth:`stop_keeping_alive`; see :meth:`hold`."""
        if grant is None:
            raise ValueError("A change that asks for a claim was answered without one.")
        claim = Claim(image_id, grant, request, self._clock, self._confirm)
        with self._lock:
            self._ensure_heartbeat_thread()
            self._held[request.holder] = claim
        return claim

    def stop_keeping_alive(self, claim: Claim) -> None:
        """Give no more signs of life."""
        with self._lock:
            self._held.pop(claim.holder, None)

    def take(self, image_id: str, request: ClaimRequest) -> Claim:
        """Take and keep the claim of an image that does not exist yet.

        :raises errors.ImageBusy: somebody else holds it.
        """
        return self.keep_alive(image_id, self._repository.take(image_id, request), request)

    def release_later(self, claim: Claim) -> None:
        """Give back the claim of an attempt that succeeded, together with others, soon.

        Until then it stands in nobody's way: see ``db.claims``.
        """
        with self._lock:
            self._ensure_heartbeat_thread()
            self._to_release.append(claim.holder)

    def release(self, claim: Claim) -> None:
        """Give a claim back now; when that fails, recovery does it."""
        if claim.outcome_unknown:
            return
        try:
            self._repository.release(claim.image_id, claim.holder, claim.build_release())
        except errors.GlanceError as error:
            LOG.warning(
                "The claim of image %s could not be given back (%s); it expires in %d s",
                claim.image_id,
                error,
                LEASE_SECONDS,
            )

    def end(self, claim: Claim, ended: bool = True) -> None:
        """An attempt is over: give its claim back, and no more signs of life.

        :param ended: False when its end, or its task's, may not be on record: recovery sees to
            that when the claim has expired.
        """
        claim.outcome_unknown = claim.outcome_unknown or not ended
        self.release(claim)
        self.stop_keeping_alive(claim)

    # ------------------------------------------------------------ signs of life

    def _ensure_heartbeat_thread(self) -> None:
        """Have a thread give signs of life; it ends when there is nothing to give them for.

        A child process has neither the claims nor the threads of its parent.
        """
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._held, self._to_release = {}, []
            self._has_heartbeat_thread = False
            atexit.register(self.stop)
        if not self._has_heartbeat_thread:
            self._has_heartbeat_thread = True
            threading.Thread(target=self._run, name="claims", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._clock.sleep(HEARTBEAT_SECONDS)
            self.send_heartbeats()
            with self._lock:
                if not self._held and not self._to_release:
                    self._has_heartbeat_thread = False
                    return

    def send_heartbeats(self) -> None:
        """Give one sign of life for all claims, and give back those that are done with."""
        with self._lock:
            claims, finished = list(self._held.values()), self._to_release
            self._to_release = []
        if claims:
            self._send_heartbeats(claims)
        if finished:
            try:
                self._heartbeat_records.finish(finished)
            except Exception as error:
                LOG.warning("%d claims could not be given back: %s", len(finished), error)
                with self._lock:
                    self._to_release += finished

    def stop(self) -> None:
        """Give back what is done with now: the process ends, and others would wait for it."""
        with self._lock:
            finished, self._to_release = self._to_release, []
        if finished and self._pid == os.getpid():
            try:
                self._heartbeat_records.finish(finished)
            except Exception as error:
                LOG.info("%d claims are left to expire: %s", len(finished), error)

    def _send_heartbeats(self, claims: Sequence[Claim]) -> None:
        started = self._clock.monotonic()
        try:
            lost = self._heartbeat_records.beat([claim.holder for claim in claims])
        except Exception as error:
            if len(claims) > 1:
                # One row that somebody locks must not silence the others.
                for claim in claims:
                    self._send_heartbeats([claim])
                return
            LOG.warning("The claim of image %s was not refreshed: %s", claims[0].image_id, error)
            return
        for claim in claims:
            # The token may have been replaced meanwhile: then the answer is about the old one.
            if claim.holder not in lost:
                claim.set_confirmed(started)
            elif claim.holder in self._held:
                LOG.warning(
                    "The claim of image %s was taken over by another process", claim.image_id
                )
                claim.is_connection_lost = True

    def _confirm(self, claim: Claim) -> bool:
        """Is the claim still held?  Asks the database.

        :raises errors.DatabaseUnavailable: it does not answer.
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

        The token of the claim is replaced first: whatever is still on its way under the old
        one can no longer commit, so that what is read then is final.

        :param shows: does an image show that the write was committed?
        :returns: the image that shows it; None when none does, and never will by that write.
        :raises errors.OutcomeUnknown: the database did not answer in RESOLVE_TIMEOUT_SECONDS.
        """
        deadline = self._clock.monotonic() + RESOLVE_TIMEOUT_SECONDS
        tokens = [claim.holder]
        while True:
            token = new_holder_token()
            tokens.append(token)
            try:
                if self._repository.replace_holder(claim.image_id, tokens[:-1], token):
                    self._replace_token(claim, token)
                    tokens = [token]
                else:
                    claim.is_connection_lost = True
                image = self._images.get(ctx, claim.image_id)
                return image if is_committed(image) else None
            except errors.ImageNotFound:
                return None
            except errors.DatabaseUnavailable as error:
                if self._clock.monotonic() >= deadline:
                    raise errors.OutcomeUnknown() from error
                self._clock.sleep(RESOLVE_RETRY_SECONDS)

    def _replace_token(self, claim: Claim, token: str) -> None:
        with self._lock:
            if self._held.pop(claim.holder, None) is not None:
                self._held[token] = claim
            claim.holder = token
