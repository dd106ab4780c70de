"""The stores of one service, by id: the entry point of this package.

One model for one store or several.  Which store a URL belongs to is decided here, so
that a driver only sees locations of its own; which operations a store allows is decided
by its guard.  Nothing changes after it was built: any number of threads may use it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from oslo_config import cfg

from glance_store_py import config, errors, loading
from glance_store_py import driver as drivers
from glance_store_py.driver import (
    AddResult,
    Chunk,
    ObjectData,
    ObjectInfo,
    StoreCaller,
    StoreUrlPolicy,
    UrlPolicyDriver,
)
from glance_store_py.guard import GuardedDriver
from glance_store_py.location import StoreLocation, parse

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Store:
    """A named store: a guarded driver, and the options that every store has.

    A ``reserved`` store is for the service itself: it is never listed, and only used
    where the service names it.
    """

    id: str
    type: str
    guard: GuardedDriver
    description: str | None = None
    weight: int = 0
    reserved: bool = False

    def match_depth(self, location: StoreLocation) -> int:
        """The components of the longest prefix of this store that matches; -1 when none does."""
        return max(map(location.match_depth, self.guard.driver.prefixes), default=-1)


@dataclasses.dataclass(frozen=True, slots=True)
class StoreInfo:
    """A store as store discovery describes it; ``properties`` are for administrators."""

    id: str
    type: str
    description: str | None
    default: bool
    read_only: bool
    weight: int
    properties: Mapping[str, object]


class Stores:
    """Named stores.

    ``ids`` are the ids that users may see, in the order of the configuration;
    ``default`` is one of them; ``multi`` is True when users choose among them;
    then the metadata of an object names its store.
    """

    def __init__(self, stores: Iterable[Store], default: str, multi: bool = True) -> None:
        self._stores = {store.id: store for store in stores}
        self.ids = tuple(store.id for store in self._stores.values() if not store.reserved)
        self.multi = multi
        self.default = default
        if default not in self.ids:
            raise errors.UnknownScheme(default)

    @classmethod
    def from_config(
        cls, conf: cfg.ConfigOpts, reserved: Sequence[str] = config.RESERVED_STORES
    ) -> Stores:
        """Build all stores that ``conf`` names, and the ``reserved`` ones.

        A store that cannot write because of its configuration is built, too: it refuses
        to add.

        :raises errors.BadStoreConfiguration: a store cannot be built at all, or
            the default is not one of them.
        """
        config.register_opts(conf)
        multi = bool("enabled_backends" in conf and conf.enabled_backends)
        if multi:
            default, specs = loading.load_multi(conf, reserved)
        else:
            default, specs = loading.load_single(conf, reserved)
        return cls([_build_store(spec) for spec in specs], default, multi)

    def add(
        self,
        store_id: str | None,
        name: str,
        data: Iterable[Chunk],
        size: int | None = None,
        reserved: bool = False,
        caller: StoreCaller | None = None,
    ) -> AddResult:
        """Store ``data`` for an image, in the default store when ``store_id`` is None.

        ``name`` is the id of the image for its first upload attempt, and
        ``<image id>.<N>`` for attempt N: two attempts never share an object.
        ``size`` is the announced number of bytes, None when unknown.  A reserved
        store accepts data only with ``reserved``.  ``caller``, here and below, is for
        stores that use the caller's credentials.

        :raises errors.UnknownScheme: there is no such store.
        :raises errors.StoreAddDisabled: the store takes no data.
        :raises errors.StoreInvalidInput: more or fewer bytes came than announced.
        :raises errors.StoreObjectExists: the store has an object of this name already.
        """
        store = self._get_store(self.default if store_id is None else store_id)
        if store.reserved and not reserved:
            raise errors.UnknownScheme(store.id)
        stored = store.guard.add(name, data, size, caller)
        if not self.multi:
            return stored
        return dataclasses.replace(stored, metadata={**stored.metadata, "store": store.id})

    def get(
        self,
        url: str,
        store_id: str | None = None,
        start: int = 0,
        stop: int | None = None,
        caller: StoreCaller | None = None,
    ) -> ObjectData:
        """The bytes of an object from ``start`` up to ``stop`` (None: its end).

        :raises errors.UnknownScheme: there is no such store.
        :raises errors.BadStoreUri: the URL does not belong to the store.
        :raises errors.StoreObjectNotFound: the store has no such object.
        """
        store, location = self._resolve(url, store_id)
        return store.guard.get(location, start, stop, caller)

    def size(self, url: str, store_id: str | None = None, caller: StoreCaller | None = None) -> int:
        """The size of an object in bytes.  Errors as for :meth:`get`."""
        store, location = self._resolve(url, store_id)
        return store.guard.size(location, caller)

    def delete(
        self, url: str, store_id: str | None = None, caller: StoreCaller | None = None
    ) -> None:
        """Remove an object.  Errors as for :meth:`get`, and those of GuardedDriver.delete."""
        store, location = self._resolve(url, store_id)
        store.guard.delete(location, caller)

    def set_acls(
        self,
        url: str,
        store_id: str | None,
        public: bool,
        readers: Sequence[str],
        caller: StoreCaller | None = None,
    ) -> None:
        """Let the projects ``readers``, or all projects, read an object.  Errors as for get.

        Does nothing in stores without access lists.
        """
        store, location = self._resolve(url, store_id)
        store.guard.set_acls(location, public, readers, caller=caller)

    @property
    def has_acl_stores(self) -> bool:
        """True when a store has access lists of its own."""
        return any(drivers.ACLS in store.guard.capabilities for store in self._stores.values())

    def list_objects(self, store_id: str) -> Iterator[ObjectInfo]:
        """All objects of images in a store.

        :raises errors.StoreListNotSupported: the store cannot list them.
        """
        return self._get_store(store_id).guard.list_objects()

    def weight(self, store_id: str | None) -> int:
        """The weight of a store; 0 for one that is not configured, so that sorting never fails."""
        store = self._stores.get(store_id) if store_id is not None else None
        return store.weight if store is not None else 0

    def describe(self) -> list[StoreInfo]:
        """The stores that users may see, in the order of the configuration."""
        return [self._store_info(self._stores[store_id]) for store_id in self.ids]

    def _store_info(self, store: Store) -> StoreInfo:
        driver = store.guard.driver
        return StoreInfo(
            id=store.id,
            type=store.type,
            description=store.description,
            default=store.id == self.default,
            read_only=drivers.ADD not in driver.capabilities,
            weight=store.weight,
            properties=driver.properties,
        )

    def store_for_url(self, url: str) -> str | None:
        """The id of the store that a URL belongs to, None when there is none.

        Whole components of the path are compared; reserved stores do not count.
        """
        try:
            store = self._owning_store(parse(url))
        except (errors.BadStoreUri, errors.UnknownScheme):
            return None
        return store.id if store is not None and not store.reserved else None

    def predict_url(self, store_id: str, name: str) -> str | None:
        """The URL under which a store would keep an object ``name``, when it can be known."""
        locations = self._get_store(store_id).guard.predict_locations(name)
        return locations[0].url if locations else None

    def cleanup(self) -> list[str]:
        """Remove what killed writers left in any store; one sentence for each removal."""
        lines = []
        for store in self._stores.values():
            try:
                lines += store.guard.cleanup()
            except errors.GlanceStoreError as error:
                LOG.warning("Store %s could not be cleaned up: %s", store.id, error)
        return lines

    def delete_attempt(
        self, name: str, store_id: str | None = None, strict: bool = False
    ) -> list[str]:
        """Remove what :meth:`add` stored, or would have stored, under ``name``.

        In one store, or (None) in all, reserved ones included; skips stores that
        cannot find objects by name.  Objects of other attempts of the image stay.

        :param strict: raise the first error, after everything was tried.
        :returns: the URLs of the objects that were removed.
        """
        stores = self._stores.values() if store_id is None else (self._get_store(store_id),)
        removed: list[str] = []
        failures: list[errors.GlanceStoreError] = []
        for store in stores:
            if drivers.DELETE in store.guard.capabilities:
                self._delete_attempt_in(name, store, removed, failures)
        if strict and failures:
            raise failures[0]
        return removed

    def _delete_attempt_in(
        self, name: str, store: Store, removed: list[str], failures: list[errors.GlanceStoreError]
    ) -> None:
        locations: Sequence[StoreLocation] = ()
        with self._collect_failures(name, store, failures):
            locations = store.guard.find_partial(name)
        for location in locations:
            with self._collect_failures(name, store, failures):
                store.guard.delete(location)
                removed.append(location.url)

    @contextlib.contextmanager
    def _collect_failures(
        self, name: str, store: Store, failures: list[errors.GlanceStoreError]
    ) -> Iterator[None]:
        """Log and collect errors of the block, so that the other locations are tried, too."""
        try:
            yield
        except errors.StoreObjectNotFound:
            LOG.debug("Store %s has nothing of %s", store.id, name)
        except errors.GlanceStoreError as error:
            LOG.warning("Store %s could not delete %s: %s", store.id, name, error)
            failures.append(error)

    def set_url_policy(self, url_policy: StoreUrlPolicy) -> None:
        """Let ``url_policy`` decide which servers the http stores connect to."""
        for store in self._stores.values():
            if isinstance(store.guard.driver, UrlPolicyDriver):
                store.guard.driver.url_policy = url_policy

    def health_check(self, store_id: str) -> None:
        """Check at low cost that a store can be used.

        :raises errors.GlanceStoreError: it cannot.
        """
        self._get_store(store_id).guard.health_check()

    def _get_store(self, store_id: str) -> Store:
        try:
            return self._stores[store_id]
        except KeyError:
            raise errors.UnknownScheme(store_id) from None

    def _owning_store(self, location: StoreLocation) -> Store | None:
        """The store with the longest prefix that matches a location."""
        depth, store = -1, None
        for candidate in self._stores.values():
            found = candidate.match_depth(location)
            if found > depth:
                depth, store = found, candidate
        return store

    def _resolve(self, url: str, store_id: str | None) -> tuple[Store, StoreLocation]:
        """The store and the location of a URL; a store may only use locations of its own."""
        location = parse(url)
        owner = self._owning_store(location)
        if store_id is None or not self.multi and store_id not in self._stores:
            if owner is None or owner.reserved:
                raise errors.BadStoreUri("The address belongs to no store.")
            return owner, location
        store = self._get_store(store_id)
        if location.scheme not in store.guard.driver.schemes:
            raise errors.UnknownScheme(location.scheme)
        # Two stores may have the same prefix; a longer prefix of a third store is not theirs.
        if owner is None or store.match_depth(location) < owner.match_depth(location):
            raise errors.BadStoreUri(f"The address does not belong to store {store_id}.")
        return store, location


def _build_store(spec: loading.StoreSpec) -> Store:
    driver = spec.driver(spec.options, spec.id)
    writable = True
    if drivers.ADD in driver.capabilities:
        try:
            driver.configure_add()
        except errors.BadStoreConfiguration as error:
            LOG.error("Store %s will not accept data: %s", spec.id, error)
            writable = False
    return Store(
        spec.id,
        spec.type,
        GuardedDriver(driver, spec.id, writable),
        spec.description,
        spec.weight,
        spec.reserved,
    )
