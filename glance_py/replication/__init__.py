"""Copies images between Image services, or between a service and a directory.

An image is the JSON document of the Image API v2.  This package depends on no other of the service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

from glance_py.domain.image import RESERVED_PREFIX

#: An image as the Image API v2 shows it (``GET /v2/images/{image_id}``).
ImageDocument: TypeAlias = dict[str, Any]

#: The values of an attribute on the first and on the second side, None without one.
Difference: TypeAlias = tuple[Any, Any]

#: Attributes that a server sets itself, or that are valid on one server only.
READ_ONLY = frozenset(
    {
        "id",
        "status",
        "size",
        "virtual_size",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "created_at",
        "updated_at",
        "deleted_at",
        "deleted",
        "direct_url",
        "locations",
        "stores",
        "self",
        "file",
        "schema",
    }
)

_ID = re.compile("[0-9A-Fa-f]{8}(-?)[0-9A-Fa-f]{4}(?:\\1[0-9A-Fa-f]{4}){2}\\1[0-9A-Fa-f]{12}")


class ReplicationError(Exception):
    """An image, or all of them, could not be copied; the message is printed."""


class TransferInterrupted(ReplicationError):
    """The data ended too early; a read from that position may succeed."""


def validated_id(image_id: object) -> str:
    """The id of an image, checked because it becomes part of paths and URLs.

    :raises ReplicationError: it is not a UUID; a server may send any text.
    """
    if not isinstance(image_id, str) or not _ID.fullmatch(image_id):
        raise ReplicationError(f"its id {image_id!r} is not a UUID")
    return image_id


class ImageSource(Protocol):
    """What images are copied from: a server or a directory."""

    def images(self) -> Iterator[ImageDocument]:
        """Yields all images.

        :raises ReplicationError: they cannot be listed.
        """

    def read_data(self, image: ImageDocument, start: int) -> Iterator[bytes]:
        """Yields the image's data from byte ``start`` on, in chunks.

        :raises TransferInterrupted: it ended too early.
        :raises ReplicationError: the image has no data.
        """


def has_data(image: ImageDocument) -> bool:
    """True when the data of the image can be downloaded, at least by an administrator."""
    return image["status"] in ("active", "deactivated")


def copied_attributes(image: ImageDocument, excluded: frozenset[str]) -> dict[str, Any]:
    """The attributes of an image that are copied, without those that are None.

    :param excluded: names of attributes that are not copied.
    """
    return {
        name: value
        for name, value in image.items()
        if value is not None
        and name not in READ_ONLY
        and name not in excluded
        and not name.startswith(RESERVED_PREFIX)
    }


def has_same_data(one: ImageDocument, other: ImageDocument) -> bool:
    """True when both have the same hash; without hashes to compare, the same size."""
    if one.get("os_hash_value") and one.get("os_hash_algo") == other.get("os_hash_algo"):
        return bool(one["os_hash_value"] == other.get("os_hash_value"))
    if one.get("checksum") and other.get("checksum"):
        return bool(one["checksum"] == other["checksum"])
    return one.get("size") == other.get("size")


def differences(
    one: ImageDocument, other: ImageDocument, excluded: frozenset[str]
) -> dict[str, Difference]:
    """Name -> values, of all copied attributes that differ."""
    mine, theirs = copied_attributes(one, excluded), copied_attributes(other, excluded)
    found: dict[str, Difference] = {}
    for name in sorted(mine.keys() | theirs.keys()):
        values = mine.get(name), theirs.get(name)
        if name == "tags":
            values = sorted(values[0] or ()), sorted(values[1] or ())
        if values[0] != values[1]:
            found[name] = values
    return found
