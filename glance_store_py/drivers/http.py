"""Objects that lie on somebody else's web server: read, never written.

Redirects are followed by hand, so that each address is judged like the first one
and credentials stay with the host they are for.  Which hosts may be asked at all
is not decided here but by the :data:`StoreUrlPolicy` that the service puts in: connections
go to the network addresses that it gives.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin

from glance_store_py import driver, errors
from glance_store_py.config import StoreOptions
from glance_store_py.driver import AddResult, ObjectData
from glance_store_py.location import StoreLocation, parse
from glance_store_py.watchdog import MinimumRate, Watchdog

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

LOG = logging.getLogger(__name__)

CHUNK = 1024 * 1024
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 4

#: Seconds to reach a server, and to wait for each piece of its answer.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60

#: At least so many bytes must come in so many seconds of waiting for them.
MIN_RATE_BYTES = 64 * 1024
MIN_RATE_SECONDS = 60.0

#: (url, whether a server redirected to it) -> network addresses that may be asked for it.
#: Raises BadStoreUri when there are none.
StoreUrlPolicy = Callable[[str, bool], Sequence[str]]

#: How many network addresses of one name are tried.
_MAX_ADDRESSES = 4

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(?:\d+|\*)\Z")


class HttpDriver:
    """GET and HEAD; addresses are plain URLs, all of them."""

    schemes = ("http", "https")
    capabilities = frozenset({driver.READ_RANDOM})
    prefixes = (StoreLocation("http"), StoreLocation("https"))
    properties: dict[str, object] = {}

    def __init__(self, settings: StoreOptions, store_id: str) -> None:
        self._store = store_id
        self._ca_file = settings["https_ca_certificates_file"]
        self._insecure = settings["https_insecure"] and not self._ca_file
        if self._insecure:
            LOG.warning(
                "Store %s does not check the certificates of https servers: "
                "https_insecure is True.",
                store_id,
            )
        self._proxies = {
            scheme: proxy if "://" in proxy else f"http://{proxy}"
            for scheme, proxy in settings["http_proxy_information"].items()
        }
        #: Set once, before the first request; None: names are resolved as usual.
        self.url_policy: StoreUrlPolicy | None = None
        self._pools: dict[str, PoolManager] = {}
        self._lock = threading.Lock()

    def configure_add(self) -> None:
        """There is nothing to write to."""

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> AddResult:
        raise errors.StoreAddDisabled(self._store)

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        headers = {}
        if start or stop is not None:
            if stop is not None and stop <= start:
                return ObjectData(iter(()), 0)
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        response = self._request("GET", location, headers)
        try:
            if response.status == 416 and "Range" in headers:
                length = 0  # The part lies behind the end.
            else:
                length = self._part_length(response, location, start, stop)
        except BaseException:
            response.close()
            raise
        return ObjectData(_chunks(response), length, close=response.close)

    def size(self, location: StoreLocation) -> int:
        try:
            response = self._request("HEAD", location, {})
            response.close()
            if response.status in (405, 501):
                response = self._request("GET", location, {})
                response.close()
        except errors.RemoteServiceUnavailable as error:
            # wire: an address is checked by its size, and one that does not
            # answer is a bad address (400), not a broken store (503).
            raise errors.BadStoreUri(str(error)) from error
        self._raise_for_status(response, location)
        return _content_length(response) or 0

    def delete(self, location: StoreLocation) -> None:
        raise errors.StoreDeleteNotSupported(self._store)

    def predict_locations(self, name: str) -> tuple[StoreLocation, ...]:
        return ()

    def cleanup(self) -> list[str]:
        """Nothing was written."""
        return []

    def health_check(self) -> None:
        """There is no one server whose health this could be."""

    def _part_length(
        self, response: BaseHTTPResponse, location: StoreLocation, start: int, stop: int | None
    ) -> int:
        """How many bytes an answer to GET holds of what was asked for."""
        self._raise_for_status(response, location)
        if response.status == 206:
            found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != start:
                raise errors.BadStoreUri(f"{location.redacted} gave another part than asked for.")
            end = int(found[2]) + 1
            return (end if stop is None else min(stop, end)) - start
        if start:
            raise errors.StoreRandomGetNotSupported(self._store)
        length = _content_length(response)
        if length is None:
            raise errors.BadStoreUri(f"{location.redacted} does not say how long it is.")
        return length if stop is None else min(stop, length)

    def _raise_for_status(self, response: BaseHTTPResponse, location: StoreLocation) -> None:
        if response.status == 404:
            raise errors.StoreObjectNotFound(location.redacted)
        if response.status not in (200, 206):
            raise errors.BadStoreUri(f"{location.redacted} answered with status {response.status}.")

    def _request(
        self, method: str, location: StoreLocation, headers: dict[str, str]
    ) -> BaseHTTPResponse:
        """The answer behind all redirects, its body unread.

        :raises errors.MaxRedirectsExceeded: it was sent on too often.
        :raises errors.RemoteServiceUnavailable: a server cannot be reached.
        """
        for hop in range(MAX_REDIRECTS + 1):
            response = self._send(method, location, headers, hop > 0)
            target = response.headers.get("Location")
            if response.status not in REDIRECT_STATUSES or target is None:
                return response
            response.close()
            location = self._redirect_target(location, target)
        raise errors.MaxRedirectsExceeded(MAX_REDIRECTS)

    def _redirect_target(self, location: StoreLocation, target: str) -> StoreLocation:
        try:
            target_location = parse(urljoin(location.url, target))
        except errors.UnknownScheme:
            target_location = None
        if target_location is None or target_location.scheme not in self.schemes:
            raise errors.BadStoreUri(
                f"{location.redacted} redirects to something that is not http."
            )
        if (target_location.scheme, target_location.authority) == (
            location.scheme,
            location.authority,
        ):
            # A relative redirect keeps the credentials of the host.
            return StoreLocation(
                target_location.scheme,
                target_location.authority,
                target_location.path,
                target_location.query,
                target_location.credentials or location.credentials,
            )
        return target_location

    def _send(
        self, method: str, location: StoreLocation, headers: dict[str, str], redirected: bool
    ) -> BaseHTTPResponse:
        import urllib3

        # identity: the bytes of the object, and a Content-Length that counts them.
        headers = {"Accept-Encoding": "identity", **headers}
        if location.credentials is not None:
            headers |= urllib3.make_headers(basic_auth=unquote(location.credentials))
        try:
            if self.url_policy is None or location.scheme in self._proxies:
                if self.url_policy is not None:
                    self.url_policy(location.url, redirected)  # A proxy resolves the name itself.
                return self._pool(location.scheme).request(
                    method, location.url, headers=headers, preload_content=False, redirect=False
                )
            return self._send_to_addresses(
                self.url_policy(location.url, redirected), method, location, headers
            )
        except urllib3.exceptions.LocationParseError:
            raise errors.BadStoreUri(f"{location.redacted} is not an address.") from None
        except urllib3.exceptions.HTTPError as error:
            cause = getattr(error, "reason", error)  # of a MaxRetryError
            LOG.warning("%s: %s", location.redacted, type(cause).__name__)
            raise errors.RemoteServiceUnavailable(
                f"{location.scheme}://{location.authority} cannot be reached."
            ) from error

    def _send_to_addresses(
        self,
        addresses: Sequence[str],
        method: str,
        location: StoreLocation,
        headers: dict[str, str],
    ) -> BaseHTTPResponse:
        """Ask the first of the judged addresses that answers, in the name of the URL's host."""
        from urllib3.exceptions import HTTPError, LocationParseError
        from urllib3.util import parse_url

        url = parse_url(location.url)
        host = (url.host or "").strip("[]")
        tls_names = (
            {"server_hostname": host, "assert_hostname": host} if url.scheme == "https" else {}
        )
        failure: HTTPError | None = None
        for address in addresses[:_MAX_ADDRESSES]:
            pool = self._pool(location.scheme).connection_from_host(
                address, url.port, location.scheme, pool_kwargs=tls_names
            )
            try:
                return pool.urlopen(
                    method,
                    url.request_uri,
                    headers={"Host": location.authority, **headers},
                    preload_content=False,
                    redirect=False,
                    assert_same_host=False,
                )
            except HTTPError as error:
                failure = error
        raise failure or LocationParseError(location.redacted)

    def _pool(self, scheme: str) -> PoolManager:
        with self._lock:
            if scheme not in self._pools:
                self._pools[scheme] = self._new_pool(scheme)
            return self._pools[scheme]

    def _new_pool(self, scheme: str) -> PoolManager:
        import urllib3

        from glance_store_py.drivers import http_connection

        if self._insecure and scheme == "https":
            # The line of __init__ says it once, instead of a warning with every connection.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        options = {
            # One more try when a connection turns out dead that was kept open.
            "retries": urllib3.Retry(
                connect=0, read=1, redirect=0, status=0, other=0, respect_retry_after_header=False
            ),
            "timeout": urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
            "cert_reqs": "CERT_NONE" if self._insecure else "CERT_REQUIRED",
            "ca_certs": self._ca_file,
            "maxsize": 16,
        }
        pools = (
            urllib3.ProxyManager(self._proxies[scheme], **options)
            if scheme in self._proxies
            else urllib3.PoolManager(**options)
        )
        pools.pool_classes_by_scheme = http_connection.POOL_CLASSES
        return pools


def _content_length(response: BaseHTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _chunks(response: BaseHTTPResponse) -> Iterator[bytes]:
    import urllib3

    watchdog = Watchdog(response.shutdown)
    rate = MinimumRate(watchdog, MIN_RATE_BYTES, MIN_RATE_SECONDS)
    read = functools.partial(response.read1, CHUNK, decode_content=False)
    try:
        while chunk := rate.read(read):
            yield chunk
    except (urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise errors.RemoteServiceUnavailable("The server stopped sending.") from error
    finally:
        watchdog.stop()
