"""May the client name this address?

An address that a client names could lead to other data (OSSN-0090), to a file
of this host (OSSA-2014-041) or into the network of the service.  This layer
judges it, asks its store how large the data is and says to the rooms below what
it found; it reads data only to compare it with a hash that is known.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from oslo_log import log as logging

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import Change
from glance_py.domain.image import Image, Location
from glance_py.domain.ports import IMAGE_VERBS
from glance_py.domain.registration import Registration
from glance_py.layers.base import Proxy
from glance_py.layers.quota import check_locations
from glance_py.layers.removal import Removal
from glance_store_py import errors as store_errors
from glance_store_py.location import redacted

LOG = logging.getLogger(__name__)

#: Schemes that name files, or references to credentials, of the service itself.
FORBIDDEN = frozenset({"file", "filesystem", "swift+config"})

#: Schemes that only services may name: whoever knows a volume's id could read it.
SERVICES_ONLY = frozenset({"cinder"})

INVALID = "Invalid location"


def is_service(ctx: Caller) -> bool:
    """Does the caller act for another service?"""
    return "service" in ctx.roles or "service" in (ctx.service_roles or ())


def store_judge(uri_filter) -> Callable[[str, bool], Sequence[str]]:
    """Where a store on the web may connect to: the filter in the words of the store library."""

    def judge(url: str, redirected: bool) -> Sequence[str]:
        try:
            return uri_filter.check(url, known=not redirected).addresses
        except errors.Invalid as exc:
            raise store_errors.BadStoreUri(str(exc)) from exc

    return judge


class Addresses:
    """Judges addresses for one configuration; safe in threads."""

    def __init__(self, services) -> None:
        self._stores = services.stores
        self._filter = services.uri_filter
        self._removal = Removal(services.stores, services.records.pending)

    def check_scheme(self, ctx: Caller, url: str) -> str:
        """The scheme of ``url``, which the caller may name.

        :raises errors.Invalid: it may not.
        """
        scheme = url.partition("://")[0].lower()
        if scheme in FORBIDDEN or (
            scheme in SERVICES_ONLY and not (ctx.is_admin or is_service(ctx))
        ):
            raise errors.Invalid(f"{INVALID}: addresses of this kind are not accepted.")
        return scheme

    def check_filter(self, url: str) -> None:
        """Ask the operator's filter about an address of the web.

        :raises errors.Invalid: it objects.
        """
        if url.partition("://")[0].lower() in ("http", "https"):
            self._filter.check(url)

    def examine(self, ctx: Caller, image_id: str, location: Location) -> tuple[Location, int]:
        """The location as it is recorded, and the size of the data there in bytes.

        :raises errors.Invalid: the address cannot be used, with the reason.
        """
        url = location.url
        scheme = self.check_scheme(ctx, url)
        self.check_filter(url)
        store = self._stores.store_of(url)
        if store is None:
            raise errors.Invalid(f"{INVALID}: no store of this service holds it.")
        if scheme not in ("http", "https"):
            self._removal.require_free(image_id, url)
        try:
            size = self._stores.size(url, store, ctx)
        except store_errors.GlanceStoreError as exc:
            LOG.info("Image %s: %s was refused as a location: %s", image_id, redacted(url), exc)
            raise errors.Invalid(f"{INVALID}: the data cannot be read.") from exc
        if size <= 0:
            raise errors.Invalid(f"{INVALID}: the store does not say how much data is there.")
        return self.placed(location, store), size

    def placed(self, location: Location, store: str | None = None) -> Location:
        """The location with its store in its metadata, which clients cannot choose."""
        _check_metadata(location.metadata)
        if not self._stores.multi:
            return location
        store = store or self._stores.store_of(location.url) or location.store
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
            raise errors.Invalid(f"{INVALID}: the data cannot be read.") from exc
        return digest.hexdigest()


class AddressProxy(Proxy):
    """Locations that clients add, change and remove."""

    verbs = IMAGE_VERBS

    def __init__(self, below, services) -> None:
        super().__init__(below)
        self._addresses = Addresses(services)
        self._secure = services.conf.do_secure_hash
        self._quota = services.conf.image_location_quota
        self._has_web = any(store.type == "http" for store in services.stores.describe())

    def update(self, ctx: Caller, image: Image, change: Change) -> Image:
        if change.add_locations or change.update_locations or change.remove_locations:
            change = self._judged(ctx, image, change)
        return self.below.update(ctx, image, change)

    def register(self, ctx: Caller, image: Image, registration: Registration) -> None:
        """Users may register data on the web, services data in any store."""
        if image.status != "queued":
            raise errors.Conflict(f"The image is {image.status}, not queued.")
        on_the_web = registration.url.partition("://")[0].lower() in ("http", "https")
        if not is_service(ctx) and not (on_the_web and self._has_web):
            raise errors.Forbidden("Only services may register data that is not on the web.")
        _check_digest(registration)
        self._addresses.check_scheme(ctx, registration.url)
        self._addresses.check_filter(registration.url)
        self.below.register(ctx, image, registration)

    def _judged(self, ctx: Caller, image: Image, change: Change) -> Change:
        """The same change with what was found out about its addresses."""
        if any(location.id is None for location in change.remove_locations):
            raise errors.Invalid("Invalid position for removing a location.")
        if change.expected is None:
            change = dataclasses.replace(change, expected=frozenset({image.status}))
        change.update_locations = tuple(map(self._addresses.placed, change.update_locations))
        if not change.add_locations:
            return change
        if image.status == "queued":
            change.start_over(image)
        # Before a store is asked about each of them.
        check_locations(image, change, self._quota)
        found = [
            self._addresses.examine(ctx, image.id, location) for location in change.add_locations
        ]
        change.add_locations = tuple(location for location, _ in found)
        self._require_new(image, change)
        size = found[0][1] if image.status == "queued" else image.size
        if any(other != size for _, other in found):
            raise errors.Invalid(f"{INVALID}: the data there has another size.")
        if image.status == "queued":
            change.fields.update(status="active", size=size)
        elif image.os_hash_value and self._secure:
            self._require_same(ctx, image, change)
        return change

    def _require_new(self, image: Image, change: Change) -> None:
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

    def _require_same(self, ctx: Caller, image: Image, change: Change) -> None:
        """Another copy must be a copy: the data of an image never changes (OSSN-0065)."""
        present = {_object(location) for location in image.locations}
        for location in change.add_locations:
            if _object(location) in present:
                continue
            found = self._addresses.digest(ctx, location, str(image.os_hash_algo))
            if found != image.os_hash_value:
                raise errors.Invalid(f"{INVALID}: the data there is not the data of the image.")


def _object(location: Location) -> str:
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
