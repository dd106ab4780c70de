"""Images from one place to another: a server, or a directory in between.

What an image is, here, is the JSON of the Image API v2.  Nothing in this package
knows a database, a store or the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol

from glance_py.domain.image import RESERVED_PREFIX

ImageDocument = dict[str, Any]

#: Attributes that a server gives itself, or that mean something there only.
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
    """What went wrong with one image, or with all; a sentence for the operator."""


class TransferInterrupted(ReplicationError):
    """Data ended too soon; reading on from there may do."""


def validated_id(image_id: object) -> str:
    """The id of an image, which becomes part of paths and of URLs here.

    :raises ReplicationError: it is no UUID, as a server that is not to be trusted may send.
    """
    if not isinstance(image_id, str) or not _ID.fullmatch(image_id):
        raise ReplicationError(f"its id {image_id!r} is not a UUID")
    return image_id


class ImageSource(Protocol):
    """Where images come from."""

    def images(self) -> Iterator[ImageDocument]:
        """All images.

        :raises ReplicationError: they cannot be listed.
        """

    def read_data(self, image: ImageDocument, start: int) -> Iterator[bytes]:
        """The image's data from byte ``start`` on.

        :raises TransferInterrupted: it ended too soon.
        :raises ReplicationError: there is none.
        """


def has_data(image: ImageDocument) -> bool:
    """Is there data to be had?"""
    return image["status"] in ("active", "deactivated")


def copied_attributes(image: ImageDocument, excluded: frozenset[str]) -> dict[str, Any]:
    """The attributes of an image that a copy of it has, too.

    :param excluded: names that are left out.
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
    """Is the data the same, as far as hashes and sizes tell?"""
    if one.get("os_hash_value") and one.get("os_hash_algo") == other.get("os_hash_algo"):
        return one["os_hash_value"] == other.get("os_hash_value")
    if one.get("checksum") and other.get("checksum"):
        return one["checksum"] == other["checksum"]
    return one.get("size") == other.get("size")


def differences(
    one: ImageDocument, other: ImageDocument, excluded: frozenset[str]
) -> dict[str, tuple]:
    """Name to (value of ``one``, value of ``other``), of all attributes that differ."""
    mine, theirs = copied_attributes(one, excluded), copied_attributes(other, excluded)
    found = {}
    for name in sorted(mine.keys() | theirs.keys()):
        values = mine.get(name), theirs.get(name)
        if name == "tags":
            values = sorted(values[0] or ()), sorted(values[1] or ())
        if values[0] != values[1]:
            found[name] = values
    return found
