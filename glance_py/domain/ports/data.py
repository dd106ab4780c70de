"""Bytes on their way in and out, with what layers hang on them.

Nothing here holds bytes: sources and chunks are read once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.quota import QuotaReservation


class ClaimGuard(Protocol):
    """A claim, as far as those need it who write about an attempt."""

    def guard(self, change: ImageChange, release: bool = False) -> ImageChange: ...


@dataclasses.dataclass(slots=True)
class UploadAttempt:
    """The claim under which data is stored, known once it has been taken.

    Layers that write to the record while data arrives ask it to guard their changes.
    """

    claim: ClaimGuard | None = None

    def guard(self, change: ImageChange) -> ImageChange:
        """``change`` made to happen only while the claim is held."""
        if self.claim is None:
            raise RuntimeError("A write about data that is on its way needs a claim.")
        return self.claim.guard(change)


@dataclasses.dataclass(slots=True)
class Upload:
    """Data on its way in.

    source
        Chunks of bytes, read once and never held.
    size
        How many bytes were announced, None when unknown.
    store
        The id of the store that was asked for, None for the default.
    filters
        Stream filters that layers hang in front of the store, outermost first
        (see ``streams.py``).
    on_step
        Called with the name of a step and the image after the step has really
        been made: "saving", "prepare", "upload", "activate", "active".
    on_failure
        Called with one sentence when the data could not be stored.
    reservation
        What must be left of the project's quotas when the data begins to come.
    attempt
        The claim under which the data is stored.  Whoever calls ``add_copy`` has it.
    """

    source: Iterable[bytes]
    size: int | None = None
    store: str | None = None
    filters: tuple = ()
    on_step: Callable[[str, Image], None] = lambda step, image: None
    on_failure: Callable[[str], None] = lambda reason: None
    reservation: QuotaReservation | None = None
    attempt: UploadAttempt = dataclasses.field(default_factory=UploadAttempt)


@dataclasses.dataclass(frozen=True, slots=True)
class Download:
    """Which bytes are wanted: ``start`` inclusive, ``stop`` exclusive or None

    for the end; ``prefer`` names stores in the order they should be tried.
    """

    start: int = 0
    stop: int | None = None
    prefer: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class Data:
    """Bytes on their way out.

    ``chunks`` yields exactly ``length`` bytes or raises; ``close`` must be
    called.  ``file`` is an open file positioned at the first byte when the
    store has one and nobody needs to look at the bytes: then the server may
    send it without reading it.
    """

    chunks: Iterator[bytes]
    length: int
    file: BinaryIO | None = None
    close: Callable[[], None] = lambda: None
