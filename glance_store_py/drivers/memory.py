"""Objects in the memory of one process: for tests and demonstrations.

Never for real images: the objects are lost when the process ends, and other workers do
not see them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from glance_store_py import driver, errors
from glance_store_py.driver import AddResult, BaseDriver, Chunk, ObjectData
from glance_store_py.driver_settings import OptionValues
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.location import StoreLocation

#: Bytes of one chunk of a download.
CHUNK = 1024 * 1024


def _parse(scheme: str, rest: str) -> StoreLocation:
    authority, slash, key = rest.partition("/")
    if not (authority and key):
        raise errors.BadStoreUri("A memory address is memory://store/object.")
    return StoreLocation(scheme, authority, slash + key)


SPEC = DriverSpec(
    name="memory",
    schemes=("memory",),
    parse=_parse,
    import_path=f"{__name__}:MemoryDriver",
)


class MemoryDriver(BaseDriver):
    """A dictionary as a store; URLs are ``memory://<store id>/<name>``."""

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
        }
    )

    def __init__(self, options: OptionValues, store_id: str) -> None:
        self._store = store_id
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self.prefixes = (StoreLocation("memory", store_id),)

    def add(self, name: str, data: Iterable[Chunk], size: int | None) -> AddResult:
        location = self._location(name)
        whole = b"".join(data)
        with self._lock:
            if location.path in self._objects:
                raise errors.StoreObjectExists(name)
            self._objects[location.path] = whole
        return AddResult(location.url, len(whole))

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        part = memoryview(self._object(location))[start:stop]
        return ObjectData(_chunks(part), len(part))

    def size(self, location: StoreLocation) -> int:
        return len(self._object(location))

    def delete(self, location: StoreLocation) -> None:
        if self._objects.pop(location.path, None) is None:
            raise errors.StoreObjectNotFound(location.redacted)

    def predict_locations(self, name: str) -> tuple[StoreLocation, ...]:
        return (self._location(name),)

    def _location(self, name: str) -> StoreLocation:
        return StoreLocation("memory", self._store, f"/{name}")

    def _object(self, location: StoreLocation) -> bytes:
        try:
            return self._objects[location.path]
        except KeyError:
            raise errors.StoreObjectNotFound(location.redacted) from None


def _chunks(data: memoryview) -> Iterator[bytes]:
    for at in range(0, len(data), CHUNK):
        yield bytes(data[at : at + CHUNK])
