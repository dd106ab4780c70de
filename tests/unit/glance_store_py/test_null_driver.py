"""A store that keeps nothing is a driver of one class, and passes the contract of drivers."""

from __future__ import annotations

import unittest
from collections.abc import Iterable

from glance_store_py import driver, errors
from glance_store_py.driver import AddResult, BaseDriver, ObjectData
from glance_store_py.driver_settings import OptionValues
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.location import StoreLocation
from glance_store_py.testing import DriverContract, settings


def parse_null_url(scheme: str, rest: str) -> StoreLocation:
    store_id, slash, key = rest.partition("/")
    return StoreLocation(scheme, store_id, slash + key)


SPEC = DriverSpec(
    name="null",
    schemes=("null",),
    parse=parse_null_url,
    import_path=f"{__name__}:NullDriver",
)


class NullDriver(BaseDriver):
    """Counts the bytes of an object and discards them."""

    spec = SPEC
    capabilities = frozenset({driver.ADD, driver.DELETE})

    def __init__(self, options: OptionValues, store_id: str) -> None:
        self._store = store_id
        self.prefixes = (StoreLocation("null", store_id),)

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> AddResult:
        return AddResult(f"null://{self._store}/{name}", sum(map(len, data)))

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        raise errors.StoreGetNotSupported(self._store)

    def size(self, location: StoreLocation) -> int:
        raise errors.StoreGetNotSupported(self._store)

    def delete(self, location: StoreLocation) -> None:
        """There is nothing to remove."""


class TestNullDriver(DriverContract, unittest.TestCase):
    capabilities = NullDriver.capabilities

    def make_driver(self) -> NullDriver:
        return NullDriver(settings(), "contract")

    def test_defaults_of_drivers(self) -> None:
        made = self.store.driver
        self.assertEqual((("null",), {}), (made.schemes, dict(made.properties)))
        self.assertEqual(((), []), (made.predict_locations("id"), made.cleanup()))


if __name__ == "__main__":
    unittest.main()
