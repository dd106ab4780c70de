"""An image as plain data, its states and the allowed transitions between them.

No code assigns to the fields of an image that was read: an update is described by an
:class:`~glance_py.domain.change.ImageChange` and applied by the DAL.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Mapping
from typing import Any

from glance_py.domain import errors
from glance_py.domain.claim import ClaimGrant


class Visibility(enum.StrEnum):
    """Which projects see an image; the values are those of the API and the database."""

    PRIVATE = "private"
    PUBLIC = "public"
    SHARED = "shared"
    COMMUNITY = "community"


class ImageStatus(enum.StrEnum):
    """The states of an image; the values are those of the API and the database."""

    QUEUED = "queued"
    SAVING = "saving"
    UPLOADING = "uploading"
    IMPORTING = "importing"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    KILLED = "killed"
    PENDING_DELETE = "pending_delete"
    DELETED = "deleted"


class LocationStatus(enum.StrEnum):
    """The states of one copy of an image's data; the values are those of the database."""

    ACTIVE = "active"
    PENDING_DELETE = "pending_delete"
    DELETED = "deleted"


VISIBILITIES = tuple(Visibility)

_S = ImageStatus

#: Which states may follow a state.
TRANSITIONS: Mapping[str, frozenset[ImageStatus]] = {
    _S.QUEUED: frozenset({_S.SAVING, _S.UPLOADING, _S.IMPORTING, _S.ACTIVE, _S.DELETED}),
    _S.SAVING: frozenset({_S.ACTIVE, _S.KILLED, _S.DELETED, _S.QUEUED}),
    _S.UPLOADING: frozenset({_S.IMPORTING, _S.QUEUED, _S.DELETED}),
    _S.IMPORTING: frozenset({_S.ACTIVE, _S.DELETED, _S.QUEUED}),
    _S.ACTIVE: frozenset({_S.PENDING_DELETE, _S.DELETED, _S.DEACTIVATED}),
    _S.DEACTIVATED: frozenset({_S.ACTIVE, _S.DELETED}),
    _S.KILLED: frozenset({_S.DELETED}),
    _S.PENDING_DELETE: frozenset({_S.DELETED, _S.ACTIVE}),
    _S.DELETED: frozenset(),
}

STATUSES = tuple(ImageStatus)

#: Custom properties whose names start so belong to the service.
RESERVED_PREFIX = "os_glance"

#: What is known of an image's data only when all of it has passed.
DIGEST_FIELDS = ("checksum", "os_hash_algo", "os_hash_value")


@dataclasses.dataclass(slots=True)
class Location:
    """Where one copy of an image's data lies.

    ``url`` is the store's address of the object, ``metadata`` what the store
    said about it (``store`` names the store), ``id`` the row of a location
    that was read from the database.  ``extra`` is what else a client said about
    a new one; it is in the answer to that request and nowhere else.
    """

    url: str
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    status: str = "active"
    id: int | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def store(self) -> str | None:
        """The id of the store that holds this copy, when it is known."""
        return self.metadata.get("store")


@dataclasses.dataclass(slots=True)
class Image:
    """One image.  Sizes in bytes, ``min_disk`` in GB, ``min_ram`` in MB.

    ``caller_membership`` is the caller's project when it is a member of this image, else
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
    caller_membership: str | None = None
    grant: ClaimGrant | None = None


#: The fields that an ImageChange may set on the image row itself.
COLUMNS = frozenset(f.name for f in dataclasses.fields(Image)) - {
    "id",
    "tags",
    "properties",
    "locations",
    "caller_membership",
    "grant",
    "created_at",
    "updated_at",
    "deleted_at",
}


#: The columns that an import or an upload sets; a client cannot.
_DATA_COLUMNS = frozenset({"status", "size", "virtual_size", *DIGEST_FIELDS})

#: The columns that a client may set, in a new image or by a PATCH.
CLIENT_COLUMNS = COLUMNS - _DATA_COLUMNS


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
