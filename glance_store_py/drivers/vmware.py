"""A clear no to VMware datastores: there is no driver for them any more.

A store of type ``vmware`` stops the start with a sentence that says what to do;
addresses ``vsphere://`` are refused where addresses are parsed.
"""

from __future__ import annotations

from typing import NoReturn

from glance_store_py import errors
from glance_store_py.config import SINGLE_SECTION, StoreOptions


class VmwareDriver:
    """Stands where the driver was, to say that it is gone."""

    schemes = ("vsphere",)
    capabilities: frozenset[str] = frozenset()

    def __new__(cls, settings: StoreOptions, store_id: str) -> NoReturn:
        """Refuse.

        :raises errors.BadStoreConfiguration: always.
        """
        single = settings.section == SINGLE_SECTION
        raise errors.BadStoreConfiguration(
            SINGLE_SECTION if single else "DEFAULT",
            "stores" if single else "enabled_backends",
            f"'{store_id}' is a store of type vmware, and there is no driver for VMware datastores "
            "any more. Copy its images to another store with the release that still had one, "
            "then take it out of the configuration.",
        )
