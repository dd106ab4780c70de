"""Objects in Swift, in the account of the service or in those of the projects.

Here is decided whose account an image goes to, in which container, and what its
address is; how it lies there is in ``swift_objects.py``.  Addresses name a
reference of the configuration (``swift+config://``), so that no credentials get
into the database; older ones that carry some are still read.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from glance_store_py import driver, errors
from glance_store_py.config import Settings
from glance_store_py.driver import Caller, Object, Stored, StoredData
from glance_store_py.drivers.remote import Pools
from glance_store_py.drivers.swift_accounts import KeystoneAccount, Reference, references
from glance_store_py.drivers.swift_client import Client
from glance_store_py.drivers.swift_objects import Layout, Objects, owner_of
from glance_store_py.drivers.swift_tenants import Acting
from glance_store_py.location import Location

LOG = logging.getLogger(__name__)

_COMMON = frozenset({driver.ADD, driver.DELETE, driver.RANDOM_READ, driver.ATOMIC, driver.REMOTE})
_SINGLE = _COMMON | {driver.PREDICTABLE_LOCATION, driver.LIST, driver.FINDS_REMAINS}
_MULTI = _COMMON | {driver.ON_BEHALF, driver.ACLS}


class Driver:
    """Swift; addresses are ``swift+config://reference/container/<name>``,

    or with accounts of projects the address of the object, ``swift+https://...``.
    """

    schemes = ("swift", "swift+config", "swift+http", "swift+https")
    abilities = _COMMON

    def __init__(self, settings: Settings, store_id: str) -> None:
        self._settings = settings
        self._store = store_id
        self._layout = Layout.of(settings)
        self._container = settings["swift_store_container"]
        self._seed = settings["swift_store_multiple_containers_seed"]
        self._default = settings["default_swift_reference"]
        self._multi = settings["swift_store_multi_tenant"]
        self.abilities = _MULTI if self._multi else _SINGLE
        self._pools = Pools(settings["swift_store_cacert"], settings["swift_store_auth_insecure"])
        if settings["swift_store_auth_insecure"]:
            LOG.warning(
                "Store %s does not check the certificates of Swift and Keystone: "
                "swift_store_auth_insecure is True.",
                store_id,
            )
        self._clients: dict[Reference, Client] = {}
        self._lock = threading.Lock()
        self._references: Mapping[str, Reference] = {}
        self._unreadable: errors.BadStoreConfiguration | None = None
        if not self._multi:
            try:
                self._references = references(settings)
            except errors.BadStoreConfiguration as error:
                self._unreadable = error
        self.prefixes = tuple(self._own_prefixes())
        self.properties = {
            "container": self._container,
            "large_object_size": self._layout.large,
            "large_object_chunk_size": self._layout.segment,
        }

    def _own_prefixes(self) -> Iterator[Location]:
        if self._multi:
            # Which host it is, only the catalogue of a caller says.
            yield from (Location(scheme) for scheme in self.schemes if scheme != "swift+config")
            return
        for name, reference in self._references.items():
            yield Location("swift+config", name)
            yield from (Location(scheme, reference.host) for scheme in self.schemes)

    def prepare(self) -> None:
        settings = self._settings
        if self._multi:
            if settings["swift_store_config_file"]:
                raise settings.error(
                    "swift_store_multi_tenant",
                    "it does not go together with swift_store_config_file.",
                )
            return
        if self._unreadable is not None:
            raise self._unreadable
        reference = self._references.get(self._default)
        if reference is None:
            raise settings.error(
                "default_swift_reference",
                f"swift_store_config_file has no section {self._default}.",
            )
        lacks = reference.lacks()
        if lacks is not None:
            raise settings.error("swift_store_config_file", f"{self._default} needs {lacks}.")
        spool = settings["swift_upload_buffer_dir"]
        if settings["swift_buffer_on_upload"] and spool and not os.access(spool, os.W_OK):
            raise settings.error("swift_upload_buffer_dir", f"{spool} cannot be written to.")

    def on_behalf_of(self, caller: Caller | None) -> driver.Verbs:
        """See OnBehalfDriver."""
        if caller is None or not caller.auth_token:
            raise errors.Forbidden("This store works with the token of a user only.")
        return Acting(self._settings, self._pools, self._layout, caller)

    # ------------------------------------------------------------ in the account of the service

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> Stored:
        client = self._client(self._reference(self._default))
        container = self._container_of(name)
        try:
            if not client.has_container(container):
                if not self._settings["swift_store_create_container_on_put"]:
                    raise self._settings.error(
                        "swift_store_container", f"there is no container {container}."
                    )
                client.put_container(container)
            written = Objects(client, self._layout).add(container, name, data, size)
        except errors.Forbidden:
            raise errors.StorageWriteDenied() from None
        return Stored(self._location(container, name).url, written)

    def get(self, location: Location, start: int = 0, stop: int | None = None) -> StoredData:
        objects, container, name = self._resolved(location)
        return objects.get(container, name, start, stop)

    def size(self, location: Location) -> int:
        objects, container, name = self._resolved(location)
        return objects.size(container, name)

    def delete(self, location: Location) -> None:
        objects, container, name = self._resolved(location)
        objects.delete(container, name)

    def locations_of(self, name: str) -> Sequence[Location]:
        if self._multi:
            return ()
        return (self._location(self._container_of(name), name),)

    def remains_of(self, name: str) -> Sequence[Location]:
        container = self._container_of(name)
        objects = Objects(self._client(self._reference(self._default)), self._layout)
        return [
            *self.locations_of(name),
            *(self._location(container, prefix) for prefix in objects.remains(container, name)),
        ]

    def objects(self) -> Iterator[Object]:
        client = self._client(self._reference(self._default))
        objects = Objects(client, self._layout)
        containers: Iterable[str] = (self._container,)
        if self._seed:
            containers = client.containers(f"{self._container}_")
        for container in containers:
            try:
                for name, size, modified in objects.images(container):
                    yield Object(
                        self._location(container, name).url,
                        driver.image_id_of(owner_of(name)),
                        size,
                        modified,
                        name,
                    )
            except errors.NotFound:
                continue  # Nothing was stored yet.

    def sweep(self) -> list[str]:
        """Nothing is left that is not removed with its image."""
        return []

    def check(self) -> None:
        if not self._multi:
            self._client(self._reference(self._default)).head_account()

    def _container_of(self, name: str) -> str:
        return f"{self._container}_{name[: self._seed]}" if self._seed else self._container

    def _location(self, container: str, name: str) -> Location:
        """Names the reference; without a file of references, where Keystone is."""
        if self._settings["swift_store_config_file"]:
            return Location("swift+config", self._default, f"/{container}/{name}")
        address = urlsplit(self._reference(self._default).auth_address)
        scheme = "swift+http" if address.scheme == "http" else "swift+https"
        return Location(scheme, address.netloc, f"{address.path.rstrip('/')}/{container}/{name}")

    def _resolved(self, location: Location) -> tuple[Objects, str, str]:
        """The account, container and name behind an address."""
        path, container, name = location.path.rsplit("/", 2)
        if location.scheme == "swift+config":
            reference = self._reference(location.authority)
        elif location.credentials is None:
            reference = self._reference(self._default)
        else:
            scheme = "http" if location.scheme == "swift+http" else "https"
            reference = Reference.of_location(
                f"{scheme}://{location.authority}{path}", location.credentials
            )
        return Objects(self._client(reference), self._layout), container, name

    def _reference(self, name: str) -> Reference:
        if self._unreadable is not None:
            raise self._unreadable
        try:
            return self._references[name]
        except KeyError:
            raise errors.BadStoreUri(f"There is no reference {name} to an account.") from None

    def _client(self, reference: Reference) -> Client:
        """The client of an account; made once."""
        with self._lock:
            client = self._clients.get(reference)
        if client is None:
            account = KeystoneAccount(reference, self._settings)
            client = Client(account, self._pools.of(account.url()))
            with self._lock:
                client = self._clients.setdefault(reference, client)
        return client
