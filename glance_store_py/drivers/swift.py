"""Objects in Swift, in the account of the service or in those of the projects.

This module chooses the account, the container and the URL of an image; how the image is
stored in the container is in ``swift_objects.py``.  URLs name a reference of the
configuration (``swift+config://``), so that no credentials get into the database; URLs
of old releases, which have some, are still read.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from glance_store_py import driver, errors
from glance_store_py.driver import AddResult, BaseDriver, Chunk, ObjectData, ObjectInfo, StoreCaller
from glance_store_py.driver_settings import OptionValues
from glance_store_py.drivers.remote import HttpPools
from glance_store_py.drivers.swift_accounts import (
    AccountReference,
    KeystoneAccount,
    load_references,
)
from glance_store_py.drivers.swift_client import SwiftClient
from glance_store_py.drivers.swift_objects import SegmentLayout, SwiftObjects, image_name_of
from glance_store_py.drivers.swift_options import SPEC, SwiftSettings
from glance_store_py.drivers.swift_tenants import CallerOperations
from glance_store_py.location import StoreLocation

LOG = logging.getLogger(__name__)

_COMMON_CAPABILITIES = frozenset(
    {driver.ADD, driver.DELETE, driver.READ, driver.READ_RANDOM, driver.ATOMIC, driver.REMOTE}
)
SINGLE_TENANT_CAPABILITIES = _COMMON_CAPABILITIES | {
    driver.PREDICTABLE_LOCATION,
    driver.LIST,
    driver.FIND_PARTIAL,
}
MULTI_TENANT_CAPABILITIES = _COMMON_CAPABILITIES | {driver.USER_CONTEXT, driver.ACLS}


class SwiftDriver(BaseDriver):
    """Swift; URLs are ``swift+config://reference/container/<name>``.

    With accounts of projects, or without a file of references, ``swift+https://...``.
    """

    spec = SPEC
    capabilities = _COMMON_CAPABILITIES

    def __init__(self, options: OptionValues, store_id: str) -> None:
        settings = self._settings = SwiftSettings.read(options)
        self._layout = SegmentLayout.from_settings(settings)
        self._container = settings.swift_store_container
        self._seed = settings.swift_store_multiple_containers_seed
        self._default = settings.default_swift_reference
        self._multi = settings.swift_store_multi_tenant
        self.capabilities = MULTI_TENANT_CAPABILITIES if self._multi else SINGLE_TENANT_CAPABILITIES
        self._pools = HttpPools(settings.swift_store_cacert, settings.swift_store_auth_insecure)
        if settings.swift_store_auth_insecure:
            LOG.warning(
                "Store %s does not check the certificates of Swift and Keystone: "
                "swift_store_auth_insecure is True.",
                store_id,
            )
        self._clients: dict[AccountReference, SwiftClient] = {}
        self._lock = threading.Lock()
        self._references: Mapping[str, AccountReference] = {}
        self._config_error: errors.BadStoreConfiguration | None = None
        if not self._multi:
            try:
                self._references = load_references(settings)
            except errors.BadStoreConfiguration as error:
                self._config_error = error
        self.prefixes = tuple(self._own_prefixes())
        self.properties = {
            "container": self._container,
            "large_object_size": self._layout.large_object_size,
            "large_object_chunk_size": self._layout.segment_size,
        }

    def _own_prefixes(self) -> Iterator[StoreLocation]:
        if self._multi:
            # Only the catalog of a caller tells the host.
            yield from (
                StoreLocation(scheme) for scheme in SPEC.schemes if scheme != "swift+config"
            )
            return
        for name, reference in self._references.items():
            yield StoreLocation("swift+config", name)
            yield from (StoreLocation(scheme, reference.host) for scheme in SPEC.schemes)

    def configure_add(self) -> None:
        settings = self._settings
        if self._multi:
            if settings.swift_store_config_file:
                raise settings.error(
                    "swift_store_multi_tenant",
                    "it cannot be used together with swift_store_config_file.",
                )
            return
        if self._config_error is not None:
            raise self._config_error
        reference = self._references.get(self._default)
        if reference is None:
            raise settings.error(
                "default_swift_reference",
                f"swift_store_config_file has no section {self._default}.",
            )
        missing_options = reference.missing_options()
        if missing_options is not None:
            raise settings.error(
                "swift_store_config_file", f"{self._default} needs {missing_options}."
            )
        spool = settings.swift_upload_buffer_dir
        if settings.swift_buffer_on_upload and spool and not os.access(spool, os.W_OK):
            raise settings.error("swift_upload_buffer_dir", f"{spool} cannot be written to.")

    def as_caller(self, caller: StoreCaller | None) -> driver.ObjectOperations:
        """The operations in the account of a caller's project; see UserContextDriver."""
        if caller is None or not caller.auth_token:
            raise errors.StoreForbidden("This store works with the token of a user only.")
        return CallerOperations(self._settings, self._pools, self._layout, caller)

    # ------------------------------------------------------------ in the account of the service

    def add(self, name: str, data: Iterable[Chunk], size: int | None) -> AddResult:
        client = self._client(self._reference(self._default))
        container = self._container_of(name)
        try:
            if not client.has_container(container):
                if not self._settings.swift_store_create_container_on_put:
                    raise self._settings.error(
                        "swift_store_container", f"there is no container {container}."
                    )
                client.put_container(container)
            written = SwiftObjects(client, self._layout).add(container, name, data, size)
        except errors.StoreForbidden:
            raise errors.StorageWriteDenied() from None
        return AddResult(self._location(container, name).url, written)

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        objects, container, name = self._resolve(location)
        return objects.get(container, name, start, stop)

    def size(self, location: StoreLocation) -> int:
        objects, container, name = self._resolve(location)
        return objects.size(container, name)

    def delete(self, location: StoreLocation) -> None:
        objects, container, name = self._resolve(location)
        objects.delete(container, name)

    def predict_locations(self, name: str) -> Sequence[StoreLocation]:
        if self._multi:
            return ()
        return (self._location(self._container_of(name), name),)

    def find_partial(self, name: str) -> Sequence[StoreLocation]:
        container = self._container_of(name)
        objects = SwiftObjects(self._client(self._reference(self._default)), self._layout)
        return [
            *self.predict_locations(name),
            *(
                self._location(container, prefix)
                for prefix in objects.orphaned_segments(container, name)
            ),
        ]

    def list_objects(self) -> Iterator[ObjectInfo]:
        client = self._client(self._reference(self._default))
        objects = SwiftObjects(client, self._layout)
        containers: Iterable[str] = (self._container,)
        if self._seed:
            containers = client.list_containers(f"{self._container}_")
        for container in containers:
            try:
                for name, size, modified in objects.list_images(container):
                    yield ObjectInfo(
                        self._location(container, name).url,
                        driver.image_id_of(image_name_of(name)),
                        size,
                        modified,
                        name,
                    )
            except errors.StoreObjectNotFound:
                continue  # Nothing was stored yet.

    def health_check(self) -> None:
        if not self._multi:
            self._client(self._reference(self._default)).head_account()

    def _container_of(self, name: str) -> str:
        return f"{self._container}_{name[: self._seed]}" if self._seed else self._container

    def _location(self, container: str, name: str) -> StoreLocation:
        """The location of an object: with the name of the reference, or the host of Keystone."""
        if self._settings.swift_store_config_file:
            return StoreLocation("swift+config", self._default, f"/{container}/{name}")
        address = urlsplit(self._reference(self._default).auth_address)
        scheme = "swift+http" if address.scheme == "http" else "swift+https"
        return StoreLocation(
            scheme, address.netloc, f"{address.path.rstrip('/')}/{container}/{name}"
        )

    def _resolve(self, location: StoreLocation) -> tuple[SwiftObjects, str, str]:
        """The account, container and name that a location means."""
        path, container, name = location.path.rsplit("/", 2)
        if location.scheme == "swift+config":
            reference = self._reference(location.authority)
        elif location.credentials is None:
            reference = self._reference(self._default)
        else:
            scheme = "http" if location.scheme == "swift+http" else "https"
            reference = AccountReference.from_location(
                f"{scheme}://{location.authority}{path}", location.credentials
            )
        return SwiftObjects(self._client(reference), self._layout), container, name

    def _reference(self, name: str) -> AccountReference:
        if self._config_error is not None:
            raise self._config_error
        try:
            return self._references[name]
        except KeyError:
            raise errors.BadStoreUri(f"There is no reference {name} to an account.") from None

    def _client(self, reference: AccountReference) -> SwiftClient:
        """The client of an account; the same one at each call."""
        with self._lock:
            client = self._clients.get(reference)
        if client is None:
            account = KeystoneAccount(reference, self._settings)
            client = SwiftClient(account, self._pools.get(account.url()))
            with self._lock:
                client = self._clients.setdefault(reference, client)
        return client
