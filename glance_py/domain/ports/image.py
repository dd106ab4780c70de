"""Images: what can be asked of them, and of their records.

``ImageOperations`` is what a controller calls and what every proxy layer stands in
front of; ``ImageRepository`` is what the innermost layer needs from the DAL,
whether that is SQL or the registry.
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


class ImageOperations(Protocol):
    """What can be asked of images.  Every operation may raise errors.ImageNotFound."""

    def get(self, ctx: Caller, image_id: str) -> Image:
        """The image, for one who wants to look at it."""

    def resolve(self, ctx: Caller, image_id: str) -> Image:
        """The image, for one who will ask another operation of it.

        Only visibility is judged: what the policy says follows from the operation.
        """

    def list(self, ctx: Caller, query: ImageQuery) -> Page: ...

    def create(self, ctx: Caller, image: Image) -> Image: ...

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image: ...

    def delete(self, ctx: Caller, image: Image) -> None: ...

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image: ...

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image: ...

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        """None: the image has no data (yet)."""

    def set_status(self, ctx: Caller, image: Image, to: str) -> Image:
        """Deactivate or reactivate: ``to`` is deactivated or active."""

    def import_(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        """Have data brought into stores, in the background; returns when that is certain."""

    def add_location(self, ctx: Caller, image: Image, registration: Registration) -> None:
        """Have data that lies in a store become the image's; returns when that is certain."""

    def list_locations(self, ctx: Caller, image: Image) -> Sequence[Location]:
        """Where the data of the image lies."""

    def delete_from_store(self, ctx: Caller, image: Image, store: str) -> Image:
        """Remove the copy of the data in one store."""

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        """One more copy of the data of an image that is being imported, in one store.

        ``finalize`` is entered when the bytes are in the store and says which
        image they are of by then, and what changes together with its
        locations.  Only the import asks for this operation: what a caller may is
        decided before.
        """

    def remove_copy(
        self, ctx: Caller, image: Image, location: Location, change: ImageChange
    ) -> Image:
        """Take back what :meth:`add_copy` did; ``change`` is applied at the same time."""


#: The operations on which callers are judged, and those of what does the work.
IMAGE_OPERATIONS = (
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
    "import_",
    "add_location",
    "list_locations",
    "delete_from_store",
)
INTERNAL_OPERATIONS = (*IMAGE_OPERATIONS[:-4], "add_copy", "remove_copy")


class ImageRepository(Protocol):
    """The DAL for images.

    ``get`` raises ImageNotFound for an id that is unknown or deleted and fills
    ``Image.caller_membership``; it does not judge visibility.  ``list`` judges it, in the
    query.  ``create`` raises Duplicate for an id that was ever used.
    ``update`` applies a change atomically and returns the image as it is then;
    it raises ImageNotFound when the image is gone and StatusConflict when
    ``change.expected`` does not hold.  Both raise QuotaExceeded when there is
    less room than the reservation asks for.  ``delete`` marks the image and what
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
