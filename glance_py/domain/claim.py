"""Who works on the data of an image: the claim, as a value, and how attempts name their objects.

At most one attempt (an upload, an import, a removal ...) holds the claim of an image.  The
claim is a lease with fencing: ``generation`` grows with every attempt, ``holder`` is a random
token that only this attempt knows, and every write of the attempt names the holder, so
that an attempt that was declared dead cannot change anything afterwards.

Attempts never share the name of an object in a store: see :func:`object_name`.  How a claim
is kept alive is the business of ``glance_py.claims``; how it is recorded, of the DAL.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Sequence
from typing import Protocol

from glance_py.domain.uuids import UUID

#: What an attempt does.
UPLOAD, STAGE, IMPORT, COPY = "upload", "stage", "import", "copy"
LOCATION_IMPORT, REMOVE = "location_import", "remove"
#: A task of the deprecated tasks API, before its image exists.
TASK = "task"

_NAME = re.compile(rf"({UUID})(?:\.([1-9][0-9]{{0,9}}))?\Z")


def object_name(image_id: str, generation: int) -> str:
    """The name of the object that an attempt writes.

    The first attempt uses the id of the image, as Glance does; a later one appends its
    generation, so that it shares no object with an earlier attempt that may still be at work.
    """
    return image_id if generation <= 1 else f"{image_id}.{generation}"


def split_object_name(name: str) -> tuple[str, int] | None:
    """(image id, generation) of a name that :func:`object_name` made; None for any other name."""
    found = _NAME.match(name)
    if found is None or found[2] == "1":
        return None
    return found[1], int(found[2] or 1)


@dataclasses.dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A claim to take together with a change of the image.

    holder
        The random token of the attempt.
    kind
        One of the kinds above.
    host
        Which process asks, for people who look at the table.
    task_id
        The task that reports on the attempt.  While the claim is held, the image has the
        property ``os_glance_import_task`` with this value.
    replaces
        Id of a finished task that still stands in that property and may be overwritten.
    asked
        When the request was made, in seconds of a clock that only the asking process knows.
    """

    holder: str
    kind: str
    host: str = ""
    task_id: str | None = None
    replaces: str | None = None
    asked: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class ClaimGrant:
    """What the DAL answers to a request.

    generation
        The number of this attempt, 1 for the first.
    staged
        The generation of the attempt that wrote the staged data of the image.
    """

    generation: int
    staged: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class ClaimRelease:
    """How a claim is given back.

    task_id
        The task to take out of the property ``os_glance_import_task``.
    forget
        Nothing is left of the attempt, or all of it is recorded: when it was the first of
        the image, the next attempt counts as the first again.
    """

    task_id: str | None = None
    forget: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class HeldClaim:
    """A claim that a worker holds, as an observer sees it.

    ``beats`` changes with every sign of life of the holder.
    """

    image_id: str
    generation: int
    holder: str
    kind: str
    beats: int
    host: str = ""
    task_id: str | None = None
    staged: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class UnclaimedWork:
    """Work that is recorded as being in progress and for which no claim is held.

    Processes that do not know claims leave such work behind when they crash.

    stamp
        When its record was last changed: a change is a sign of life.
    """

    image_id: str
    kind: str
    task_id: str | None = None
    stamp: datetime.datetime | None = None


class ClaimRepository(Protocol):
    """The DAL for claims.  They are taken by ``ImageRepository.update``, with a change."""

    def take(self, image_id: str, request: ClaimRequest) -> ClaimGrant:
        """Take the claim of an image that does not exist yet.

        :raises errors.ImageBusy: another worker holds it.
        """

    def beat(self, holders: Sequence[str]) -> Sequence[str]:
        """Give a sign of life for all these holders; returns those that hold nothing any more."""

    def release(self, image_id: str, holder: str, how: ClaimRelease) -> bool:
        """Give a claim back; False when this holder does not have it."""

    def finish(self, holders: Sequence[str]) -> None:
        """Give back claims of uploads that succeeded, as :attr:`ClaimRelease.forget` says."""

    def replace_holder(self, image_id: str, holders: Sequence[str], holder: str) -> bool:
        """Replace the token of a claim that one of ``holders`` has; False when none has it.

        Afterwards no transaction that names an earlier token can commit any more.
        """

    def held(self) -> Sequence[HeldClaim]:
        """All claims that are held."""

    def take_over(self, claim: HeldClaim, holder: str) -> ClaimGrant | None:
        """Take a claim from a holder that died; None when it showed a sign of life since."""

    def unclaimed(self, seconds: float | None = None) -> Sequence[UnclaimedWork]:
        """Work without a claim whose record changed within ``seconds`` (None: whenever)."""

    def take_unclaimed(self, work: UnclaimedWork, request: ClaimRequest) -> ClaimGrant | None:
        """Take the claim of work without one; None when its record changed since."""

    def get(self, image_id: str) -> HeldClaim | None:
        """The claim of an image; its ``holder`` is empty when it is not held."""
