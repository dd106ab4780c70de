"""What a driver has to prove, for the drivers here and for those from elsewhere."""

from glance_store_py.testing.contract import DriverContract, settings

__all__ = ["DriverContract", "settings"]
