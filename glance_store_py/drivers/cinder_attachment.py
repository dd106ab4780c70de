"""Volumes on this host: attached through Cinder, connected by os-brick.

Readers of one volume in one process share its attachment.  The block device of a volume
is shared by all processes of the host and is disconnected with the last attachment only;
file locks serialise what the processes do with one volume.  A volume is disconnected
before its attachment is deleted.  Connectors and devices are objects of os-brick, which
has no types: ``Any``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from glance_store_py import errors
from glance_store_py.drivers.cinder_api import VolumeClient, VolumeStateConflict
from glance_store_py.drivers.cinder_device import Device, open_device
from glance_store_py.drivers.cinder_options import CinderSettings
from glance_store_py.drivers.deferred_delete import UNAVAILABLE_ERRORS
from glance_store_py.process import PerProcess

LOG = logging.getLogger(__name__)

#: Seconds before the second attempt to attach; doubled each time.
FIRST_RETRY_DELAY = 1.0

#: Types of connections without a block device that the processes of a host share.
_UNSHARED_TYPES = frozenset({"rbd", "nfs"})


@dataclasses.dataclass(slots=True)
class ConnectedVolume:
    """A volume that is connected to this host."""

    attachment: str
    connection: dict[str, Any]
    connector: Any
    device: dict[str, Any]
    #: False after it was disconnected.
    is_connected: bool = True

    @property
    def path(self) -> Any:
        """What os-brick calls its path: a string, or a file object for a volume that is RBD."""
        return self.device["path"]

    def rescan_size(self) -> None:
        """Make the new size of an extended volume known to the host."""
        self.connector.extend_volume(self.connection)


@dataclasses.dataclass(slots=True)
class _SharedAttachment:
    """A volume that is being read; ``lock`` is held while it is connected or disconnected."""

    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    readers: int = 0
    connected: ConnectedVolume | None = None


class AttachmentManager:
    """Attaches the volumes of one store to this host."""

    def __init__(self, settings: CinderSettings, volumes: VolumeClient) -> None:
        self._settings = settings
        self._volumes = volumes
        self._helper = f"sudo glance-rootwrap {settings.rootwrap_config}"
        self._attempts = settings.cinder_attachment_retry_attempts
        self._multipath = settings.cinder_use_multipath
        self._properties = PerProcess(self._read_host_properties)
        self._shared: dict[str, _SharedAttachment] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def attach_for_write(self, volume: str) -> Iterator[tuple[Device, ConnectedVolume]]:
        """Attach a volume for the block, to write; a block without an error ends with a flush."""
        connected = self._connect(volume, "rw")
        try:
            with self._accessible(connected.path), open_device(connected.path, True) as device:
                yield device, connected
        finally:
            self._disconnect(volume, connected)

    @contextlib.contextmanager
    def attach_for_read(self, volume: str) -> Iterator[Device]:
        """Attach a volume for the block, to read; readers of this process share the attachment."""
        with self._lock:
            shared = self._shared.setdefault(volume, _SharedAttachment())
            shared.readers += 1
        try:
            with shared.lock:
                if shared.connected is None:
                    shared.connected = self._connect(volume, "ro")
            with (
                self._accessible(shared.connected.path),
                open_device(shared.connected.path, False) as device,
            ):
                yield device
        finally:
            self._release_reader(volume, shared)

    def _release_reader(self, volume: str, shared: _SharedAttachment) -> None:
        with shared.lock:
            with self._lock:
                shared.readers -= 1
                last = not shared.readers
                if last:
                    del self._shared[volume]
            if last and shared.connected is not None:
                self._disconnect(volume, shared.connected)

    def _connect(self, volume: str, mode: str) -> ConnectedVolume:
        properties = self._host_properties()
        attachment = self._attach(volume, properties, mode)
        connection = attachment["connection_info"]
        kind = connection["driver_volume_type"]
        try:
            _check_connection(connection)
            connector = self._connector(kind, connection)
            with _volume_lock(volume):
                device = connector.connect_volume(connection)
        except BaseException as error:
            self._run_or_defer(
                attachment["id"], functools.partial(self._volumes.detach, attachment["id"])
            )
            if isinstance(error, Exception) and not isinstance(error, errors.GlanceStoreError):
                LOG.exception("Volume %s (%s) cannot be connected to this host", volume, kind)
                raise errors.GlanceStoreError(
                    "The volume cannot be connected to this host."
                ) from error
            raise
        connected = ConnectedVolume(attachment["id"], connection, connector, device)
        try:
            self._volumes.complete_attachment(attachment["id"])
        except BaseException:
            self._disconnect(volume, connected)
            raise
        return connected

    def _attach(self, volume: str, properties: dict[str, Any], mode: str) -> dict[str, Any]:
        """Attach a volume; try again while it is attached elsewhere.

        :raises errors.StoreObjectBusy: it stays attached elsewhere.
        """
        for attempt in range(1, self._attempts + 1):
            try:
                return self._volumes.attach(volume, properties, mode)
            except VolumeStateConflict:
                if attempt < self._attempts:
                    time.sleep(FIRST_RETRY_DELAY * 2 ** (attempt - 1))
        LOG.error("Volume %s stays attached elsewhere", volume)
        raise errors.StoreObjectBusy()

    def _disconnect(self, volume: str, connected: ConnectedVolume) -> None:
        self._run_or_defer(
            connected.attachment, functools.partial(self._disconnect_and_detach, volume, connected)
        )

    def _run_or_defer(self, attachment: str, step: Callable[[], None]) -> None:
        """Run ``step``, which ends an attachment.

        When Cinder does not answer the error is raised, and the step is repeated later.
        """
        try:
            step()
        except UNAVAILABLE_ERRORS:
            self._volumes.deferred.remove(f"Attachment {attachment}", step, immediately=False)
            raise

    def _disconnect_and_detach(self, volume: str, connected: ConnectedVolume) -> None:
        """Disconnect, then detach; neither when Cinder does not list the other attachments."""
        try:
            self._disconnect_from_host(volume, connected)
        except UNAVAILABLE_ERRORS:
            raise
        except BaseException:
            self._volumes.detach(connected.attachment)
            raise
        self._volumes.detach(connected.attachment)

    def _disconnect_from_host(self, volume: str, connected: ConnectedVolume) -> None:
        """Disconnect, unless another attachment of this host needs the connection."""
        if not connected.is_connected:
            return
        with _volume_lock(volume):
            private = connected.connection["driver_volume_type"] in _UNSHARED_TYPES
            if private or not self._is_shared_on_host(volume, connected.attachment):
                connected.connector.disconnect_volume(connected.connection, connected.device)
        connected.is_connected = False

    def _is_shared_on_host(self, volume: str, attachment: str) -> bool:
        host = self._host_properties()["host"]
        return any(
            other["id"] != attachment
            and other.get("status") == "attached"
            and (other.get("connection_info") or {}).get("attached_host", host) == host
            for other in self._volumes.attachments(volume)
        )

    @contextlib.contextmanager
    def _accessible(self, path: Any) -> Iterator[None]:
        """Give the device to the user of this service for the block, when it belongs to root."""
        if not isinstance(path, str) or os.access(path, os.R_OK | os.W_OK):
            yield
            return
        from oslo_concurrency import processutils

        owner = os.stat(path).st_uid
        for user in (os.getuid(), owner):
            processutils.execute(
                "chown", str(user), path, run_as_root=True, root_helper=self._helper
            )
            if user != owner:
                yield

    def force_detach(self, volume: str) -> None:
        """Detach a volume whose writer was killed; disconnect it if that was on this host."""
        host = self._host_properties()["host"]
        for attachment in self._volumes.attachments(volume):
            connection = attachment.get("connection_info") or {}
            kind = connection.get("driver_volume_type", "")
            if connection.get("attached_host", host) == host and kind not in {"", *_UNSHARED_TYPES}:
                with _volume_lock(volume):
                    self._connector(kind, connection).disconnect_volume(
                        connection, None, force=True, ignore_errors=True
                    )
            self._volumes.detach(attachment["id"])

    def _host_properties(self) -> dict[str, Any]:
        """The properties of this host that Cinder needs for attachments."""
        return self._properties.get()

    def _read_host_properties(self) -> dict[str, Any]:
        import socket

        from os_brick.initiator import connector

        prepare_process(self._settings)
        found: dict[str, Any] = connector.get_connector_properties(
            self._helper,
            socket.gethostname(),
            self._multipath,
            self._multipath and self._settings.cinder_enforce_multipath,
            host=socket.gethostname(),
        )
        return found

    def _connector(self, kind: str, connection: dict[str, Any]) -> Any:
        from os_brick.initiator.connector import InitiatorConnector

        if kind == "nfs":
            connection["mount_point_base"] = self._settings.cinder_mount_point_base
        return InitiatorConnector.factory(
            kind, self._helper, conn=connection, use_multipath=self._multipath
        )


def _check_connection(connection: dict[str, Any]) -> None:
    """Refuse volumes that do not return the bytes that were written to the device.

    :raises errors.GlanceStoreError: it is encrypted, or a file of another format than raw.
    """
    if connection.get("encrypted"):
        raise errors.GlanceStoreError("Encrypted volumes cannot hold images.")
    if connection.get("format") not in (None, "raw"):
        raise errors.GlanceStoreError(
            f"A volume in a file of format {connection['format']} cannot hold images."
        )


@contextlib.contextmanager
def _volume_lock(volume: str) -> Iterator[None]:
    """Hold the lock of a volume on this host while it is connected or disconnected."""
    from oslo_concurrency import lockutils

    with lockutils.lock(volume, lock_file_prefix="glance-volume-", external=True):
        yield


class _Brick:
    """Whether os-brick is set up in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_ready = False

    def prepare(self, settings: CinderSettings) -> None:
        """Set up os-brick with the settings of the first store that needs it."""
        with self._lock:
            if not self._is_ready:
                _set_up_brick(settings)
                self._is_ready = True


_BRICK = PerProcess(_Brick)


def prepare_process(settings: CinderSettings) -> None:
    """Set up os-brick and its privileged helper, once per process."""
    _BRICK.get().prepare(settings)


def _set_up_brick(settings: CinderSettings) -> None:
    """Set up os-brick and its privileged helper.

    Both read the process-wide configuration, which this service does not use
    otherwise: it gets the files that the service has read.
    """
    import os_brick
    from os_brick import privileged
    from oslo_concurrency import lockutils
    from oslo_config import cfg
    from oslo_privsep import priv_context

    try:
        cfg.CONF.config_file  # noqa: B018 (fails when nothing was read)
    except cfg.NoSuchOptError:
        cfg.CONF([], project="glance", default_config_files=list(settings.options.config_files))
    if not cfg.CONF.oslo_concurrency.lock_path:
        lockutils.set_defaults(_lock_directory())
    os_brick.setup(cfg.CONF)
    if os.geteuid() == 0:
        for context in (privileged.default, privileged.brick_privsep_hide_output):
            context.set_client_mode(False)
    else:
        priv_context.init(root_helper=["sudo", "glance-rootwrap", settings.rootwrap_config])


def _lock_directory() -> str:
    """A directory for the locks of this service on this host.

    :raises errors.BadStoreConfiguration: it belongs to another user, who could replace the
        lock files by links.
    """
    place = os.path.join(tempfile.gettempdir(), f"glance-locks-{os.getuid()}")
    os.makedirs(place, mode=0o700, exist_ok=True)
    if os.lstat(place).st_uid != os.getuid():
        raise errors.BadStoreConfiguration(
            "oslo_concurrency",
            "lock_path",
            f"it is not set, and {place} belongs to another user. Set it.",
        )
    return place
