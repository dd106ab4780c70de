"""One connection to a Ceph cluster per process, created at first use.

All threads use the connection.  A child process creates its own.  A connection that the
cluster has closed, or that cannot authenticate any more because keys were replaced, is
replaced at the next call.  Errors of the cluster are raised as OSError, which the guard
translates.  Objects of the library ``rados``, which has no types, are ``Any``.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from glance_store_py import errors
from glance_store_py.drivers.rbd_options import RbdSettings
from glance_store_py.process import PerProcess

LOG = logging.getLogger(__name__)

T = TypeVar("T")

#: Errors after which a connection cannot be used again.
_DEAD_ERRNOS = frozenset(
    {errno.ESHUTDOWN, errno.ENOTCONN, errno.ETIMEDOUT, errno.EACCES, errno.EPERM}
)

#: Seconds after a failure to connect in which there is no new attempt.
RECONNECT_SECONDS = 3.0

_NO_FSID = "00000000-0000-0000-0000-000000000000"


class ClusterConnection(NamedTuple):
    """An open pool of a cluster; the library closes it when the last reference is gone."""

    cluster: Any
    pool: Any
    fsid: str


class CephCluster:
    """A pool of one cluster, as the settings of a store describe it."""

    def __init__(self, settings: RbdSettings) -> None:
        self._settings = settings
        # The connection of a parent is kept: closing it would wait for threads that do not
        # exist in a child.
        self._connection = PerProcess(self._connect)
        self._failed: tuple[float, str] | None = None

    def configured_fsid(self) -> str | None:
        """The id of the cluster if the Ceph configuration has it; does not connect.

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
        """The id of the cluster, from the cluster itself."""
        return self._connection.get().fsid

    @contextlib.contextmanager
    def pool(self) -> Iterator[Any]:
        """The pool (a rados.Ioctx), for any number of threads.

        :raises errors.RemoteServiceUnavailable: the cluster cannot be reached.
        :raises OSError: the block got an error of the cluster.
        """
        connection = self._connection.get()
        try:
            yield connection.pool
        except _ceph_errors() as error:
            number = getattr(error, "errno", None) or errno.EIO
            if number in _DEAD_ERRNOS:
                # Not closed here: other threads may be using it.
                self._connection.discard(connection)
            raise OSError(number, _describe_error(error)) from error

    def call(self, function: Callable[[Any], T]) -> T:
        """What ``function(pool)`` returns; called again when the connection was closed.

        ``function`` must be safe to repeat.
        """
        try:
            with self.pool() as pool:
                return function(pool)
        except BrokenPipeError:
            LOG.info("The cluster has closed the connection; connecting again")
        with self.pool() as pool:
            return function(pool)

    def _connect(self) -> ClusterConnection:
        if self._failed is not None and clock() - self._failed[0] < RECONNECT_SECONDS:
            raise errors.RemoteServiceUnavailable(self._failed[1])
        try:
            cluster = self._new_client()
            cluster.connect()
            pool = cluster.open_ioctx(self._settings.rbd_store_pool)
            # A full pool refuses writes and allows deletions, instead of blocking every
            # request until there is space.
            pool.set_osdmap_full_try()
            fsid = cluster.get_fsid()
        except ImportError as error:
            raise errors.RemoteServiceUnavailable(
                "The client libraries of the cluster are missing."
            ) from error
        except _ceph_errors() as error:
            LOG.error(
                "[%s] The cluster or its pool '%s' cannot be opened: %s",
                self._settings.options.section,
                self._settings.rbd_store_pool,
                _describe_error(error),
            )
            self._failed = clock(), "The cluster cannot be reached."
            raise errors.RemoteServiceUnavailable(self._failed[1]) from error
        self._failed = None
        return ClusterConnection(cluster, pool, fsid)

    def _new_client(self) -> Any:
        """A client of the cluster that has read its configuration and is not connected."""
        import rados

        client = rados.Rados(
            conffile=self._settings.rbd_store_ceph_conf,
            rados_id=self._settings.rbd_store_user,
        )
        timeout = self._settings.rados_connect_timeout
        if timeout >= 0:
            for option in ("client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"):
                client.conf_set(option, str(timeout))
        return client


def clock() -> float:
    """Seconds of a clock that never runs backwards; tests replace it."""
    return time.monotonic()


def _ceph_errors() -> tuple[type[Exception], ...]:
    import rados
    import rbd

    return rados.Error, rbd.Error


def _describe_error(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return f"{error} ({os.strerror(number)})" if number else str(error)
