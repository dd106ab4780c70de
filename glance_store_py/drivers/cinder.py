"""Objects as volumes of Cinder, all of them in one project.

A volume is made, attached to this host, written, and marked read-only; its
metadata says how many of its bytes are the image.  Cinder may refuse to remove a
volume.  Needs os-brick and keystoneauth1, and where the volumes are not RBD or
NFS the rights of root.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import logging
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from glance_store_py import driver
from glance_store_py.config import SINGLE_SECTION, Settings
from glance_store_py.driver import Caller, Stored, StoredData
from glance_store_py.drivers.cinder_api import Volumes
from glance_store_py.drivers.cinder_attachment import Host
from glance_store_py.drivers.later import UNABLE
from glance_store_py.drivers.rbd_transfer import pieces
from glance_store_py.location import Location

LOG = logging.getLogger(__name__)

GIB = 1024**3

#: Metadata of volumes that are being written; the value is of one upload alone.
UNFINISHED = "glance_unfinished"


class Driver:
    """Volumes named ``image-<name>``; addresses are ``cinder://<store id>/<volume id>``."""

    schemes = ("cinder",)
    abilities = frozenset(
        {
            driver.ADD,
            driver.DELETE,
            driver.RANDOM_READ,
            driver.ON_BEHALF,
            driver.FINDS_REMAINS,
            driver.REMOTE,
        }
    )

    def __init__(self, settings: Settings, store_id: str) -> None:
        self._settings = settings
        self._volumes = Volumes(settings)
        self._host = Host(settings, self._volumes)
        self._online = settings["cinder_do_extend_attached"]
        self._owner: str | None = None
        #: With one store only, and in old databases, an address names no store.
        self._name = "" if settings.section == SINGLE_SECTION else store_id
        self.prefixes = tuple(Location("cinder", name) for name in {self._name, ""})
        self.properties = {
            "volume_type": settings["cinder_volume_type"],
            "use_multipath": settings["cinder_use_multipath"],
        }

    def prepare(self) -> None:
        self._volumes.check_settings()
        # Imported now, in the main thread: os-brick brings eventlet, and a thread that is the
        # first to import eventlet can never be joined, so that the process would not end.
        for module in ("os_brick.initiator.connector", "keystoneauth1"):
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise self._settings.error(
                    "cinder_store_auth_address",
                    f"a Cinder store needs the Python package {module.partition('.')[0]}.",
                ) from error

    def on_behalf_of(self, caller: Caller | None) -> Driver:
        """The driver that tells Cinder whose image it is: that project may clone the volume."""
        acting = copy.copy(self)
        acting._owner = caller.project_id if caller is not None else None
        return acting

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> Stored:
        gib = max(1, -(-(size or 0) // GIB))
        # The volume has the name of the attempt; for Cinder and its users it is the image's.
        metadata = {"glance_image_id": driver.image_id_of(name)}
        if self._owner:
            metadata["image_owner"] = self._owner
        mark = {UNFINISHED: uuid.uuid4().hex}
        volume = None
        try:
            volume = self._volumes.create(_volume_name(name), gib, {**metadata, **mark})
            self._volumes.wait(volume, {"available"})
            written = self._write(volume, data, gib)
            self._volumes.finish(volume, {**metadata, "image_size": str(written)})
        except BaseException as error:
            unable = isinstance(error, UNABLE)
            if volume or unable:  # Else Cinder has refused, and made nothing.
                self._volumes.later.remove(
                    f"What may be left of volume {_volume_name(name)}",
                    functools.partial(self._abandon, volume, mark),
                    at_once=not unable,
                )
            raise
        return Stored(self._location(volume).url, written)

    def _abandon(self, volume: str | None, mark: dict[str, str]) -> None:
        """Remove the volume of an upload that failed; of which Cinder may not have told the id."""
        for each in [volume] if volume else [found["id"] for found in self._volumes.find(mark)]:
            self._host.abandon(each)
            self._volumes.delete(each, wait=False)

    def _write(self, volume: str, data: Iterable[bytes], gib: int) -> int:
        """Write to a volume of ``gib`` GiB that grows as it must; the number of bytes."""
        source, offset = pieces(data), 0
        piece = next(source, b"")
        while piece:
            with self._host.writing(volume) as (device, connected):
                while piece and (offset + len(piece) <= gib * GIB or self._online):
                    if offset + len(piece) > gib * GIB:
                        gib = self._extend(volume, gib, offset + len(piece), "in-use")
                        connected.extended()
                    device.write(piece, offset)
                    offset += len(piece)
                    piece = next(source, b"")
            if piece:
                gib = self._extend(volume, gib, offset + len(piece), "available")
        return offset

    def _extend(self, volume: str, gib: int, needed: int, status: str) -> int:
        """Make room for ``needed`` bytes, and an eighth more; the new size in GiB."""
        gib = max(gib + max(1, gib // 8), -(-needed // GIB))
        self._volumes.extend(volume, gib, status)
        return gib

    def get(self, location: Location, start: int = 0, stop: int | None = None) -> StoredData:
        volume = _volume(location)
        size = _size(self._volumes.show(volume))
        end = size if stop is None else min(stop, size)
        start = min(start, end)
        if start == end:
            return StoredData(iter(()), 0)
        stack = contextlib.ExitStack()
        device = stack.enter_context(self._host.reading(volume))
        return StoredData(
            self._last_detached(volume, device.read(start, end), end - start, stack),
            end - start,
            close=stack.close,
        )

    @staticmethod
    def _last_detached(
        volume: str, data: Iterable[bytes], size: int, attached: contextlib.ExitStack
    ) -> Iterator[bytes]:
        """``data``; before its last piece goes out the volume is let go of.

        Whoever has all of an image may remove it at once.
        """
        for piece in data:
            size -= len(piece)
            if not size:
                try:
                    attached.close()
                except Exception:
                    LOG.exception("Volume %s was read, but could not be let go of", volume)
            yield piece

    def size(self, location: Location) -> int:
        return _size(self._volumes.show(_volume(location)))

    def delete(self, location: Location) -> None:
        volume = _volume(location)
        if UNFINISHED in self._volumes.show(volume)["metadata"]:
            self._host.abandon(volume)
        self._volumes.delete(volume)

    def locations_of(self, name: str) -> tuple[Location, ...]:
        """Cinder chooses the id of a volume."""
        return ()

    def remains_of(self, name: str) -> list[Location]:
        found = self._volumes.find({"glance_image_id": driver.image_id_of(name)})
        return [
            self._location(volume["id"])
            for volume in found
            if UNFINISHED in volume["metadata"] and volume["name"] == _volume_name(name)
        ]

    def sweep(self) -> list[str]:
        """Whether the writer of a volume is alive is not known here; see remains_of."""
        return []

    def check(self) -> None:
        self._volumes.ping()

    def _location(self, volume: str) -> Location:
        return (
            Location("cinder", self._name, f"/{volume}")
            if self._name
            else Location("cinder", volume)
        )


def _volume_name(name: str) -> str:
    return f"image-{name}"


def _volume(location: Location) -> str:
    return location.path[1:] or location.authority


def _size(volume: dict[str, Any]) -> int:
    """Bytes of the image in a volume; all of it when its metadata does not say."""
    text = volume.get("metadata", {}).get("image_size", "")
    return int(text) if text.isascii() and text.isdigit() else volume["size"] * GIB
