"""What a client asks for when it wants the data of an image imported.

Plain data and the rules that need nothing but the request and the image.  How
an import is done is the business of ``importing``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from glance_py.domain import errors
from glance_py.domain.image import Image

GLANCE_DIRECT, WEB_DOWNLOAD = "glance-direct", "web-download"
COPY_IMAGE, GLANCE_DOWNLOAD = "copy-image", "glance-download"

#: The state in which an image must be for each method.
REQUIRED_STATUS = {
    GLANCE_DIRECT: "uploading",
    WEB_DOWNLOAD: "queued",
    GLANCE_DOWNLOAD: "queued",
    COPY_IMAGE: "active",
}

#: Properties of an image that say what an import is doing; the first is its lock.
LOCK_PROPERTY = "os_glance_import_task"
PENDING_STORES = "os_glance_importing_to_stores"
FAILED_STORES = "os_glance_failed_import"


@dataclasses.dataclass(frozen=True, slots=True)
class ImportRequest:
    """A request to import, its form checked.

    method
        The keys of ``method`` in the body, without its name.
    stores
        The ids that were named, None when none were.
    document
        The body as it was sent, for the record and for another worker.
    store_error
        What is wrong with the stores that were named.  It counts only where an import
        could begin at all.
    """

    method_name: str
    method: Mapping[str, object]
    document: Mapping[str, object]
    stores: Sequence[str] | None = None
    all_stores: bool = False
    all_must_succeed: bool = True
    store_error: errors.Invalid | None = None

    @property
    def is_copy(self) -> bool:
        """Are copies of an active image wanted, rather than first data?"""
        return self.method_name == COPY_IMAGE


def check_importable(image: Image, request: ImportRequest) -> None:
    """Refuse an import for which the image is not in the right state.

    :raises errors.Conflict: wrong status, or a format is not set.
    """
    needed = REQUIRED_STATUS[request.method_name]
    if image.status != needed:
        hint = "; its data needs to be staged first" if needed == "uploading" else ""
        raise errors.Conflict(
            f"An image must be {needed} for {request.method_name}, "
            f"but this one is {image.status}{hint}."
        )
    missing = [name for name in ("container_format", "disk_format") if getattr(image, name) is None]
    if missing:
        raise errors.Conflict(f"Properties {', '.join(missing)} must be set prior to importing.")


def stores_in(image: Image, name: str) -> list[str]:
    """The stores in one of the two lists of an image."""
    return [store for store in image.properties.get(name, "").split(",") if store]


def join_stores(stores: Sequence[str] | set[str]) -> str:
    """The value of such a list."""
    return ",".join(sorted(stores))
