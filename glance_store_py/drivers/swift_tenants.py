"""Swift accounts of the projects themselves: each image in its owner's account.

Everything is done with the token of the one who asks, so that Swift judges who
may read what; its lists of readers follow the visibility and the members of an
image.  Without a caller nothing can be done here.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from glance_store_py import errors
from glance_store_py.config import Settings
from glance_store_py.driver import Caller, Stored, StoredData
from glance_store_py.drivers.remote import Pools
from glance_store_py.drivers.swift_client import Client
from glance_store_py.drivers.swift_objects import Layout, Objects
from glance_store_py.drivers.swift_trusts import Trust
from glance_store_py.location import Location

LOG = logging.getLogger(__name__)

#: Readable for every project, but not without a token (OSSN-0025).
EVERYBODY = "*:*"


class CallerAccount:
    """The account at ``url``, with the token of a caller; see swift_client.Account."""

    def __init__(self, caller: Caller, url: str) -> None:
        self._caller = caller
        self._url = url
        self.trust: Trust | None = None

    def url(self) -> str:
        return self._url

    def token(self) -> str:
        if self.trust is not None:
            return self.trust.token()
        return self._caller.auth_token or ""

    def refused(self, token: str) -> bool:
        return False


class Acting:
    """What a store with the accounts of projects does for one caller; verbs as in Driver."""

    def __init__(self, settings: Settings, pools: Pools, layout: Layout, caller: Caller) -> None:
        self._settings = settings
        self._pools = pools
        self._layout = layout
        self._caller = caller

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> Stored:
        account = CallerAccount(self._caller, account_url(self._settings, self._caller))
        client = Client(account, self._pools.of(account.url()))
        container = f"{self._settings['swift_store_container']}_{name}"
        with self._trusted(account, size):
            made = not client.has_container(container)
            if made:
                client.put_container(container, self._lists(False, (), ()))
            try:
                written = Objects(client, self._layout).add(container, name, data, size)
            except BaseException:
                if made:
                    _remove_container(client, container)
                raise
        scheme = "swift+http" if account.url().startswith("http://") else "swift+https"
        place = account.url().partition("://")[2]
        return Stored(f"{scheme}://{place}/{container}/{name}", written)

    @contextlib.contextmanager
    def _trusted(self, account: CallerAccount, size: int | None) -> Iterator[None]:
        """An upload that takes long may outlive the token that it began with."""
        if (
            not self._settings["swift_store_use_trusts"]
            or size is not None
            and size < self._layout.large
        ):
            yield
            return
        account.trust = Trust.given(self._settings, self._caller)
        try:
            yield
        finally:
            if account.trust is not None:
                account.trust.end()

    def get(self, location: Location, start: int = 0, stop: int | None = None) -> StoredData:
        client, container, name = self._resolved(location)
        return Objects(client, self._layout).get(container, name, start, stop)

    def size(self, location: Location) -> int:
        client, container, name = self._resolved(location)
        return Objects(client, self._layout).size(container, name)

    def delete(self, location: Location) -> None:
        client, container, name = self._resolved(location)
        objects = Objects(client, self._layout)
        try:
            objects.delete(container, name)
        finally:
            if container.endswith(f"_{name}"):  # It holds nothing but this object.
                _remove_remains(objects, container, name)
                _remove_container(client, container)

    def set_acls(
        self, location: Location, public: bool, readers: Sequence[str], writers: Sequence[str]
    ) -> None:
        client, container, _ = self._resolved(location)
        client.post_container(container, self._lists(public, readers, writers))

    def _lists(
        self, public: bool, readers: Sequence[str], writers: Sequence[str]
    ) -> dict[str, str]:
        admins = self._settings["swift_store_admin_tenants"]
        read = [f"{project}:*" for project in (*readers, *admins)]
        write = [f"{project}:*" for project in (*writers, *admins)]
        return {
            "x-container-read": EVERYBODY if public else ",".join(read),
            "x-container-write": ",".join(write),
        }

    def _resolved(self, location: Location) -> tuple[Client, str, str]:
        """The account, container and name behind an address.

        A token goes to no other host than the catalogue's.
        """
        own = urlsplit(account_url(self._settings, self._caller))
        if location.authority != own.netloc:
            raise errors.BadStoreUri("The address is not one of this object store.")
        account, container, name = location.path.rsplit("/", 2)
        url = f"{own.scheme}://{own.netloc}{account}"
        return Client(CallerAccount(self._caller, url), self._pools.of(url)), container, name


def account_url(settings: Settings, caller: Caller) -> str:
    """The address of the caller's account, as the options or the catalogue have it."""
    if settings["swift_store_endpoint"]:
        return settings["swift_store_endpoint"].rstrip("/")
    wanted = settings["swift_store_endpoint_type"]
    for service in caller.service_catalog or ():
        if service.get("type") == settings["swift_store_service_type"]:
            for endpoint in service.get("endpoints", ()):
                region = endpoint.get("region") or endpoint.get("region_id")
                if settings["swift_store_region"] not in (None, region):
                    continue
                # A catalogue as Keystone gives it, or as older middleware passes it on.
                if endpoint.get("interface") == wanted.removesuffix("URL"):
                    return endpoint["url"].rstrip("/")
                if wanted in endpoint:
                    return endpoint[wanted].rstrip("/")
    raise errors.GlanceStoreError("The caller's catalogue has no such object store.")


def _remove_remains(objects: Objects, container: str, name: str) -> None:
    try:
        for prefix in objects.remains(container, name):
            objects.delete(container, prefix)
    except errors.NotFound:
        pass
    except errors.GlanceStoreError as error:
        LOG.warning("Segments in container %s were not removed: %s", container, error)


def _remove_container(client: Client, container: str) -> None:
    try:
        client.delete_container(container)
    except errors.NotFound:
        pass
    except errors.GlanceStoreError as error:
        LOG.warning("Container %s was not removed: %s", container, error)
