"""One connection to a Ceph cluster per process, made when it is first needed.

The connection serves all threads.  It is never carried over a fork, and one that
the cluster has given up (or that cannot authenticate any more, because keys were
exchanged) is replaced at the next call.  Errors leave this room as errors of the
operating system, which the guard knows how to name.  Knows nothing of images.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from glance_store_py import errors
from glance_store_py.config import StoreOptions

LOG = logging.getLogger(__name__)

#: What a connection says that will not work again.
_DEAD_ERRNOS = frozenset(
    {errno.ESHUTDOWN, errno.ENOTCONN, errno.ETIMEDOUT, errno.EACCES, errno.EPERM}
)

#: Seconds during which a failure to connect is answered without a new attempt.
RECONNECT_SECONDS = 3.0

_NO_FSID = "00000000-0000-0000-0000-000000000000"

#: Connections of a parent process.  To close one would wait for threads that do
#: not exist here, so they are kept from being collected.
_parent_connections: list[object] = []


class ClusterConnection(NamedTuple):
    """An open pool of a cluster; it stays open as long as somebody refers to it."""

    process: int
    cluster: Any
    pool: Any
    fsid: str


class CephCluster:
    """A pool of one cluster, as the settings of a store describe it."""

    def __init__(self, settings: StoreOptions) -> None:
        self._settings = settings
        self._connection: ClusterConnection | None = None
        self._failed: tuple[float, str] | None = None
        self._lock = threading.Lock()

    def configured_fsid(self) -> str | None:
        """The id of the cluster if the Ceph configuration tells it; connects to nothing.

        :raises errors.BadStoreConfiguration: the client libraries or the
            configuration file cannot be read.
        """
        try:
            client = self._new_client()
        except ImportError as error:
            raise self._settings.error(
                "rbd_store_pool", f"the Python modules of Ceph (rados, rbd) are missing: {error}."
            ) from error
        except _ceph_errors() as error:
            raise self._settings.error("rbd_store_ceph_conf", f"{error}.") from error
        try:
            fsid = client.conf_get("fsid")
        finally:
            client.shutdown()
        return None if fsid in (None, "", _NO_FSID) else fsid

    def fsid(self) -> str:
        """The id of the cluster, asked of the cluster itself."""
        return self._current().fsid

    @contextlib.contextmanager
    def pool(self) -> Iterator[Any]:
        """The pool (a rados.Ioctx), for any number of threads.

        :raises errors.RemoteServiceUnavailable: the cluster cannot be reached.
        :raises OSError: whatever the cluster answers.
        """
        connection = self._current()
        try:
            yield connection.pool
        except _ceph_errors() as error:
            number = getattr(error, "errno", None) or errno.EIO
            if number in _DEAD_ERRNOS:
                self._drop_connection(connection)
            raise OSError(number, _describe_error(error)) from error

    def call(self, function: Callable[[Any], Any]) -> Any:
        """``function(pool)``, once more if the connection turns out to be dead.

        Only for what may be done twice.
        """
        try:
            with self.pool() as pool:
                return function(pool)
        except BrokenPipeError:
            LOG.info("The connection to the cluster was given up; connecting again")
        with self.pool() as pool:
            return function(pool)

    def _current(self) -> ClusterConnection:
        with self._lock:
            connection = self._connection
            if connection is not None and connection.process != os.getpid():
                _parent_connections.append(connection)
                connection = None
            if connection is None:
                connection = self._connection = self._connect()
            return connection

    def _drop_connection(self, connection: ClusterConnection) -> None:
        """Not closed: other threads may be using it, and the last one closes it."""
        with self._lock:
            if self._connection is connection:
                self._connection = None

    def _connect(self) -> ClusterConnection:
        if self._failed is not None and time.monotonic() - self._failed[0] < RECONNECT_SECONDS:
            raise errors.RemoteServiceUnavailable(self._failed[1])
        try:
            cluster = self._new_client()
            cluster.connect()
            pool = cluster.open_ioctx(self._settings["rbd_store_pool"])
            # A full pool refuses what makes it fuller, and lets things be removed, instead
            # of keeping every request until there is room.
            pool.set_osdmap_full_try()
            fsid = cluster.get_fsid()
        except ImportError as error:
            raise errors.RemoteServiceUnavailable(
                "The client libraries of the cluster are missing."
            ) from error
        except _ceph_errors() as error:
            LOG.error(
                "[%s] The cluster or its pool '%s' cannot be opened: %s",
                self._settings.section,
                self._settings["rbd_store_pool"],
                _describe_error(error),
            )
            self._failed = time.monotonic(), "The cluster cannot be reached."
            raise errors.RemoteServiceUnavailable(self._failed[1]) from error
        self._failed = None
        return ClusterConnection(os.getpid(), cluster, pool, fsid)

    def _new_client(self) -> Any:
        """A client of the cluster that has read its configuration and is not connected."""
        import rados

        client = rados.Rados(
            conffile=self._settings["rbd_store_ceph_conf"],
            rados_id=self._settings["rbd_store_user"],
        )
        timeout = self._settings["rados_connect_timeout"]
        if timeout >= 0:
            for option in ("client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"):
                client.conf_set(option, str(timeout))
        return client


def _ceph_errors() -> tuple[type[Exception], ...]:
    import rados
    import rbd

    return rados.Error, rbd.Error


def _describe_error(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return f"{error} ({os.strerror(number)})" if number else str(error)
