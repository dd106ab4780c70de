"""Objects as volumes of Cinder, all in one project.

A volume is created, attached to this host, written, and marked read-only; its metadata
has the size of the image in bytes.  Cinder may refuse to remove a volume.  Needs os-brick
and keystoneauth1, and commands run as root (``rootwrap.py``) where the volumes are not RBD
or NFS.
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
from glance_store_py.config import SINGLE_SECTION
from glance_store_py.driver import AddResult, BaseDriver, Chunk, ObjectData, StoreCaller
from glance_store_py.driver_settings import OptionValues
from glance_store_py.drivers.cinder_api import VolumeClient
from glance_store_py.drivers.cinder_attachment import AttachmentManager
from glance_store_py.drivers.cinder_options import SPEC, CinderSettings
from glance_store_py.drivers.deferred_delete import UNAVAILABLE_ERRORS
from glance_store_py.drivers.rbd_transfer import join_small_chunks
from glance_store_py.location import StoreLocation

LOG = logging.getLogger(__name__)

GIB = 1024**3

#: Metadata of volumes that are being written; the value is unique for each upload.
UNFINISHED_KEY = "glance_unfinished"


class CinderDriver(BaseDriver):
    """Volumes named ``image-<name>``; URLs are ``cinder://<store id>/<volume id>``."""

    spec = SPEC
    capabilities = frozenset(
        {
            driver.ADD,
            driver.DELETE,
            driver.READ,
            driver.READ_RANDOM,
            driver.USER_CONTEXT,
            driver.FIND_PARTIAL,
            driver.REMOTE,
        }
    )

    def __init__(self, options: OptionValues, store_id: str) -> None:
        settings = self._settings = CinderSettings.read(options)
        self._volumes = VolumeClient(settings)
        self._attachments = AttachmentManager(settings, self._volumes)
        self._extends_attached = settings.cinder_do_extend_attached
        self._owner: str | None = None
        #: With one store only, and in old databases, a URL names no store.
        self._name = "" if options.section == SINGLE_SECTION else store_id
        self.prefixes = tuple(StoreLocation("cinder", name) for name in {self._name, ""})
        self.properties = {
            "volume_type": settings.cinder_volume_type,
            "use_multipath": settings.cinder_use_multipath,
        }

    def configure_add(self) -> None:
        self._volumes.check_settings()
        # Imported now, in the main thread: os-brick imports eventlet, and a thread that is the
        # first to import eventlet can never be joined, so that the process would not end.
        for module in ("os_brick.initiator.connector", "keystoneauth1"):
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise self._settings.error(
                    "cinder_store_auth_address",
                    f"a Cinder store needs the Python package {module.partition('.')[0]}.",
                ) from error

    def as_caller(self, caller: StoreCaller | None) -> CinderDriver:
        """A driver that records the caller's project in new volumes: it may clone them."""
        bound_driver = copy.copy(self)
        bound_driver._owner = caller.project_id if caller is not None else None
        return bound_driver

    def add(self, name: str, data: Iterable[Chunk], size: int | None) -> AddResult:
        gib = max(1, -(-(size or 0) // GIB))
        # The name is that of the upload attempt; Cinder and its users look at the image id.
        metadata = {"glance_image_id": driver.image_id_of(name)}
        if self._owner:
            metadata["image_owner"] = self._owner
        writer_mark = {UNFINISHED_KEY: uuid.uuid4().hex}
        volume = None
        try:
            volume = self._volumes.create(_volume_name(name), gib, {**metadata, **writer_mark})
            self._volumes.wait(volume, {"available"})
            written = self._write(volume, data, gib)
            self._volumes.mark_complete(volume, {**metadata, "image_size": str(written)})
        except BaseException as error:
            is_unavailable = isinstance(error, UNAVAILABLE_ERRORS)
            if volume or is_unavailable:  # Otherwise Cinder has refused to create a volume.
                self._volumes.deferred.remove(
                    f"The incomplete volume {_volume_name(name)}",
                    functools.partial(self._remove_failed_upload, volume, writer_mark),
                    immediately=not is_unavailable,
                )
            raise
        return AddResult(self._location(volume).url, written)

    def _remove_failed_upload(self, volume: str | None, writer_mark: dict[str, str]) -> None:
        """Remove the volume of a failed upload; found by its mark when its id is not known."""
        for each in (
            [volume]
            if volume
            else [found["id"] for found in self._volumes.find_by_metadata(writer_mark)]
        ):
            self._attachments.force_detach(each)
            self._volumes.delete(each, wait=False)

    def _write(self, volume: str, data: Iterable[Chunk], gib: int) -> int:
        """Write to a volume of ``gib`` GiB, which is extended as needed; returns the bytes."""
        source, offset = join_small_chunks(data), 0
        piece = next(source, b"")
        while piece:
            with self._attachments.attach_for_write(volume) as (device, connected):
                while piece and (offset + len(piece) <= gib * GIB or self._extends_attached):
                    if offset + len(piece) > gib * GIB:
                        gib = self._extend(volume, gib, offset + len(piece), "in-use")
                        connected.rescan_size()
                    device.write(piece, offset)
                    offset += len(piece)
                    piece = next(source, b"")
            if piece:
                gib = self._extend(volume, gib, offset + len(piece), "available")
        return offset

    def _extend(self, volume: str, gib: int, needed: int, status: str) -> int:
        """Extend a volume to ``needed`` bytes, by an eighth at least; returns its size in GiB."""
        gib = max(gib + max(1, gib // 8), -(-needed // GIB))
        self._volumes.extend(volume, gib, status)
        return gib

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        volume = _volume_id(location)
        size = _image_size(self._volumes.show(volume))
        end = size if stop is None else min(stop, size)
        start = min(start, end)
        if start == end:
            return ObjectData(iter(()), 0)
        stack = contextlib.ExitStack()
        device = stack.enter_context(self._attachments.attach_for_read(volume))
        return ObjectData(
            self._detach_before_last_chunk(volume, device.read(start, end), end - start, stack),
            end - start,
            close=stack.close,
        )

    @staticmethod
    def _detach_before_last_chunk(
        volume: str, data: Iterable[bytes], size: int, attachment: contextlib.ExitStack
    ) -> Iterator[bytes]:
        """``data``; the volume is detached before the last piece is given out.

        A client that has all of an image may delete it at once.
        """
        for piece in data:
            size -= len(piece)
            if not size:
                try:
                    attachment.close()
                except Exception:
                    LOG.exception("Volume %s was read, but could not be detached", volume)
            yield piece

    def size(self, location: StoreLocation) -> int:
        return _image_size(self._volumes.show(_volume_id(location)))

    def delete(self, location: StoreLocation) -> None:
        volume = _volume_id(location)
        if UNFINISHED_KEY in self._volumes.show(volume)["metadata"]:
            self._attachments.force_detach(volume)
        self._volumes.delete(volume)

    def find_partial(self, name: str) -> list[StoreLocation]:
        found = self._volumes.find_by_metadata({"glance_image_id": driver.image_id_of(name)})
        return [
            self._location(volume["id"])
            for volume in found
            if UNFINISHED_KEY in volume["metadata"] and volume["name"] == _volume_name(name)
        ]

    def health_check(self) -> None:
        self._volumes.ping()

    def _location(self, volume: str) -> StoreLocation:
        return (
            StoreLocation("cinder", self._name, f"/{volume}")
            if self._name
            else StoreLocation("cinder", volume)
        )


def _volume_name(name: str) -> str:
    return f"image-{name}"


def _volume_id(location: StoreLocation) -> str:
    return location.path[1:] or location.authority


def _image_size(volume: dict[str, Any]) -> int:
    """Bytes of the image in a volume; the size of the volume when its metadata has no size."""
    text = volume.get("metadata", {}).get("image_size", "")
    return int(text) if text.isascii() and text.isdigit() else int(volume["size"]) * GIB
