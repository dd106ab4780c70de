"""Images from one place to another: a server, or a directory in between.

What an image is, here, is the JSON of the Image API v2.  Nothing in this room
knows a database, a store or the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol

Image = dict[str, Any]

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

#: Properties whose names start so are the bookkeeping of a server.
RESERVED_PREFIX = "os_glance"

_ID = re.compile("[0-9A-Fa-f]{8}(-?)[0-9A-Fa-f]{4}(?:\\1[0-9A-Fa-f]{4}){2}\\1[0-9A-Fa-f]{12}")


class Failure(Exception):
    """What went wrong with one image, or with all; a sentence for the operator."""


class Broken(Failure):
    """Data ended too soon; reading on from there may do."""


def checked_id(image_id: object) -> str:
    """The id of an image, which becomes part of paths and of URLs here.

    :raises Failure: it is no UUID, as a server that is not to be trusted may send.
    """
    if not isinstance(image_id, str) or not _ID.fullmatch(image_id):
        raise Failure(f"its id {image_id!r} is not a UUID")
    return image_id


class Source(Protocol):
    """Where images come from."""

    def images(self) -> Iterator[Image]:
        """All images.

        :raises Failure: they cannot be listed.
        """

    def data(self, image: Image, start: int) -> Iterator[bytes]:
        """The image's data from byte ``start`` on.

        :raises Broken: it ended too soon.
        :raises Failure: there is none.
        """


def has_data(image: Image) -> bool:
    """Is there data to be had?"""
    return image["status"] in ("active", "deactivated")


def content(image: Image, without: frozenset[str]) -> dict[str, Any]:
    """The attributes of an image that a copy of it has, too.

    :param without: names that are left out.
    """
    return {
        name: value
        for name, value in image.items()
        if value is not None
        and name not in READ_ONLY
        and name not in without
        and not name.startswith(RESERVED_PREFIX)
    }


def same_data(one: Image, other: Image) -> bool:
    """Is the data the same, as far as hashes and sizes tell?"""
    if one.get("os_hash_value") and one.get("os_hash_algo") == other.get("os_hash_algo"):
        return one["os_hash_value"] == other.get("os_hash_value")
    if one.get("checksum") and other.get("checksum"):
        return one["checksum"] == other["checksum"]
    return one.get("size") == other.get("size")


def differences(one: Image, other: Image, without: frozenset[str]) -> dict[str, tuple]:
    """Name to (value of ``one``, value of ``other``), of all attributes that differ."""
    mine, theirs = content(one, without), content(other, without)
    found = {}
    for name in sorted(mine.keys() | theirs.keys()):
        values = mine.get(name), theirs.get(name)
        if name == "tags":
            values = sorted(values[0] or ()), sorted(values[1] or ())
        if values[0] != values[1]:
            found[name] = values
    return found
