"""May the client name this address?

An address that a client names could lead to other data (OSSN-0090), to a file
of this host (OSSA-2014-041) or into the network of the service.  This layer
judges it, asks its store how large the data is and says to the inner layers what
it found; it reads data only to compare it with a hash that is known.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from oslo_log import log as logging

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange, without_data
from glance_py.domain.image import Image, ImageStatus, Location
from glance_py.domain.ports import ImageOperations, PendingRepository
from glance_py.domain.registration import Registration
from glance_py.layers.base import ImageLayer
from glance_py.layers.data_deletion import DataDeleter
from glance_py.layers.quota import check_locations
from glance_py.safe_http import UriFilter
from glance_store_py import errors as store_errors
from glance_store_py.location import redacted
from glance_store_py.stores import Stores

if TYPE_CHECKING:
    from glance_py.dependencies import Dependencies

LOG = logging.getLogger(__name__)

#: Schemes that name files, or references to credentials, of the service itself.
FORBIDDEN_SCHEMES = frozenset({"file", "filesystem", "swift+config"})

#: Schemes that only services may name: a caller that knows the id of a volume could read it.
SERVICE_ONLY_SCHEMES = frozenset({"cinder"})

INVALID_LOCATION = "Invalid location"


def is_service(ctx: Caller) -> bool:
    """Does the caller act for another service?"""
    return "service" in ctx.roles or "service" in (ctx.service_roles or ())


def url_policy(uri_filter: UriFilter) -> Callable[[str, bool], Sequence[str]]:
    """Where a store on the web may connect to: the filter in the words of the store library."""

    def policy(url: str, redirected: bool) -> Sequence[str]:
        try:
            return uri_filter.check(url, skip_lists=not redirected).addresses
        except errors.Invalid as exc:
            raise store_errors.BadStoreUri(str(exc)) from exc

    return policy


class LocationValidator:
    """Judges addresses for one configuration; safe in threads."""

    def __init__(self, stores: Stores, uri_filter: UriFilter, pending: PendingRepository) -> None:
        self._stores = stores
        self._filter = uri_filter
        self._deleter = DataDeleter(stores, pending)

    def check_scheme(self, ctx: Caller, url: str) -> str:
        """The scheme of ``url``, which the caller may name.

        :raises errors.Invalid: it may not.
        """
        scheme = url.partition("://")[0].lower()
        if scheme in FORBIDDEN_SCHEMES or (
            scheme in SERVICE_ONLY_SCHEMES and not (ctx.is_admin or is_service(ctx))
        ):
            raise errors.Invalid(f"{INVALID_LOCATION}: addresses of this kind are not accepted.")
        return scheme

    def check_url(self, url: str) -> None:
        """Ask the operator's filter about an address of the web.

        :raises errors.Invalid: it objects.
        """
        if url.partition("://")[0].lower() in ("http", "https"):
            self._filter.check(url)

    def validate(self, ctx: Caller, image_id: str, location: Location) -> tuple[Location, int]:
        """The location as it is recorded, and the size of the data there in bytes.

        :raises errors.Invalid: the address cannot be used, with the reason.
        """
        url = location.url
        scheme = self.check_scheme(ctx, url)
        self.check_url(url)
        store = self._stores.store_for_url(url)
        if store is None:
            raise errors.Invalid(f"{INVALID_LOCATION}: no store of this service holds it.")
        if scheme not in ("http", "https"):
            self._deleter.require_unused(image_id, url)
        try:
            size = self._stores.size(url, store, ctx)
        except store_errors.GlanceStoreError as exc:
            LOG.info("Image %s: %s was refused as a location: %s", image_id, redacted(url), exc)
            raise errors.Invalid(f"{INVALID_LOCATION}: the data cannot be read.") from exc
        if size <= 0:
            raise errors.Invalid(
                f"{INVALID_LOCATION}: the store does not say how much data is there."
            )
        return self.with_store(location, store), size

    def with_store(self, location: Location, store: str | None = None) -> Location:
        """The location with its store in its metadata, which clients cannot choose."""
        _check_metadata(location.metadata)
        if not self._stores.multi:
            return location
        store = store or self._stores.store_for_url(location.url) or location.store
        return dataclasses.replace(location, metadata={**location.metadata, "store": store})

    def digest(self, ctx: Caller, location: Location, algorithm: str) -> str:
        """The hash of the data at a location, in hexadecimal.

        :raises errors.Invalid: the data cannot be read.
        """
        digest = hashlib.new(algorithm, usedforsecurity=False)
        try:
            data = self._stores.get(location.url, location.store, caller=ctx)
            try:
                for chunk in data.chunks:
                    digest.update(chunk)
            finally:
                data.close()
        except store_errors.GlanceStoreError as exc:
            raise errors.Invalid(f"{INVALID_LOCATION}: the data cannot be read.") from exc
        return digest.hexdigest()


class LocationValidationProxy(ImageLayer):
    """Locations that clients add, change and remove."""

    def __init__(
        self,
        inner: ImageOperations,
        validator: LocationValidator,
        compare_hashes: bool,
        quota: int,
        has_http_store: bool,
    ) -> None:
        super().__init__(inner)
        self._validator = validator
        self._compare_hashes = compare_hashes
        self._quota = quota
        self._has_http_store = has_http_store

    @classmethod
    def build(cls, inner: ImageOperations, deps: Dependencies) -> ImageOperations:
        return cls(
            inner,
            LocationValidator(deps.stores, deps.uri_filter, deps.repositories.pending),
            deps.settings.data.do_secure_hash,
            deps.settings.quota.image_location_quota,
            any(store.type == "http" for store in deps.stores.describe()),
        )

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        if change.add_locations or change.update_locations or change.remove_locations:
            change = self._validated(ctx, image, change)
        return self.inner.update(ctx, image, change)

    def add_location(self, ctx: Caller, image: Image, registration: Registration) -> None:
        """Users may register data on the web, services data in any store."""
        if image.status != "queued":
            raise errors.Conflict(f"The image is {image.status}, not queued.")
        is_http = registration.url.partition("://")[0].lower() in ("http", "https")
        if not is_service(ctx) and not (is_http and self._has_http_store):
            raise errors.Forbidden("Only services may register data that is not on the web.")
        _check_digest(registration)
        self._validator.check_scheme(ctx, registration.url)
        self._validator.check_url(registration.url)
        self.inner.add_location(ctx, image, registration)

    def _validated(self, ctx: Caller, image: Image, change: ImageChange) -> ImageChange:
        """The same change with what was found out about its addresses."""
        if any(location.id is None for location in change.remove_locations):
            raise errors.Invalid("Invalid position for removing a location.")
        if change.expected is None:
            change = change.evolve(expected=frozenset({image.status}))
        if change.update_locations:
            change = change.evolve(
                update_locations=tuple(map(self._validator.with_store, change.update_locations))
            )
        if not change.add_locations:
            return change
        is_queued = image.status == ImageStatus.QUEUED
        if is_queued:
            change = change.evolve(
                fields={**without_data(image), **change.fields},
                remove_locations=(*change.remove_locations, *image.locations),
            )
        # Before a store is asked about each of them.
        check_locations(image, change, self._quota)
        found = [
            self._validator.validate(ctx, image.id, location) for location in change.add_locations
        ]
        change = change.evolve(add_locations=tuple(location for location, _ in found))
        self._require_unknown(image, change)
        size = found[0][1] if is_queued else image.size
        if any(other != size for _, other in found):
            raise errors.Invalid(f"{INVALID_LOCATION}: the data there has another size.")
        if is_queued:
            fields = {**change.fields, "status": ImageStatus.ACTIVE, "size": size}
            return change.evolve(fields=fields)
        if image.os_hash_value and self._compare_hashes:
            self._require_same_data(ctx, image, change)
        return change

    def _require_unknown(self, image: Image, change: ImageChange) -> None:
        """Clients do not know the store's part of the metadata, so compare with it."""
        gone = {location.id for location in change.remove_locations}
        known: dict[str, list[Any]] = {}
        for location in image.locations:
            if location.id not in gone:
                known.setdefault(location.url, []).append(location.metadata)
        for location in change.add_locations:
            if location.metadata in known.setdefault(location.url, []):
                raise errors.Invalid("The image has this location already.")
            known[location.url].append(location.metadata)

    def _require_same_data(self, ctx: Caller, image: Image, change: ImageChange) -> None:
        """Another copy must be a copy: the data of an image never changes (OSSN-0065)."""
        present = {_without_fragment(location) for location in image.locations}
        for location in change.add_locations:
            if _without_fragment(location) in present:
                continue
            found = self._validator.digest(ctx, location, str(image.os_hash_algo))
            if found != image.os_hash_value:
                raise errors.Invalid(
                    f"{INVALID_LOCATION}: the data there is not the data of the image."
                )


def _without_fragment(location: Location) -> str:
    """The address of the data itself: a fragment is never sent to a server (RFC 3986, 3.5)."""
    return location.url.partition("#")[0]


def _check_digest(registration: Registration) -> None:
    if registration.algorithm is None or registration.value is None:
        return
    digest = hashlib.new(registration.algorithm, usedforsecurity=False)
    if not re.fullmatch(f"[0-9a-f]{{{digest.digest_size * 2}}}", registration.value):
        raise errors.Invalid(
            f"os_hash_value must be the {registration.algorithm} of the data in hexadecimal."
        )


def _check_metadata(value: object, depth: int = 8) -> None:
    """Metadata of a location: texts, lists and objects of them."""
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    else:
        inner = []
        if not isinstance(value, str):
            raise errors.Invalid("Metadata of a location holds texts, lists and objects only.")
    if inner and not depth:
        raise errors.Invalid("Metadata of a location is nested too deeply.")
    for each in inner:
        _check_metadata(each, depth - 1)
