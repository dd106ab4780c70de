"""Requests to import the data of an image, and the properties in which an import keeps its state.

The rules here need nothing but the request and the image; ``importing`` does the work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from glance_py.domain import errors
from glance_py.domain.image import Image, ImageStatus

GLANCE_DIRECT, WEB_DOWNLOAD = "glance-direct", "web-download"
COPY_IMAGE, GLANCE_DOWNLOAD = "copy-image", "glance-download"

#: The status in which an image must be for each method.
REQUIRED_STATUS = {
    GLANCE_DIRECT: ImageStatus.UPLOADING,
    WEB_DOWNLOAD: ImageStatus.QUEUED,
    GLANCE_DOWNLOAD: ImageStatus.QUEUED,
    COPY_IMAGE: ImageStatus.ACTIVE,
}

#: The id of the task that works on the image; Glance uses it as a lock.
LOCK_PROPERTY = "os_glance_import_task"
#: The stores to which an import has not written yet, and those that failed, see join_stores.
PENDING_STORES = "os_glance_importing_to_stores"
FAILED_STORES = "os_glance_failed_import"
#: The URL of the worker on whose disk the data is staged.
STAGE_HOST = "os_glance_stage_host"
#: The URL of the worker that computes the hash; Glance writes it.
HASH_HOST = "os_glance_hash_op_host"
#: Internal properties that no answer shows.
HIDDEN_PROPERTIES = frozenset({STAGE_HOST, HASH_HOST})


@dataclasses.dataclass(frozen=True, slots=True)
class ImportRequest:
    """A request to import whose form has been checked.

    method
        The keys of ``method`` in the body, without its name.
    stores
        The ids of stores that the request names, None when it names none.
    document
        The body as the client sent it, for the record of the task and for another worker.
    store_error
        The error about stores that the request names, None when they are correct.  It is raised
        only when the import could begin otherwise.
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
        """True for copies of an active image, False for the first data of an image."""
        return self.method_name == COPY_IMAGE


def check_importable(image: Image, request: ImportRequest) -> None:
    """Check that the image is in the state that the method of the import needs.

    :raises errors.Conflict: the status is another one, or a format is not set.
    """
    needed = REQUIRED_STATUS[request.method_name]
    if image.status != needed:
        hint = "; its data needs to be staged first" if request.method_name == GLANCE_DIRECT else ""
        raise errors.Conflict(
            f"An image must be {needed} for {request.method_name}, "
            f"but this one is {image.status}{hint}."
        )
    missing = [name for name in ("container_format", "disk_format") if getattr(image, name) is None]
    if missing:
        raise errors.Conflict(f"Properties {', '.join(missing)} must be set prior to importing.")


def stores_in(image: Image, name: str) -> list[str]:
    """The ids of the stores in the property ``name``, PENDING_STORES or FAILED_STORES."""
    return [store for store in image.properties.get(name, "").split(",") if store]


def join_stores(stores: Iterable[str]) -> str:
    """The value of such a property: the ids in order, separated by commas."""
    return ",".join(sorted(stores))
