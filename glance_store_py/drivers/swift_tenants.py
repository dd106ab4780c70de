"""Swift accounts of the projects: each image is stored in the account of its owner.

Every request has the token of the caller, so that Swift decides who may read an image;
its access lists follow the visibility and the members of the image.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from glance_store_py import errors
from glance_store_py.driver import AddResult, Chunk, ObjectData, StoreCaller
from glance_store_py.drivers.remote import HttpPools
from glance_store_py.drivers.swift_client import SwiftClient
from glance_store_py.drivers.swift_objects import SegmentLayout, SwiftObjects
from glance_store_py.drivers.swift_options import SwiftSettings
from glance_store_py.drivers.swift_trusts import KeystoneTrust
from glance_store_py.location import StoreLocation

LOG = logging.getLogger(__name__)

#: Readable for every project, but not without a token (OSSN-0025).
ALL_PROJECTS = "*:*"


class CallerAccount:
    """The account at ``url``, with the token of a caller; see swift_client.SwiftAccount."""

    def __init__(self, caller: StoreCaller, url: str) -> None:
        self._caller = caller
        self._url = url
        self.trust: KeystoneTrust | None = None

    def url(self) -> str:
        return self._url

    def token(self) -> str:
        if self.trust is not None:
            return self.trust.token()
        return self._caller.auth_token or ""

    def is_token_rejected(self, token: str) -> bool:
        return False


class CallerOperations:
    """The operations of a driver, and set_acls, with the token of one caller."""

    def __init__(
        self, settings: SwiftSettings, pools: HttpPools, layout: SegmentLayout, caller: StoreCaller
    ) -> None:
        self._settings = settings
        self._pools = pools
        self._layout = layout
        self._caller = caller

    def add(self, name: str, data: Iterable[Chunk], size: int | None) -> AddResult:
        account = CallerAccount(self._caller, account_url(self._settings, self._caller))
        client = SwiftClient(account, self._pools.get(account.url()))
        container = f"{self._settings.swift_store_container}_{name}"
        with self._with_trust(account, size):
            made = not client.has_container(container)
            if made:
                client.put_container(container, self._acl_headers(False, (), ()))
            try:
                written = SwiftObjects(client, self._layout).add(container, name, data, size)
            except BaseException:
                if made:
                    _remove_container(client, container)
                raise
        scheme = "swift+http" if account.url().startswith("http://") else "swift+https"
        place = account.url().partition("://")[2]
        return AddResult(f"{scheme}://{place}/{container}/{name}", written)

    @contextlib.contextmanager
    def _with_trust(self, account: CallerAccount, size: int | None) -> Iterator[None]:
        """Use a trust for a long upload, which may take longer than the token is valid."""
        if (
            not self._settings.swift_store_use_trusts
            or size is not None
            and size < self._layout.large_object_size
        ):
            yield
            return
        account.trust = KeystoneTrust.create(self._settings, self._caller)
        try:
            yield
        finally:
            if account.trust is not None:
                account.trust.delete()

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        client, container, name = self._resolve(location)
        return SwiftObjects(client, self._layout).get(container, name, start, stop)

    def size(self, location: StoreLocation) -> int:
        client, container, name = self._resolve(location)
        return SwiftObjects(client, self._layout).size(container, name)

    def delete(self, location: StoreLocation) -> None:
        client, container, name = self._resolve(location)
        objects = SwiftObjects(client, self._layout)
        try:
            objects.delete(container, name)
        finally:
            if container.endswith(f"_{name}"):  # The container is for this object only.
                _remove_orphaned_segments(objects, container, name)
                _remove_container(client, container)

    def set_acls(
        self, location: StoreLocation, public: bool, readers: Sequence[str], writers: Sequence[str]
    ) -> None:
        client, container, _ = self._resolve(location)
        client.post_container(container, self._acl_headers(public, readers, writers))

    def _acl_headers(
        self, public: bool, readers: Sequence[str], writers: Sequence[str]
    ) -> dict[str, str]:
        admins = self._settings.swift_store_admin_tenants
        read = [f"{project}:*" for project in (*readers, *admins)]
        write = [f"{project}:*" for project in (*writers, *admins)]
        return {
            "x-container-read": ALL_PROJECTS if public else ",".join(read),
            "x-container-write": ",".join(write),
        }

    def _resolve(self, location: StoreLocation) -> tuple[SwiftClient, str, str]:
        """The account, container and name that a location means.

        :raises errors.BadStoreUri: it has another host than the catalog; the token is not sent
            there.
        """
        own = urlsplit(account_url(self._settings, self._caller))
        if location.authority != own.netloc:
            raise errors.BadStoreUri("The address is not one of this object store.")
        account, container, name = location.path.rsplit("/", 2)
        url = f"{own.scheme}://{own.netloc}{account}"
        return SwiftClient(CallerAccount(self._caller, url), self._pools.get(url)), container, name


def account_url(settings: SwiftSettings, caller: StoreCaller) -> str:
    """The URL of the caller's account, from the options or the catalog.

    :raises errors.GlanceStoreError: neither has one.
    """
    if settings.swift_store_endpoint:
        return settings.swift_store_endpoint.rstrip("/")
    wanted = settings.swift_store_endpoint_type
    for service in caller.service_catalog or ():
        if service.get("type") == settings.swift_store_service_type:
            for endpoint in service.get("endpoints", ()):
                region = endpoint.get("region") or endpoint.get("region_id")
                if settings.swift_store_region not in (None, region):
                    continue
                # The format of Keystone's API v3, or the one that older middleware passes on.
                if endpoint.get("interface") == wanted.removesuffix("URL"):
                    return str(endpoint["url"]).rstrip("/")
                if wanted in endpoint:
                    return str(endpoint[wanted]).rstrip("/")
    raise errors.GlanceStoreError("The caller's catalogue has no such object store.")


def _remove_orphaned_segments(objects: SwiftObjects, container: str, name: str) -> None:
    try:
        for prefix in objects.orphaned_segments(container, name):
            objects.delete(container, prefix)
    except errors.StoreObjectNotFound:
        pass
    except errors.GlanceStoreError as error:
        LOG.warning("Segments in container %s were not removed: %s", container, error)


def _remove_container(client: SwiftClient, container: str) -> None:
    try:
        client.delete_container(container)
    except errors.StoreObjectNotFound:
        pass
    except errors.GlanceStoreError as error:
        LOG.warning("Container %s was not removed: %s", container, error)
