"""What every driver needs around it, written once.

The guard asks for abilities, counts what comes in against what was announced and
what goes out against what was promised, keeps the source's own errors apart from
the store's, gives errors of the operating system the names of ``errors.py``, and
leaves a service alone that is away.  It opens nothing itself and holds no bytes.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import errno
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from glance_store_py import driver as drivers
from glance_store_py import errors
from glance_store_py.breaker import Breaker
from glance_store_py.driver import (
    AclDriver,
    Caller,
    Driver,
    ListingDriver,
    Object,
    OnBehalfDriver,
    RemainsDriver,
    Stored,
    StoredData,
    Verbs,
)
from glance_store_py.location import Location, parse

LOG = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NOBODY_WATCHES = contextlib.nullcontext()


class Source:
    """Data on its way into a store: counted, and its failure remembered.

    When the announced ``size`` (bytes, None if unknown) turns out wrong the
    source itself fails, so that a driver has one case to clean up after.
    """

    def __init__(self, data: Iterable[bytes], size: int | None) -> None:
        self._chunks = iter(data)
        self._size = size
        self.count = 0
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            while not (chunk := next(self._chunks)):
                pass
            self.count += len(chunk)
            if self._size is not None and self.count > self._size:
                raise errors.Invalid(f"More than the announced {self._size} bytes came.")
        except StopIteration:
            if self._size is not None and self.count < self._size:
                self.failure = errors.Invalid(
                    f"{self.count} of the announced {self._size} bytes came."
                )
                raise self.failure from None
            raise
        except BaseException as error:
            self.failure = error
            raise
        return chunk


class Guard:
    """A driver that keeps its word.  Same verbs as :class:`~glance_store_py.driver.Driver`.

    ``writable`` is False for a store whose configuration keeps it from writing.
    """

    def __init__(self, driver: Driver, store_id: str, writable: bool = True) -> None:
        self.driver = driver
        self.id = store_id
        lost = frozenset() if writable else frozenset({drivers.ADD, drivers.DELETE})
        self.abilities = driver.abilities - lost
        self.breaker = Breaker(store_id) if drivers.REMOTE in driver.abilities else None

    def add(
        self,
        name: str,
        data: Iterable[bytes],
        size: int | None = None,
        caller: Caller | None = None,
    ) -> Stored:
        """Store data; see Driver.add.

        :raises errors.StoreAddDisabled: the store takes no data.
        :raises errors.Invalid: more or fewer bytes came than ``size``.
        """
        if drivers.ADD not in self.abilities:
            raise errors.StoreAddDisabled(self.id)
        source = Source(data, size)
        with (
            self._timed("add", name),
            self._named(errors.StorageWriteDenied(), errors.StorageWriteDenied()),
        ):
            acting = self._acting(caller)
            try:
                stored = acting.add(name, source, size)
            except BaseException:
                if source.failure is None:
                    raise
            else:
                self._finish(acting, source, stored)
        if source.failure is not None:
            # Raised here, outside the handler, so that it leaves as it came,
            # whatever the driver made of it.
            raise source.failure
        return stored

    def _finish(self, acting: Verbs, source: Source, stored: Stored) -> None:
        """Refuse an object for which the driver did not take the source to its end."""
        if source.failure is None:
            try:
                next(source)
                source.failure = errors.Invalid("More bytes came than the store took.")
            except StopIteration:
                if stored.size != source.count:
                    source.failure = errors.IncompleteData(stored.size, source.count)
            except BaseException:
                LOG.debug("Store %s: the source failed after %d bytes", self.id, source.count)
        if source.failure is not None:
            acting.delete(parse(stored.url))

    def get(
        self,
        location: Location,
        start: int = 0,
        stop: int | None = None,
        caller: Caller | None = None,
    ) -> StoredData:
        """Read data; see Driver.get.

        :raises errors.StoreRandomGetNotSupported: a part was asked for, and the
            store cannot give parts.
        :raises errors.IncompleteData: (while reading) the object ended early.
        """
        if start < 0 or (stop is not None and stop < start):
            raise errors.Invalid("A part of an object ends after it starts.")
        if (start or stop is not None) and drivers.RANDOM_READ not in self.abilities:
            raise errors.StoreRandomGetNotSupported(self.id)
        with self._timed("get", location.shown), self._named(errors.NotFound(location.shown)):
            data = self._acting(caller).get(location, start, stop)
        return dataclasses.replace(data, chunks=self._exactly(data))

    def _exactly(self, data: StoredData) -> Iterator[bytes]:
        left = data.length
        try:
            with self._translated():
                for chunk in data.chunks:
                    if len(chunk) > left:
                        chunk = chunk[:left]
                    left -= len(chunk)
                    if chunk:
                        yield chunk
                    if not left:
                        break
            if left:
                raise errors.IncompleteData(data.length - left, data.length)
        finally:
            data.close()

    def size(self, location: Location, caller: Caller | None = None) -> int:
        """The size of an object in bytes; see Driver.size."""
        with self._timed("size", location.shown), self._named(errors.NotFound(location.shown)):
            return self._acting(caller).size(location)

    def delete(self, location: Location, caller: Caller | None = None) -> None:
        """Remove an object; see Driver.delete.

        :raises errors.StoreDeleteNotSupported: the store does not delete.
        """
        if drivers.DELETE not in self.abilities:
            raise errors.StoreDeleteNotSupported(self.id)
        with self._timed("delete", location.shown), self._named(errors.NotFound(location.shown)):
            self._acting(caller).delete(location)

    def locations_of(self, name: str) -> Sequence[Location]:
        """Where add would put this object; empty when that cannot be known."""
        if drivers.PREDICTABLE_LOCATION not in self.abilities:
            return ()
        return self.driver.locations_of(name)

    def remains_of(self, name: str) -> Sequence[Location]:
        """Where a writer of this object may have left something."""
        if drivers.FINDS_REMAINS not in self.abilities:
            return self.locations_of(name)
        with self._named():
            return cast(RemainsDriver, self.driver).remains_of(name)

    def sweep(self) -> list[str]:
        """Remove what dead writers left; one sentence for each thing removed."""
        if drivers.SWEEP not in self.abilities:
            return []
        with self._named():
            return self.driver.sweep()

    def objects(self) -> Iterator[Object]:
        """All objects of images in the store; see ListingDriver.objects.

        :raises errors.StoreListNotSupported: the store does not tell.
        """
        if drivers.LIST not in self.abilities:
            raise errors.StoreListNotSupported(self.id)
        with self._named():
            yield from cast(ListingDriver, self.driver).objects()

    def set_acls(
        self,
        location: Location,
        public: bool,
        readers: Sequence[str],
        writers: Sequence[str] = (),
        caller: Caller | None = None,
    ) -> None:
        """Let others read an object; nothing to do for a store that has no such lists."""
        if drivers.ACLS in self.abilities:
            with self._named():
                cast(AclDriver, self._acting(caller)).set_acls(location, public, readers, writers)

    def check(self) -> None:
        """Raise a GlanceStoreError when the store is not well."""
        with self._named():
            self.driver.check()

    def _acting(self, caller: Caller | None) -> Verbs:
        """The driver, as the caller where the store goes by that."""
        if drivers.ON_BEHALF in self.abilities:
            return cast(OnBehalfDriver, self.driver).on_behalf_of(caller)
        return self.driver

    @contextlib.contextmanager
    def _timed(self, verb: str, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            LOG.debug(
                "Store %s: %s %s took %.3f s", self.id, verb, name, time.monotonic() - started
            )

    @contextlib.contextmanager
    def _named(
        self,
        missing: errors.GlanceStoreError | None = None,
        denied: errors.GlanceStoreError | None = None,
    ) -> Iterator[None]:
        """Around a call of the driver: errors by their names, and the service watched."""
        with (
            self.breaker.watching() if self.breaker else _NOBODY_WATCHES,
            self._translated(missing, denied),
        ):
            yield

    @contextlib.contextmanager
    def _translated(
        self,
        missing: errors.GlanceStoreError | None = None,
        denied: errors.GlanceStoreError | None = None,
    ) -> Iterator[None]:
        """Turn errors of the operating system into errors of the store.

        ``missing`` stands for "no such file", ``denied`` for "not permitted".
        """
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and missing is not None:
                raise missing from None
            LOG.warning("Store %s: %s: %s", self.id, type(error).__name__, error.strerror or error)
            if error.errno in _FULL:
                raise errors.StorageFull() from error
            if error.errno in _DENIED:
                raise (denied or errors.Forbidden()) from error
            if isinstance(error, (builtins.TimeoutError, ConnectionError)):
                raise errors.RemoteServiceUnavailable() from error
            raise errors.GlanceStoreError(
                f"The store failed: {error.strerror or type(error).__name__}."
            ) from error
