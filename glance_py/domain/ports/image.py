"""Images: the operations of a request, the operations behind them, and the DAL.

A request passes the layers of :class:`ImageOperations`, which check what the caller may do, and
then those of :class:`InternalImageOperations`, which do it.  Imports and other work without a
request call the latter directly.  :class:`ImageRepository` is the DAL, whether that is SQL or the
registry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import ImportRequest
from glance_py.domain.ports.data import Data, Download, Upload
from glance_py.domain.query import ImageQuery, Page
from glance_py.domain.quota import QuotaReservation
from glance_py.domain.registration import Registration

#: The image as it is at this moment and what shall change in it; held until that is recorded.
Finalize = Callable[[], AbstractContextManager[tuple[Image, ImageChange]]]


class CommonImageOperations(Protocol):
    """The operations that :class:`ImageOperations` and :class:`InternalImageOperations` share.

    Every operation may raise errors.ImageNotFound.
    """

    def get(self, ctx: Caller, image_id: str) -> Image:
        """The image, for a caller that wants to look at it."""

    def resolve(self, ctx: Caller, image_id: str) -> Image:
        """The image, for a caller that will ask another operation about it.

        Only visibility is checked: which policy rules apply follows from the other operation.
        """

    def list(self, ctx: Caller, query: ImageQuery) -> Page: ...

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image: ...

    def delete(self, ctx: Caller, image: Image) -> None: ...

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image: ...

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image: ...

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        """The data of the image; None when it has no data (yet)."""

    def set_status(self, ctx: Caller, image: Image, to: str) -> Image:
        """Deactivate or reactivate: ``to`` is deactivated or active."""


class LocatedImageOperations(CommonImageOperations, Protocol):
    """The operations of a request, without ``import_``."""

    def create(self, ctx: Caller, image: Image) -> Image: ...

    def add_location(self, ctx: Caller, image: Image, registration: Registration) -> None:
        """Add data that is in a store already (Image API v2.17), in the background.

        Returns when the work is recorded as a task.
        """

    def list_locations(self, ctx: Caller, image: Image) -> Sequence[Location]:
        """The locations of the image's data."""

    def delete_from_store(self, ctx: Caller, image: Image, store: str) -> Image:
        """Remove the copy of the data in one store."""


class ImageOperations(LocatedImageOperations, Protocol):
    """The operations of a request: what a controller calls, on which callers are judged."""

    def import_(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        """Import data into stores, in the background; returns when the task is recorded."""


class InternalImageOperations(CommonImageOperations, Protocol):
    """The operations behind the request layers, which requests and background work share.

    The caller's rights have been checked before one of these is called.
    """

    def create(
        self, ctx: Caller, image: Image, reservation: QuotaReservation | None = None
    ) -> Image:
        """Record a new image.

        :param reservation: what the owner may use once it is recorded.
        """

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        """Write one more copy of the data of an image that is being imported, to one store.

        ``finalize`` is entered when the bytes are in the store.  It yields the image as it is
        then and the change that is recorded together with the new location.
        """

    def remove_copy(
        self, ctx: Caller, image: Image, location: Location, change: ImageChange
    ) -> Image:
        """Undo :meth:`add_copy`; ``change`` is applied in the same transaction."""


_COMMON_OPERATIONS: tuple[str, ...] = (
    "get",
    "resolve",
    "list",
    "create",
    "update",
    "delete",
    "upload",
    "stage",
    "download",
    "set_status",
)
#: The names of the operations of :class:`ImageOperations`, without and with ``import_``, and of
#: :class:`InternalImageOperations`.
LOCATED_OPERATIONS: tuple[str, ...] = (
    *_COMMON_OPERATIONS,
    "add_location",
    "list_locations",
    "delete_from_store",
)
IMAGE_OPERATIONS: tuple[str, ...] = (*_COMMON_OPERATIONS, "import_", *LOCATED_OPERATIONS[-3:])
INTERNAL_OPERATIONS: tuple[str, ...] = (*_COMMON_OPERATIONS, "add_copy", "remove_copy")


class ImageRepository(Protocol):
    """The DAL for images.

    ``get`` raises ImageNotFound for an id that is unknown or deleted and fills
    ``Image.caller_membership``; it does not judge visibility.  ``list`` judges it, in the
    query.  ``create`` raises Duplicate for an id that was ever used.
    ``update`` applies a change atomically and returns the image as it is then;
    it raises ImageNotFound when the image is gone and StatusConflict when
    ``change.expected`` does not hold.  Both raise QuotaExceeded when the
    reservation exceeds what is left of a quota.  ``delete`` marks the image and what
    belongs to it deleted (status "deleted", or "pending_delete") and raises
    StatusConflict when the image is no longer in one of the ``expected`` states.
    """

    def get(self, ctx: Caller, image_id: str) -> Image: ...

    def list(self, ctx: Caller, query: ImageQuery) -> Page: ...

    def create(
        self, ctx: Caller, image: Image, reservation: QuotaReservation | None = None
    ) -> Image: ...

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image: ...

    def delete(self, ctx: Caller, image: Image, status: str = "deleted") -> None: ...
