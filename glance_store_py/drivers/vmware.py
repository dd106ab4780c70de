"""Refuses VMware datastores: there is no driver for them any more.

A store of type ``vmware`` stops the start with a message that says what to do;
``vsphere://`` URLs are refused when they are parsed.
"""

from __future__ import annotations

from typing import NoReturn

from glance_store_py import errors
from glance_store_py.config import SINGLE_SECTION
from glance_store_py.driver import BaseDriver
from glance_store_py.driver_settings import OptionValues
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.location import StoreLocation


def _parse(scheme: str, rest: str) -> StoreLocation:
    raise errors.BadStoreUri("There is no driver for VMware datastores (vsphere://) any more.")


SPEC = DriverSpec(
    name="vmware",
    schemes=("vsphere",),
    parse=_parse,
    import_path=f"{__name__}:VmwareDriver",
    aliases=("vsphere", "glance.store.vmware_datastore.Store"),
)


class VmwareDriver(BaseDriver):
    """A driver that cannot be built."""

    spec = SPEC

    def __new__(cls, options: OptionValues, store_id: str) -> NoReturn:
        """Refuse the store.

        :raises errors.BadStoreConfiguration: always.
        """
        single = options.section == SINGLE_SECTION
        raise errors.BadStoreConfiguration(
            SINGLE_SECTION if single else "DEFAULT",
            "stores" if single else "enabled_backends",
            f"'{store_id}' is a store of type vmware, and there is no driver for VMware datastores "
            "any more. Copy its images to another store with the release that still had one, "
            "then take it out of the configuration.",
        )
