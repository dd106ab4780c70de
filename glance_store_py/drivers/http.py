"""Objects on web servers that clients name: read, never written.

The driver follows redirects itself, so that every URL is checked like the first one and
credentials are sent to their host only.  A :data:`~glance_store_py.driver.StoreUrlPolicy`
decides which servers may be asked; connections go to the network addresses that it
returns, and the name is not resolved again.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin

from glance_store_py import driver, errors
from glance_store_py.driver import AddResult, BaseDriver, Chunk, ObjectData, StoreUrlPolicy
from glance_store_py.driver_settings import OptionValues
from glance_store_py.drivers.http_messages import (
    CHUNK,
    byte_range,
    content_length,
    content_range,
)
from glance_store_py.drivers.http_options import SPEC, HttpSettings
from glance_store_py.location import StoreLocation, parse
from glance_store_py.process import PerProcess
from glance_store_py.watchdog import MinimumRate, Watchdog

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

LOG = logging.getLogger(__name__)

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 4

#: Seconds to connect to a server, and to wait for each piece of its answer.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60

#: At least this many bytes must arrive in this many seconds of waiting for them.
MIN_RATE_BYTES = 64 * 1024
MIN_RATE_SECONDS = 60.0

#: How many network addresses of one name are tried.
_MAX_ADDRESSES = 4


class HttpDriver(BaseDriver):
    """GET and HEAD of any http or https URL."""

    spec = SPEC
    capabilities = frozenset({driver.READ, driver.READ_RANDOM})
    prefixes = (StoreLocation("http"), StoreLocation("https"))

    def __init__(self, options: OptionValues, store_id: str) -> None:
        settings = HttpSettings.read(options)
        self._store = store_id
        self._ca_file = settings.https_ca_certificates_file
        self._insecure = settings.https_insecure and not self._ca_file
        if self._insecure:
            LOG.warning(
                "Store %s does not check the certificates of https servers: "
                "https_insecure is True.",
                store_id,
            )
        self._proxies = {
            scheme: proxy if "://" in proxy else f"http://{proxy}"
            for scheme, proxy in settings.http_proxy_information.items()
        }
        #: Set once, before the first request; None: every URL is allowed.
        self.url_policy: StoreUrlPolicy | None = None
        self._pools: PerProcess[dict[str, PoolManager]] = PerProcess(dict)
        self._lock = threading.Lock()

    def add(self, name: str, data: Iterable[Chunk], size: int | None) -> AddResult:
        raise errors.StoreAddDisabled(self._store)

    def get(self, location: StoreLocation, start: int = 0, stop: int | None = None) -> ObjectData:
        if stop is not None and stop <= start:
            return ObjectData(iter(()), 0)
        part = byte_range(start, stop)
        response = self._request("GET", location, {} if part is None else {"Range": part})
        try:
            if response.status == 416 and part is not None:
                length = 0  # The part begins behind the end.
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
            # wire: the size is asked for to validate a URL of a client: a server that does
            # not answer makes it a bad URL (400), not a broken store (503).
            raise errors.BadStoreUri(str(error)) from error
        self._raise_for_status(response, location)
        return content_length(response) or 0

    def delete(self, location: StoreLocation) -> None:
        raise errors.StoreDeleteNotSupported(self._store)

    def _part_length(
        self, response: BaseHTTPResponse, location: StoreLocation, start: int, stop: int | None
    ) -> int:
        """How many bytes of the part an answer to GET has."""
        self._raise_for_status(response, location)
        if response.status == 206:
            found = content_range(response)
            if found is None or found[0] != start:
                raise errors.BadStoreUri(f"{location.redacted} gave another part than asked for.")
            end = found[1]
            return (end if stop is None else min(stop, end)) - start
        if start:
            raise errors.StoreRandomGetNotSupported(self._store)
        length = content_length(response)
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
        """The answer after all redirects, its body unread.

        :raises errors.MaxRedirectsExceeded: there are too many.
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

        # identity: the bytes of the object as they are, and their number in Content-Length.
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
        """Send a request to the first of the addresses that answers; Host and TLS use the name."""
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
        pools = self._pools.get()
        with self._lock:
            if scheme not in pools:
                pools[scheme] = self._new_pool(scheme)
            return pools[scheme]

    def _new_pool(self, scheme: str) -> PoolManager:
        import urllib3

        from glance_store_py.drivers import http_connection

        if self._insecure and scheme == "https":
            # __init__ logs it once, instead of a warning with every connection.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        options: dict[str, Any] = {
            # One more attempt, for connections that the server closed while they were idle.
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
