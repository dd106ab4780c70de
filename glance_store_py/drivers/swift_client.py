"""The part of the Swift protocol that images need, as operations on one account.

Each request has the token of the account; when Swift rejects it, a new one is fetched
once.  Error answers are translated to those of ``errors.py``.
Source: OpenStack Object Storage API v1.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from glance_store_py import errors
from glance_store_py.drivers.remote import RETRYABLE_STATUSES, HttpPool, RequestBody

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

LOG = logging.getLogger(__name__)

#: Names in one page of a listing.
PAGE = 10_000
#: Seconds that Swift may take to remove all segments of an object.
BULK_TIMEOUT = 600


class SwiftAuthenticationFailed(errors.StoreForbidden):
    """Keystone gives no token for the credentials, or Swift rejects the token."""

    text = "The object store does not accept the credentials."


class SwiftServiceError(errors.GlanceStoreError):
    """(status): the service refused a request for a reason without a class of its own."""

    text = "The object store answered with status %s."


class SwiftAccount(Protocol):
    """An account of Swift, and the token for it."""

    def url(self) -> str:
        """The URL of the account, without a slash at its end."""

    def token(self) -> str:
        """A token that does not expire soon."""

    def is_token_rejected(self, token: str) -> bool:
        """Called after Swift rejected a token; True when :meth:`token` returns another one now."""


@dataclasses.dataclass(frozen=True, slots=True)
class SwiftListEntry:
    """An object in a listing: size in bytes, time of its last change (ISO 8601, UTC)."""

    name: str
    size: int
    modified: str


class SwiftClient:
    """Operations on one account; used by many threads."""

    def __init__(self, account: SwiftAccount, pool: HttpPool) -> None:
        self.account = account
        self.pool = pool

    # ------------------------------------------------------------ objects

    def head(self, container: str, name: str) -> Mapping[str, str]:
        """The headers of an object.

        :raises errors.StoreObjectNotFound: there is no such object.
        """
        return self._request_empty("HEAD", self._path(container, name)).headers

    def get(self, container: str, name: str, byte_range: str | None = None) -> BaseHTTPResponse:
        """Read an object.

        :param byte_range: a Range header, None for the whole object.

        :returns: an answer of status 200 or 206 with its content unread, or 416.
        """
        path = self._path(container, name)
        response = self._request(
            "GET",
            path,
            {"accept-encoding": "identity"}
            | ({"range": byte_range} if byte_range is not None else {}),
        )
        if response.status not in (200, 206, 416):
            raise self._error(response, path)
        return response

    def put(
        self,
        container: str,
        name: str,
        body: RequestBody | bytes,
        size: int | None,
        headers: Mapping[str, str] | None = None,
        attempts: int = 1,
    ) -> None:
        """Store an object of ``size`` bytes, None when the size is unknown.

        :param attempts: more than 1 for a body that can be sent again.
        :raises errors.StoreObjectExists: ``headers`` say that it must not exist, and it does.
        """
        framing = (
            {"transfer-encoding": "chunked"} if size is None else {"content-length": str(size)}
        )
        self._request_empty(
            "PUT",
            self._path(container, name),
            {"content-type": "application/octet-stream", **framing, **(headers or {})},
            body,
            attempts,
        )

    def delete(self, container: str, name: str) -> None:
        """Remove an object; no error when there is none."""
        path = self._path(container, name)
        response = self._request("DELETE", path)
        if response.status != 404:
            self._checked_content(response, path)
        response.close()

    def delete_static(self, container: str, name: str) -> None:
        """Remove a static large object and its segments."""
        path = self._path(container, name) + "?multipart-manifest=delete"
        response = self._request("DELETE", path, {"accept": "application/json"}, wait=BULK_TIMEOUT)
        report = json.loads(self._checked_content(response, path) or "{}")
        if report.get("Errors"):
            LOG.warning(
                "Not all segments of %s/%s were removed: %s",
                container,
                name,
                report.get("Response Status"),
            )
            raise errors.RemoteServiceFailed(report.get("Response Status"))

    # ------------------------------------------------------------ containers

    def list_objects(self, container: str, prefix: str = "") -> Iterator[SwiftListEntry]:
        """The objects of a container whose names begin with ``prefix``, by name."""
        for item in self._listing(f"/{quote(container, safe='')}", prefix):
            if "name" in item:
                # Swift writes times without a zone, the gateway of Ceph with a Z.
                modified = item["last_modified"].removesuffix("Z") + "+00:00"
                yield SwiftListEntry(item["name"], item["bytes"], modified)

    def list_containers(self, prefix: str) -> Iterator[str]:
        """The names of containers that begin with ``prefix``."""
        for item in self._listing("", prefix):
            yield item["name"]

    def _listing(self, path: str, prefix: str) -> Iterator[dict[str, Any]]:
        marker = ""
        while True:
            query = (
                f"?format=json&limit={PAGE}&prefix={quote(prefix, safe='')}"
                f"&marker={quote(marker, safe='')}"
            )
            text = self._checked_content(self._request("GET", path + query), path)
            page = json.loads(text or "[]")
            yield from page
            if not page:
                return
            marker = page[-1].get("name") or page[-1].get("subdir")

    def head_account(self) -> None:
        """Check that the account exists and the token gives access to it."""
        self._request_empty("HEAD", "", attempts=1)

    def has_container(self, container: str) -> bool:
        """True when there is such a container."""
        try:
            self._request_empty("HEAD", f"/{quote(container, safe='')}")
        except errors.StoreObjectNotFound:
            return False
        return True

    def put_container(self, container: str, headers: Mapping[str, str] | None = None) -> None:
        """Create a container; no error when it exists."""
        self._request_empty(
            "PUT", f"/{quote(container, safe='')}", {"content-length": "0", **(headers or {})}
        )

    def post_container(self, container: str, headers: Mapping[str, str]) -> None:
        """Change the metadata of a container."""
        self._request_empty(
            "POST", f"/{quote(container, safe='')}", {"content-length": "0", **headers}
        )

    def delete_container(self, container: str) -> None:
        """Remove an empty container.

        :raises errors.StoreObjectExists: it is not empty.
        """
        self._request_empty("DELETE", f"/{quote(container, safe='')}")

    # ------------------------------------------------------------ requests

    def _path(self, container: str, name: str) -> str:
        return f"/{quote(container, safe='')}/{quote(name)}"

    def _request_empty(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: RequestBody | bytes | None = None,
        attempts: int = 3,
    ) -> BaseHTTPResponse:
        """Send a request and discard the content of the answer.

        :raises errors.GlanceStoreError: the answer is an error.
        """
        response = self._request(method, path, headers, body, attempts)
        self._checked_content(response, path)
        return response

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: RequestBody | bytes | None = None,
        attempts: int = 3,
        wait: float = 60,
    ) -> BaseHTTPResponse:
        once = body is not None and attempts == 1
        renewed = False
        while True:
            token = self.account.token()
            response = self.pool.request(
                method,
                self.account.url() + path,
                {**(headers or {}), "x-auth-token": token},
                body,
                attempts,
                wait,
            )
            if response.status != 401:
                return response
            self._content(response)
            # One new token for each request: a Swift that accepts none must not cause a loop.
            if renewed or not self.account.is_token_rejected(token) or once:
                raise SwiftAuthenticationFailed()
            renewed = True

    def _checked_content(self, response: BaseHTTPResponse, path: str) -> bytes:
        """The content of an answer.

        :raises errors.GlanceStoreError: the answer is an error.
        """
        if response.status >= 300:
            raise self._error(response, path)
        return self._content(response)

    def _content(self, response: BaseHTTPResponse) -> bytes:
        with self.pool.translate_errors():
            content = response.read()
            response.release_conn()
        return content

    def _error(self, response: BaseHTTPResponse, path: str) -> errors.GlanceStoreError:
        self._content(response)
        name = path.partition("?")[0].lstrip("/")
        if response.status == 404:
            return errors.StoreObjectNotFound(name)
        LOG.warning(
            "Swift answered with status %d for %s (transaction %s)",
            response.status,
            name,
            response.headers.get("X-Trans-Id"),
        )
        if response.status in (409, 412):
            return errors.StoreObjectExists(name)
        if response.status in (413, 507):
            return errors.StorageFull()
        if response.status == 403:
            return errors.StoreForbidden()
        if response.status in RETRYABLE_STATUSES or response.status == 498:
            return errors.RemoteServiceFailed(response.status)
        return SwiftServiceError(response.status)
