"""The checks that are the same for every driver.

The guard refuses operations that a driver has no capability for, compares the bytes that
come in with the announced size and the bytes that go out with the promised length, keeps
errors of the source apart from errors of the store, translates errors of the operating
system to those of ``errors.py``, and does not call a remote service that does not
answer.  It opens nothing itself and buffers no data.
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
from glance_store_py.breaker import CircuitBreaker
from glance_store_py.driver import (
    AclDriver,
    AddResult,
    Chunk,
    Driver,
    FindPartialDriver,
    ListingDriver,
    ObjectData,
    ObjectInfo,
    ObjectOperations,
    StoreCaller,
    UserContextDriver,
)
from glance_store_py.location import StoreLocation, parse

LOG = logging.getLogger(__name__)

_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_DENIED_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_BREAKER = contextlib.nullcontext()

#: Failures in a row after which a remote service is not called, and for how many seconds.
BREAKER_FAILURES = 5
BREAKER_SECONDS = 10.0
#: Errors that mean that the service does not answer.  A service that is full answers, and
#: must still be read from.
UNREACHABLE_ERRORS = (errors.RemoteServiceUnavailable, errors.StoreTimeout)


class CheckedSource:
    """Data on its way into a store; counts the bytes and keeps the error of the source.

    When the announced ``size`` (bytes, None if unknown) turns out wrong, iterating
    raises, too: a driver has one kind of failure to clean up after.
    """

    def __init__(self, data: Iterable[Chunk], size: int | None) -> None:
        self._chunks = iter(data)
        self._size = size
        self.count = 0
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        try:
            while not (chunk := next(self._chunks)):
                pass
            self.count += len(chunk)
            if self._size is not None and self.count > self._size:
                raise errors.StoreInvalidInput(f"More than the announced {self._size} bytes came.")
        except StopIteration:
            if self._size is not None and self.count < self._size:
                self.failure = errors.StoreInvalidInput(
                    f"{self.count} of the announced {self._size} bytes came."
                )
                raise self.failure from None
            raise
        except BaseException as error:
            self.failure = error
            raise
        return chunk


class GuardedDriver:
    """A driver with its checks.  Same operations as :class:`~glance_store_py.driver.Driver`.

    ``writable`` is False for a store that cannot write because of its configuration.
    """

    def __init__(self, driver: Driver, store_id: str, writable: bool = True) -> None:
        self.driver = driver
        self.id = store_id
        disabled = frozenset() if writable else frozenset({drivers.ADD, drivers.DELETE})
        self.capabilities = driver.capabilities - disabled
        self.breaker = _new_breaker(store_id) if drivers.REMOTE in driver.capabilities else None

    def add(
        self,
        name: str,
        data: Iterable[Chunk],
        size: int | None = None,
        caller: StoreCaller | None = None,
    ) -> AddResult:
        """Store data; see Driver.add.

        :raises errors.StoreAddDisabled: the store takes no data.
        :raises errors.StoreInvalidInput: more or fewer bytes came than ``size``.
        """
        if drivers.ADD not in self.capabilities:
            raise errors.StoreAddDisabled(self.id)
        source = CheckedSource(data, size)
        with (
            self._log_duration("add", name),
            self._translate_errors(errors.StorageWriteDenied(), errors.StorageWriteDenied()),
        ):
            operations = self._operations_for(caller)
            try:
                stored = operations.add(name, source, size)
            except BaseException:
                if source.failure is None:
                    raise
            else:
                self._require_exhausted(operations, source, stored)
        if source.failure is not None:
            # Raised outside the handler: without a context, and not what the driver
            # translated it to.
            raise source.failure
        return stored

    def _require_exhausted(
        self, operations: ObjectOperations, source: CheckedSource, stored: AddResult
    ) -> None:
        """Remove an object for which the driver did not read the source to its end."""
        if source.failure is None:
            try:
                next(source)
                source.failure = errors.StoreInvalidInput("More bytes came than the store took.")
            except StopIteration:
                if stored.size != source.count:
                    source.failure = errors.IncompleteData(stored.size, source.count)
            except BaseException:
                LOG.debug("Store %s: the source failed after %d bytes", self.id, source.count)
        if source.failure is not None:
            operations.delete(parse(stored.url))

    def get(
        self,
        location: StoreLocation,
        start: int = 0,
        stop: int | None = None,
        caller: StoreCaller | None = None,
    ) -> ObjectData:
        """Read data; see Driver.get.

        :raises errors.StoreGetNotSupported: the store gives no data out.
        :raises errors.StoreRandomGetNotSupported: a part was asked for, and the
            store cannot read parts.
        :raises errors.IncompleteData: (while reading) the object ended early.
        """
        self._require_read()
        if start < 0 or (stop is not None and stop < start):
            raise errors.StoreInvalidInput("A part of an object ends after it starts.")
        if (start or stop is not None) and drivers.READ_RANDOM not in self.capabilities:
            raise errors.StoreRandomGetNotSupported(self.id)
        with (
            self._log_duration("get", location.redacted),
            self._translate_errors(errors.StoreObjectNotFound(location.redacted)),
        ):
            data = self._operations_for(caller).get(location, start, stop)
        return dataclasses.replace(data, chunks=self._exact_chunks(data))

    def _exact_chunks(self, data: ObjectData) -> Iterator[bytes]:
        remaining = data.length
        try:
            with self._translate_os_errors():
                for chunk in data.chunks:
                    if len(chunk) > remaining:
                        chunk = chunk[:remaining]
                    remaining -= len(chunk)
                    if chunk:
                        yield chunk
                    if not remaining:
                        break
            if remaining:
                raise errors.IncompleteData(data.length - remaining, data.length)
        finally:
            data.close()

    def size(self, location: StoreLocation, caller: StoreCaller | None = None) -> int:
        """The size of an object in bytes; see Driver.size.

        :raises errors.StoreGetNotSupported: the store does not know.
        """
        self._require_read()
        with (
            self._log_duration("size", location.redacted),
            self._translate_errors(errors.StoreObjectNotFound(location.redacted)),
        ):
            return self._operations_for(caller).size(location)

    def delete(self, location: StoreLocation, caller: StoreCaller | None = None) -> None:
        """Remove an object; see Driver.delete.

        :raises errors.StoreDeleteNotSupported: the store does not delete.
        """
        if drivers.DELETE not in self.capabilities:
            raise errors.StoreDeleteNotSupported(self.id)
        with (
            self._log_duration("delete", location.redacted),
            self._translate_errors(errors.StoreObjectNotFound(location.redacted)),
        ):
            self._operations_for(caller).delete(location)

    def predict_locations(self, name: str) -> Sequence[StoreLocation]:
        """Where add would put this object; empty when the driver does not know."""
        if drivers.PREDICTABLE_LOCATION not in self.capabilities:
            return ()
        return self.driver.predict_locations(name)

    def find_partial(self, name: str) -> Sequence[StoreLocation]:
        """Where unfinished uploads of this object may be."""
        if drivers.FIND_PARTIAL not in self.capabilities:
            return self.predict_locations(name)
        with self._translate_errors():
            return cast(FindPartialDriver, self.driver).find_partial(name)

    def cleanup(self) -> list[str]:
        """Remove what killed writers left; one sentence for each thing removed."""
        if drivers.CLEANUP not in self.capabilities:
            return []
        with self._translate_errors():
            return self.driver.cleanup()

    def list_objects(self) -> Iterator[ObjectInfo]:
        """All objects of images in the store; see ListingDriver.list_objects.

        :raises errors.StoreListNotSupported: the store cannot list them.
        """
        if drivers.LIST not in self.capabilities:
            raise errors.StoreListNotSupported(self.id)
        with self._translate_errors():
            yield from cast(ListingDriver, self.driver).list_objects()

    def set_acls(
        self,
        location: StoreLocation,
        public: bool,
        readers: Sequence[str],
        writers: Sequence[str] = (),
        caller: StoreCaller | None = None,
    ) -> None:
        """Let projects read an object; does nothing in a store without access lists."""
        if drivers.ACLS in self.capabilities:
            with self._translate_errors():
                cast(AclDriver, self._operations_for(caller)).set_acls(
                    location, public, readers, writers
                )

    def health_check(self) -> None:
        """Check at low cost that the store can be used.

        :raises errors.GlanceStoreError: it cannot.
        """
        with self._translate_errors():
            self.driver.health_check()

    def _operations_for(self, caller: StoreCaller | None) -> ObjectOperations:
        """The operations of the driver, with the caller's credentials where it uses those."""
        if drivers.USER_CONTEXT in self.capabilities:
            return cast(UserContextDriver, self.driver).as_caller(caller)
        return self.driver

    def _require_read(self) -> None:
        if drivers.READ not in self.capabilities:
            raise errors.StoreGetNotSupported(self.id)

    @contextlib.contextmanager
    def _log_duration(self, operation: str, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            LOG.debug(
                "Store %s: %s %s took %.3f s", self.id, operation, name, time.monotonic() - started
            )

    @contextlib.contextmanager
    def _translate_errors(
        self,
        not_found_error: errors.GlanceStoreError | None = None,
        denied_error: errors.GlanceStoreError | None = None,
    ) -> Iterator[None]:
        """Around a call of the driver: translate its errors and count them in the breaker."""
        with (
            self.breaker.watch() if self.breaker else _NO_BREAKER,
            self._translate_os_errors(not_found_error, denied_error),
        ):
            yield

    @contextlib.contextmanager
    def _translate_os_errors(
        self,
        not_found_error: errors.GlanceStoreError | None = None,
        denied_error: errors.GlanceStoreError | None = None,
    ) -> Iterator[None]:
        """Turn errors of the operating system into errors of the store.

        ``not_found_error`` stands for "no such file", ``denied_error`` for "not permitted".
        """
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not_found_error is not None:
                raise not_found_error from None
            LOG.warning("Store %s: %s: %s", self.id, type(error).__name__, error.strerror or error)
            if error.errno in _FULL_ERRNOS:
                raise errors.StorageFull() from error
            if error.errno in _DENIED_ERRNOS:
                raise (denied_error or errors.StoreForbidden()) from error
            if isinstance(error, (builtins.TimeoutError, ConnectionError)):
                raise errors.RemoteServiceUnavailable() from error
            raise errors.GlanceStoreError(
                f"The store failed: {error.strerror or type(error).__name__}."
            ) from error


def _new_breaker(store_id: str) -> CircuitBreaker:
    return CircuitBreaker(
        no_answer=UNREACHABLE_ERRORS,
        # Other exceptions come from the source of the data, and say nothing of the service.
        answers=(errors.GlanceStoreError,),
        failures=BREAKER_FAILURES,
        seconds=BREAKER_SECONDS,
        open_error=errors.RemoteServiceUnavailable,
        name=f"Store {store_id}",
    )
