"""Objects in the memory of one process: for tests and demonstrations.

The one place that holds bytes, and therefore never a place for real images: they
are gone with the process, and other workers do not see them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from glance_store_py import driver, errors
from glance_store_py.config import Settings
from glance_store_py.driver import Stored, StoredData
from glance_store_py.location import Location

CHUNK = 1024 * 1024


class Driver:
    """A dictionary as a store; addresses are ``memory://<store id>/<name>``."""

    schemes = ("memory",)
    abilities = frozenset(
        {
            driver.ADD,
            driver.DELETE,
            driver.RANDOM_READ,
            driver.EXCLUSIVE,
            driver.ATOMIC,
            driver.PREDICTABLE_LOCATION,
        }
    )
    properties: dict[str, object] = {}

    def __init__(self, settings: Settings, store_id: str) -> None:
        self._store = store_id
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self.prefixes = (Location("memory", store_id),)

    def prepare(self) -> None:
        """Memory is always ready."""

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> Stored:
        location = self._location(name)
        whole = b"".join(data)
        with self._lock:
            if location.path in self._objects:
                raise errors.Duplicate(name)
            self._objects[location.path] = whole
        return Stored(location.url, len(whole))

    def get(self, location: Location, start: int = 0, stop: int | None = None) -> StoredData:
        part = memoryview(self._object(location))[start:stop]
        return StoredData(_chunks(part), len(part))

    def size(self, location: Location) -> int:
        return len(self._object(location))

    def delete(self, location: Location) -> None:
        if self._objects.pop(location.path, None) is None:
            raise errors.NotFound(location.shown)

    def locations_of(self, name: str) -> tuple[Location, ...]:
        return (self._location(name),)

    def sweep(self) -> list[str]:
        """Nothing outlives its writer here."""
        return []

    def check(self) -> None:
        """Memory is always well."""

    def _location(self, name: str) -> Location:
        return Location("memory", self._store, f"/{name}")

    def _object(self, location: Location) -> bytes:
        try:
            return self._objects[location.path]
        except KeyError:
            raise errors.NotFound(location.shown) from None


def _chunks(data: memoryview) -> Iterator[bytes]:
    for at in range(0, len(data), CHUNK):
        yield bytes(data[at : at + CHUNK])
