"""Uploads and downloads: streams of bytes, with the callbacks and filters that layers add.

Sources and chunks are read once; nothing here keeps bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.quota import QuotaReservation

#: bytes, or a memoryview of bytes, whose content must not change any more.
Chunk = bytes | memoryview


class DataFilter(Protocol):
    """Sees data before a store does; ``streams.StreamFilter`` is its implementation."""

    def update(self, chunk: Chunk) -> None:
        """Called with each chunk; raises a domain error to stop the transfer."""

    def finish(self) -> None:
        """Called after the last chunk; raises a domain error to refuse the data."""

    def close(self) -> None:
        """Release resources.  Called once, last, also after an error."""


class ClaimGuard(Protocol):
    """A claim, for layers that change the image during an attempt."""

    def guard(self, change: ImageChange, release: bool = False) -> ImageChange:
        """``change`` on the condition that this claim is held."""


@dataclasses.dataclass(slots=True)
class UploadAttempt:
    """The claim under which data is stored; None until it has been taken.

    Layers that change the image while data arrives make their changes conditional on it.
    """

    claim: ClaimGuard | None = None

    def guard(self, change: ImageChange) -> ImageChange:
        """``change`` on the condition that the claim is held.

        :raises RuntimeError: it has not been taken yet.
        """
        if self.claim is None:
            raise RuntimeError("A change during an upload needs a claim.")
        return self.claim.guard(change)


@dataclasses.dataclass(slots=True)
class Upload:
    """Data for an image.

    source
        Chunks of bytes, read once.
    size
        The number of bytes that the client announced, None when it did not.
    store
        The id of the store that the client named, None for the default.
    filters
        Filters that layers add, outermost first; they see the data before the store.
    on_step
        Called after each step with its name and the image as it is then: "saving", "prepare",
        "upload", "activate", "active"; "uploading" for staged data; "queued" after a failure.
    on_failure
        Called with one sentence when the data could not be stored.
    reservation
        What the project may use of its quotas once the upload has begun.
    attempt
        The claim under which the data is stored; callers of ``add_copy`` provide it.
    """

    source: Iterable[bytes]
    size: int | None = None
    store: str | None = None
    filters: tuple[DataFilter, ...] = ()
    on_step: Callable[[str, Image], None] = lambda step, image: None
    on_failure: Callable[[str], None] = lambda reason: None
    reservation: QuotaReservation | None = None
    attempt: UploadAttempt = dataclasses.field(default_factory=UploadAttempt)


@dataclasses.dataclass(frozen=True, slots=True)
class Download:
    """The range of bytes to read, and from which stores.

    ``start`` is inclusive; ``stop`` is exclusive, None for the end of the data.  ``prefer`` has the
    ids of stores in the order in which they are tried first.
    """

    start: int = 0
    stop: int | None = None
    prefer: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class Data:
    """Data of an image that is being read.

    ``chunks`` yields exactly ``length`` bytes or raises; ``close`` must be called.  ``file`` is an
    open file at the first byte, when the store has one and no layer reads the bytes: the server
    may send it with sendfile.
    """

    chunks: Iterator[bytes]
    length: int
    file: BinaryIO | None = None
    close: Callable[[], None] = lambda: None
