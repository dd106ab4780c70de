"""An image as plain data, its states and which state may follow which.

Nobody assigns to the fields of an image that was read: what shall differ is
described by a :class:`~glance_py.domain.change.Change` and applied by the DAL.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

from glance_py.domain import errors
from glance_py.domain.claim import ClaimGrant

VISIBILITIES = ("private", "public", "shared", "community")

#: Which states may follow a state.
TRANSITIONS: Mapping[str, frozenset[str]] = {
    "queued": frozenset({"saving", "uploading", "importing", "active", "deleted"}),
    "saving": frozenset({"active", "killed", "deleted", "queued"}),
    "uploading": frozenset({"importing", "queued", "deleted"}),
    "importing": frozenset({"active", "deleted", "queued"}),
    "active": frozenset({"pending_delete", "deleted", "deactivated"}),
    "deactivated": frozenset({"active", "deleted"}),
    "killed": frozenset({"deleted"}),
    "pending_delete": frozenset({"deleted", "active"}),
    "deleted": frozenset(),
}

STATUSES = tuple(TRANSITIONS)

#: Custom properties whose names start so belong to the service.
RESERVED_PREFIX = "os_glance"

#: Internal properties that no answer shows.
HIDDEN_PROPERTIES = frozenset({"os_glance_stage_host", "os_glance_hash_op_host"})

#: What is known of an image's data only when all of it has passed.
DIGESTS = ("checksum", "os_hash_algo", "os_hash_value")


@dataclasses.dataclass(slots=True)
class Location:
    """Where one copy of an image's data lies.

    ``url`` is the store's address of the object, ``metadata`` what the store
    said about it (``store`` names the store), ``id`` the row of a location
    that was read from the database.  ``extra`` is what else a client said about
    a new one; it is in the answer to that request and nowhere else.
    """

    url: str
    metadata: dict = dataclasses.field(default_factory=dict)
    status: str = "active"
    id: int | None = None
    extra: dict = dataclasses.field(default_factory=dict)

    @property
    def store(self) -> str | None:
        """The id of the store that holds this copy, when it is known."""
        return self.metadata.get("store")


@dataclasses.dataclass(slots=True)
class Image:
    """One image.  Sizes in bytes, ``min_disk`` in GB, ``min_ram`` in MB.

    ``member`` is the caller's project when it is a member of this image, else
    None: the answer of the DAL to the one who asked, not a property of the
    image.  ``grant`` is the answer to a change that took the claim.  Times are
    naive UTC.
    """

    id: str
    status: str = "queued"
    name: str | None = None
    owner: str | None = None
    visibility: str = "shared"
    protected: bool = False
    os_hidden: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    deleted_at: datetime.datetime | None = None
    tags: list[str] = dataclasses.field(default_factory=list)
    properties: dict[str, str] = dataclasses.field(default_factory=dict)
    locations: list[Location] = dataclasses.field(default_factory=list)
    member: str | None = None
    grant: ClaimGrant | None = None


#: The fields that a Change may set on the image row itself.
COLUMNS = frozenset(f.name for f in dataclasses.fields(Image)) - {
    "id",
    "tags",
    "properties",
    "locations",
    "member",
    "grant",
    "created_at",
    "updated_at",
    "deleted_at",
}


def check_transition(image: Image, to: str) -> None:
    """Refuse a state that may not follow the image's present one.

    :raises errors.InvalidTransition: ``to`` may not follow ``image.status``.
    """
    if to not in TRANSITIONS[image.status]:
        raise errors.InvalidTransition(image.status, to)


def check_formats(image: Image) -> None:
    """Data needs both formats.

    :raises errors.Invalid: a format is not set.
    """
    missing = [f for f in ("container_format", "disk_format") if getattr(image, f) is None]
    if missing:
        raise errors.Invalid(f"Properties {', '.join(missing)} must be set prior to saving data.")
