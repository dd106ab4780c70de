"""The part of the Swift protocol that images need, as verbs on one account.

Each request carries the account's token; when Swift does not accept it any more
a new one is fetched.  Answers that are errors become those of ``errors.py``.
Source: OpenStack Object Storage API v1.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from glance_store_py import errors
from glance_store_py.drivers.remote import BUSY, Body, Pool

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

LOG = logging.getLogger(__name__)

#: Names in one page of a listing.
PAGE = 10_000
#: Seconds that Swift may take to remove the segments of an object.
BULK_TIMEOUT = 600


class NotAuthenticated(errors.Forbidden):
    text = "The object store does not accept the credentials."


class ServiceError(errors.GlanceStoreError):
    """(status): the service refused for a reason that has no other name."""

    text = "The object store answered with status %s."


class Account(Protocol):
    """Whose account it is, and what proves that we may use it."""

    def url(self) -> str:
        """The address of the account, without a slash at its end."""

    def token(self) -> str:
        """A token that is good for a while."""

    def refused(self, token: str) -> bool:
        """Swift did not accept a token: may another one be better?"""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing: size in bytes, time of its last change (ISO 8601, UTC)."""

    name: str
    size: int
    modified: str


class Client:
    """Verbs on one account; used by many threads."""

    def __init__(self, account: Account, pool: Pool) -> None:
        self.account = account
        self.pool = pool

    # ------------------------------------------------------------ objects

    def head(self, container: str, name: str) -> Mapping[str, str]:
        """The headers of an object.

        :raises errors.NotFound: there is no such object.
        """
        return self._done("HEAD", self._path(container, name)).headers

    def get(self, container: str, name: str, part: str | None = None) -> BaseHTTPResponse:
        """An object, or a ``part`` of it (a Range).

        :returns: an answer of status 200 or 206 with its content unread, or 416.
        """
        path = self._path(container, name)
        answer = self._ask(
            "GET",
            path,
            {"accept-encoding": "identity"} | ({"range": part} if part is not None else {}),
        )
        if answer.status not in (200, 206, 416):
            raise self._error(answer, path)
        return answer

    def put(
        self,
        container: str,
        name: str,
        body: Body | bytes,
        size: int | None,
        headers: Mapping[str, str] | None = None,
        attempts: int = 1,
    ) -> None:
        """Store an object; ``size`` bytes, or None for as many as come.

        :param attempts: more than 1 for a body that can be sent again.
        :raises errors.Duplicate: there is one, and ``headers`` ask for none.
        """
        framing = (
            {"transfer-encoding": "chunked"} if size is None else {"content-length": str(size)}
        )
        self._done(
            "PUT",
            self._path(container, name),
            {"content-type": "application/octet-stream", **framing, **(headers or {})},
            body,
            attempts,
        )

    def delete(self, container: str, name: str) -> None:
        """Remove an object; no error when there is none."""
        path = self._path(container, name)
        answer = self._ask("DELETE", path)
        if answer.status != 404:
            self._settle(answer, path)
        answer.close()

    def delete_static(self, container: str, name: str) -> None:
        """Remove a static large object and its segments."""
        path = self._path(container, name) + "?multipart-manifest=delete"
        answer = self._ask("DELETE", path, {"accept": "application/json"}, wait=BULK_TIMEOUT)
        report = json.loads(self._settle(answer, path) or "{}")
        if report.get("Errors"):
            LOG.warning(
                "Not all segments of %s/%s were removed: %s",
                container,
                name,
                report.get("Response Status"),
            )
            raise errors.RemoteServiceFailed(report.get("Response Status"))

    # ------------------------------------------------------------ containers

    def entries(self, container: str, prefix: str = "") -> Iterator[Entry]:
        """The objects of a container whose names begin with ``prefix``, by name."""
        for item in self._listing(f"/{quote(container, safe='')}", prefix):
            if "name" in item:
                # Swift writes no zone, the gateway of Ceph a Z.
                modified = item["last_modified"].removesuffix("Z") + "+00:00"
                yield Entry(item["name"], item["bytes"], modified)

    def containers(self, prefix: str) -> Iterator[str]:
        """The names of containers that begin with ``prefix``."""
        for item in self._listing("", prefix):
            yield item["name"]

    def _listing(self, path: str, prefix: str) -> Iterator[dict]:
        marker = ""
        while True:
            query = (
                f"?format=json&limit={PAGE}&prefix={quote(prefix, safe='')}"
                f"&marker={quote(marker, safe='')}"
            )
            text = self._settle(self._ask("GET", path + query), path)
            page = json.loads(text or "[]")
            yield from page
            if not page:
                return
            marker = page[-1].get("name") or page[-1].get("subdir")

    def head_account(self) -> None:
        """Is the account there, and may we use it?"""
        self._done("HEAD", "", attempts=1)

    def has_container(self, container: str) -> bool:
        """Is there such a container?"""
        try:
            self._done("HEAD", f"/{quote(container, safe='')}")
        except errors.NotFound:
            return False
        return True

    def put_container(self, container: str, headers: Mapping[str, str] | None = None) -> None:
        """Make a container; no error when it is there."""
        self._done(
            "PUT", f"/{quote(container, safe='')}", {"content-length": "0", **(headers or {})}
        )

    def post_container(self, container: str, headers: Mapping[str, str]) -> None:
        """Change what is known of a container."""
        self._done("POST", f"/{quote(container, safe='')}", {"content-length": "0", **headers})

    def delete_container(self, container: str) -> None:
        """Remove an empty container.

        :raises errors.Duplicate: it is not empty.
        """
        self._done("DELETE", f"/{quote(container, safe='')}")

    # ------------------------------------------------------------ requests

    def _path(self, container: str, name: str) -> str:
        return f"/{quote(container, safe='')}/{quote(name)}"

    def _done(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        attempts: int = 3,
    ) -> BaseHTTPResponse:
        """An answer whose content does not matter, or the error that it is."""
        answer = self._ask(method, path, headers, body, attempts)
        self._settle(answer, path)
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        attempts: int = 3,
        wait: float = 60,
    ) -> BaseHTTPResponse:
        once = body is not None and attempts == 1
        renewed = False
        while True:
            token = self.account.token()
            answer = self.pool.request(
                method,
                self.account.url() + path,
                {**(headers or {}), "x-auth-token": token},
                body,
                attempts,
                wait,
            )
            if answer.status != 401:
                return answer
            self._content(answer)
            # One new token for a request: a Swift that accepts none is not asked for ever.
            if renewed or not self.account.refused(token) or once:
                raise NotAuthenticated()
            renewed = True

    def _settle(self, answer: BaseHTTPResponse, path: str) -> bytes:
        """The content of an answer, or the error that it is."""
        if answer.status >= 300:
            raise self._error(answer, path)
        return self._content(answer)

    def _content(self, answer: BaseHTTPResponse) -> bytes:
        with self.pool.naming():
            content = answer.read()
            answer.release_conn()
        return content

    def _error(self, answer: BaseHTTPResponse, path: str) -> errors.GlanceStoreError:
        self._content(answer)
        name = path.partition("?")[0].lstrip("/")
        if answer.status == 404:
            return errors.NotFound(name)
        LOG.warning(
            "Swift answered with status %d for %s (transaction %s)",
            answer.status,
            name,
            answer.headers.get("X-Trans-Id"),
        )
        if answer.status in (409, 412):
            return errors.Duplicate(name)
        if answer.status in (413, 507):
            return errors.StorageFull()
        if answer.status == 403:
            return errors.Forbidden()
        if answer.status in BUSY or answer.status == 498:
            return errors.RemoteServiceFailed(answer.status)
        return ServiceError(answer.status)
