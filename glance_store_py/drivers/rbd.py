"""Objects as RBD images in one pool of a Ceph cluster.

An image is complete when it has its snapshot, and only the snapshot is read: readers never
see an incomplete object, and Nova and Cinder clone the snapshot without copying data.
While there are clones, deleting is refused.  Images in other pools are never touched.
Needs the modules rados and rbd of the distribution's Ceph packages; their objects, which
have no types, are ``Any``.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import uuid
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, unquote

from glance_store_py import driver, errors
from glance_store_py.driver import AddResult, BaseDriver, Chunk, ObjectData, ObjectInfo
from glance_store_py.driver_settings import OptionValues
from glance_store_py.drivers import rbd_transfer
from glance_store_py.drivers.deferred_delete import DeferredDeleter
from glance_store_py.drivers.rbd_cluster import CephCluster
from glance_store_py.drivers.rbd_options import SPEC, RbdSettings
from glance_store_py.location import StoreLocation

LOG = logging.getLogger(__name__)

MIB = 1024 * 1024
#: The name of the snapshot of a complete image, as in Glance.
SNAPSHOT = "snap"
#: Age in seconds from which an incomplete image without a watcher counts as abandoned.
ABANDONED_SECONDS = 60


class RbdDriver(BaseDriver):
    """Images named as they were added; URLs are ``rbd://<fsid>/<pool>/<name>/snap``."""

    spec = SPEC
    capabilities = frozenset(
        {
            driver.ADD,
            driver.DELETE,
            driver.READ,
            driver.READ_RANDOM,
            driver.EXCLUSIVE,
            driver.ATOMIC,
            driver.PREDICTABLE_LOCATION,
            driver.LIST,
            driver.REMOTE,
        }
    )

    def __init__(self, options: OptionValues, store_id: str) -> None:
        settings = RbdSettings.read(options)
        self._pool = settings.rbd_store_pool
        if not self._pool:
            raise settings.error("rbd_store_pool", "an RBD store needs a pool.")
        self._chunk = settings.rbd_store_chunk_size * MIB
        self._thin_provisioning = settings.rbd_thin_provisioning
        self._cluster = CephCluster(settings)
        self._deferred = DeferredDeleter()
        self._fsid: str | None = None
        self._update_prefixes()

    def _update_prefixes(self) -> None:
        """Set prefixes and properties, with the id of the cluster when it is known."""
        self.prefixes = (
            StoreLocation(
                "rbd", quote(self._fsid or "", safe=""), f"/{quote(self._pool, safe='')}"
            ),
            # URLs that are only a name, as the first releases wrote them.
            StoreLocation("rbd"),
        )
        self.properties = {
            "chunk_size": self._chunk,
            "pool": self._pool,
            "thin_provisioning": self._thin_provisioning,
            "fsid": self._fsid,
        }

    def configure_add(self) -> None:
        # Does not connect: a server may fork after this.
        self._fsid = self._cluster.configured_fsid()
        self._update_prefixes()

    def add(self, name: str, data: Iterable[Chunk], size: int | None) -> AddResult:
        location = self._location(name)
        self._create(name, size or 0)
        rbd_id = None
        try:
            with self._cluster.pool() as pool, _open(pool, name) as image:
                rbd_id = image.id()
                written = rbd_transfer.write(
                    image, data, size, self._chunk, self._thin_provisioning
                )
                _create_snapshot(image, SNAPSHOT)
        except BaseException:
            if rbd_id is not None:
                self._remove_failed_upload(name, rbd_id)
            raise
        return AddResult(location.url, written)

    def _create(self, name: str, size: int) -> None:
        import rbd

        order = self._chunk.bit_length() - 1
        with self._cluster.pool() as pool:
            try:
                try:
                    rbd.RBD().create(pool, name, size, order, old_format=False)
                except rbd.ImageExists:
                    if not _is_abandoned(pool, name):
                        raise
                    LOG.warning(
                        "RBD image %s/%s was left by a killed writer; it is written again",
                        self._pool,
                        name,
                    )
                    _remove(pool, name, None)
                    rbd.RBD().create(pool, name, size, order, old_format=False)
            except (rbd.ImageExists, errors.InUseByStore):
                raise errors.StoreObjectExists(name) from None

    def _remove_failed_upload(self, name: str, rbd_id: str) -> None:
        """Remove the image of this name if its internal id is ``rbd_id``.

        Later when the cluster does not answer.  An image of another writer has another id.
        """

        def remove() -> None:
            try:
                with self._cluster.pool() as pool:
                    with _open(pool, name, read_only=True) as image:
                        if image.id() != rbd_id:
                            return
                    _remove(pool, name, SNAPSHOT)
            except FileNotFoundError:
                pass
            except (TimeoutError, ConnectionError) as error:
                raise errors.RemoteServiceUnavailable() from error

        self._deferred.remove(f"The incomplete RBD image {self._pool}/{name}", remove)

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        name, snapshot = self._parse_location(location)
        image, size = self._cluster.call(lambda pool: _open_to_read(pool, name, snapshot))
        end = size if stop is None else min(stop, size)
        start = min(start, end)
        chunks = rbd_transfer.read(image, start, end)

        def close() -> None:
            chunks.close()  # Waits for reads in flight; then the image can be closed.
            image.close()

        return ObjectData(chunks, end - start, close=close)

    def size(self, location: StoreLocation) -> int:
        name, snapshot = self._parse_location(location)

        def read_size(pool: Any) -> int:
            with _open(pool, name, snapshot, read_only=True) as image:
                return int(image.size())

        return self._cluster.call(read_size)

    def delete(self, location: StoreLocation) -> None:
        name, snapshot = self._parse_location(location)
        with self._cluster.pool() as pool:
            _remove(pool, name, snapshot)

    def predict_locations(self, name: str) -> tuple[StoreLocation, ...]:
        return (self._location(name),)

    def list_objects(self) -> Iterator[ObjectInfo]:
        """All RBD images named like objects of images, incomplete ones too; others may be disks."""
        import rbd

        with self._cluster.pool() as pool:
            for name in filter(_is_image, rbd.RBD().list(pool)):
                with (
                    contextlib.suppress(rbd.ImageNotFound),
                    _open(pool, name, read_only=True) as image,
                ):
                    size, modified = image.size(), image.modify_timestamp()
                    yield ObjectInfo(
                        self._location(name).url,
                        driver.image_id_of(name),
                        size,
                        modified.replace(tzinfo=datetime.UTC).timestamp(),
                        name,
                    )

    def health_check(self) -> None:
        import rados

        with self._cluster.pool() as pool:
            try:
                pool.stat("rbd_directory")
            except rados.ObjectNotFound:
                LOG.debug("Pool %s holds no image yet", self._pool)

    def _location(self, name: str) -> StoreLocation:
        if not name or "/" in name or "@" in name:
            raise errors.StoreInvalidInput("The name of an RBD image has no slash and no @.")
        if self._fsid is None:
            self._fsid = self._cluster.fsid()
            self._update_prefixes()
        parts = (self._pool, name, SNAPSHOT)
        return StoreLocation(
            "rbd", quote(self._fsid, safe=""), "".join(f"/{quote(part, safe='')}" for part in parts)
        )

    def _parse_location(self, location: StoreLocation) -> tuple[str, str | None]:
        """The image and the snapshot that a location means.

        The id of the cluster is not compared: a copy of the cluster has another one.

        :raises errors.BadStoreUri: it is in another pool.
        """
        if not location.path:
            return unquote(location.authority), None
        pool, name, snapshot = (unquote(part) for part in location.path[1:].split("/"))
        if pool != self._pool:
            raise errors.BadStoreUri("The address does not belong to the pool of this store.")
        return name, snapshot


def _is_image(name: str) -> bool:
    """True when this is the name of an object of an image, of any upload attempt."""
    image_id = driver.image_id_of(name)
    try:
        return str(uuid.UUID(image_id)) == image_id
    except ValueError:
        return False


def _open(pool: Any, name: str, snapshot: str | None = None, read_only: bool = False) -> Any:
    import rbd

    return rbd.Image(pool, name, snapshot=snapshot, read_only=read_only)


def _open_to_read(pool: Any, name: str, snapshot: str | None) -> tuple[Any, int]:
    """An open image, and its size in bytes."""
    image = _open(pool, name, snapshot, read_only=True)
    try:
        return image, int(image.size())
    except BaseException:
        image.close()
        raise


def _create_snapshot(image: Any, snapshot: str) -> None:
    """Mark an image as complete.  Cloning needs a protected snapshot."""
    image.create_snap(snapshot)
    image.protect_snap(snapshot)


def _remove(pool: Any, name: str, snapshot: str | None) -> None:
    """Remove an image and its snapshot.

    An image that has other snapshots is moved to the trash, which keeps them.

    :raises errors.InUseByStore: it has clones or is open elsewhere; it stays as it was.
    """
    import rbd

    with _open(
        pool, name, read_only=True
    ) as image:  # Opened read-only: this does not add a watcher.
        if list(image.watchers_list()):
            raise errors.InUseByStore("The image is open elsewhere and cannot be removed.")
    with _open(pool, name) as image:
        had_snapshot = snapshot is not None and _remove_snapshot(image, snapshot)
    try:
        rbd.RBD().remove(pool, name)
    except rbd.ImageHasSnapshots:
        rbd.RBD().trash_move(pool, name, 0)
    except rbd.ImageBusy:
        if had_snapshot:
            with _open(pool, name) as image:
                _create_snapshot(image, snapshot or SNAPSHOT)
        raise errors.InUseByStore("The image is open elsewhere and cannot be removed.") from None


def _is_abandoned(pool: Any, name: str) -> bool:
    """True when an incomplete image has no watcher and is older than ABANDONED_SECONDS."""
    with _open(pool, name, read_only=True) as image:
        begun = image.create_timestamp().replace(tzinfo=datetime.UTC)
        age = datetime.datetime.now(datetime.UTC) - begun
        return (
            age.total_seconds() > ABANDONED_SECONDS
            and not list(image.watchers_list())
            and not any(found["name"] == SNAPSHOT for found in image.list_snaps())
        )


def _remove_snapshot(image: Any, snapshot: str) -> bool:
    """Remove a snapshot; False if there is none, as in an incomplete image.

    :raises errors.InUseByStore: it has clones.
    """
    import rbd

    if not any(found["name"] == snapshot for found in image.list_snaps()):
        return False
    try:
        if image.is_protected_snap(snapshot):
            image.unprotect_snap(snapshot)
    except rbd.ImageBusy:
        raise errors.InUseByStore("The image has clones and cannot be removed.") from None
    image.remove_snap(snapshot)
    return True
