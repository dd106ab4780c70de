"""The contract of drivers, for the drivers of this package and of others."""

from glance_store_py.testing.contract import DriverContract, settings

__all__ = ["DriverContract", "settings"]
