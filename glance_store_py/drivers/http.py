"""Objects that lie on somebody else's web server: read, never written.

Redirects are followed by hand, so that each address is judged like the first one
and credentials stay with the host they are for.  Which hosts may be asked at all
is not decided here but by the :data:`Judge` that the service puts in: connections
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
from glance_store_py.config import Settings
from glance_store_py.driver import Stored, StoredData
from glance_store_py.location import Location, parse
from glance_store_py.watch import Pace, Watch

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

LOG = logging.getLogger(__name__)

CHUNK = 1024 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 4

#: Seconds to reach a server, and to wait for each piece of its answer.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60

#: At least so many bytes must come in so many seconds of waiting for them.
PACE_BYTES = 64 * 1024
PACE_SECONDS = 60.0

#: (url, whether a server redirected to it) -> network addresses that may be asked for it.
#: Raises BadStoreUri when there are none.
Judge = Callable[[str, bool], Sequence[str]]

#: How many network addresses of one name are tried.
_ADDRESSES = 4

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(?:\d+|\*)\Z")


class Driver:
    """GET and HEAD; addresses are plain URLs, all of them."""

    schemes = ("http", "https")
    abilities = frozenset({driver.RANDOM_READ})
    prefixes = (Location("http"), Location("https"))
    properties: dict[str, object] = {}

    def __init__(self, settings: Settings, store_id: str) -> None:
        self._store = store_id
        self._authorities = settings["https_ca_certificates_file"]
        self._insecure = settings["https_insecure"] and not self._authorities
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
        self.judge: Judge | None = None
        self._pools: dict[str, PoolManager] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """There is nothing to write to."""

    def add(self, name: str, data: Iterable[bytes], size: int | None) -> Stored:
        raise errors.StoreAddDisabled(self._store)

    def get(self, location: Location, start: int = 0, stop: int | None = None) -> StoredData:
        headers = {}
        if start or stop is not None:
            if stop is not None and stop <= start:
                return StoredData(iter(()), 0)
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        answer = self._ask("GET", location, headers)
        try:
            if answer.status == 416 and "Range" in headers:
                length = 0  # The part lies behind the end.
            else:
                length = self._length(answer, location, start, stop)
        except BaseException:
            answer.close()
            raise
        return StoredData(_chunks(answer), length, close=answer.close)

    def size(self, location: Location) -> int:
        try:
            answer = self._ask("HEAD", location, {})
            answer.close()
            if answer.status in (405, 501):
                answer = self._ask("GET", location, {})
                answer.close()
        except errors.RemoteServiceUnavailable as error:
            # wire: an address is checked by its size, and one that does not
            # answer is a bad address (400), not a broken store (503).
            raise errors.BadStoreUri(str(error)) from error
        self._refuse(answer, location)
        return _content_length(answer) or 0

    def delete(self, location: Location) -> None:
        raise errors.StoreDeleteNotSupported(self._store)

    def locations_of(self, name: str) -> tuple[Location, ...]:
        return ()

    def sweep(self) -> list[str]:
        """Nothing was written."""
        return []

    def check(self) -> None:
        """There is no one server whose health this could be."""

    def _length(
        self, answer: BaseHTTPResponse, location: Location, start: int, stop: int | None
    ) -> int:
        """How many bytes an answer to GET holds of what was asked for."""
        self._refuse(answer, location)
        if answer.status == 206:
            found = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != start:
                raise errors.BadStoreUri(f"{location.shown} gave another part than asked for.")
            end = int(found[2]) + 1
            return (end if stop is None else min(stop, end)) - start
        if start:
            raise errors.StoreRandomGetNotSupported(self._store)
        length = _content_length(answer)
        if length is None:
            raise errors.BadStoreUri(f"{location.shown} does not say how long it is.")
        return length if stop is None else min(stop, length)

    def _refuse(self, answer: BaseHTTPResponse, location: Location) -> None:
        if answer.status == 404:
            raise errors.NotFound(location.shown)
        if answer.status not in (200, 206):
            raise errors.BadStoreUri(f"{location.shown} answered with status {answer.status}.")

    def _ask(self, method: str, location: Location, headers: dict[str, str]) -> BaseHTTPResponse:
        """The answer behind all redirects, its body unread.

        :raises errors.MaxRedirectsExceeded: it was sent on too often.
        :raises errors.RemoteServiceUnavailable: a server cannot be reached.
        """
        for hop in range(MAX_REDIRECTS + 1):
            answer = self._send(method, location, headers, hop > 0)
            target = answer.headers.get("Location")
            if answer.status not in REDIRECTS or target is None:
                return answer
            answer.close()
            location = self._redirected(location, target)
        raise errors.MaxRedirectsExceeded(MAX_REDIRECTS)

    def _redirected(self, location: Location, target: str) -> Location:
        try:
            there = parse(urljoin(location.url, target))
        except errors.UnknownScheme:
            there = None
        if there is None or there.scheme not in self.schemes:
            raise errors.BadStoreUri(f"{location.shown} redirects to something that is not http.")
        if (there.scheme, there.authority) == (location.scheme, location.authority):
            # A relative redirect keeps the credentials of the host.
            return Location(
                there.scheme,
                there.authority,
                there.path,
                there.query,
                there.credentials or location.credentials,
            )
        return there

    def _send(
        self, method: str, location: Location, headers: dict[str, str], redirected: bool
    ) -> BaseHTTPResponse:
        import urllib3

        # identity: the bytes of the object, and a Content-Length that counts them.
        headers = {"Accept-Encoding": "identity", **headers}
        if location.credentials is not None:
            headers |= urllib3.make_headers(basic_auth=unquote(location.credentials))
        try:
            if self.judge is None or location.scheme in self._proxies:
                if self.judge is not None:
                    self.judge(location.url, redirected)  # A proxy resolves the name itself.
                return self._pool(location.scheme).request(
                    method, location.url, headers=headers, preload_content=False, redirect=False
                )
            return self._send_to(self.judge(location.url, redirected), method, location, headers)
        except urllib3.exceptions.LocationParseError:
            raise errors.BadStoreUri(f"{location.shown} is not an address.") from None
        except urllib3.exceptions.HTTPError as error:
            cause = getattr(error, "reason", error)  # of a MaxRetryError
            LOG.warning("%s: %s", location.shown, type(cause).__name__)
            raise errors.RemoteServiceUnavailable(
                f"{location.scheme}://{location.authority} cannot be reached."
            ) from error

    def _send_to(
        self, addresses: Sequence[str], method: str, location: Location, headers: dict[str, str]
    ) -> BaseHTTPResponse:
        """Ask the first of the judged addresses that answers, in the name of the URL's host."""
        from urllib3.exceptions import HTTPError, LocationParseError
        from urllib3.util import parse_url

        url = parse_url(location.url)
        host = (url.host or "").strip("[]")
        names = {"server_hostname": host, "assert_hostname": host} if url.scheme == "https" else {}
        failure: HTTPError | None = None
        for address in addresses[:_ADDRESSES]:
            pool = self._pool(location.scheme).connection_from_host(
                address, url.port, location.scheme, pool_kwargs=names
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
        raise failure or LocationParseError(location.shown)

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
            "ca_certs": self._authorities,
            "maxsize": 16,
        }
        pools = (
            urllib3.ProxyManager(self._proxies[scheme], **options)
            if scheme in self._proxies
            else urllib3.PoolManager(**options)
        )
        pools.pool_classes_by_scheme = http_connection.POOLS
        return pools


def _content_length(answer: BaseHTTPResponse) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _chunks(answer: BaseHTTPResponse) -> Iterator[bytes]:
    import urllib3

    watch = Watch(answer.shutdown)
    pace = Pace(watch, PACE_BYTES, PACE_SECONDS)
    read = functools.partial(answer.read1, CHUNK, decode_content=False)
    try:
        while chunk := pace.read(read):
            yield chunk
    except (urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise errors.RemoteServiceUnavailable("The server stopped sending.") from error
    finally:
        watch.stop()
