"""HTTP requests to a storage service, for its driver.

One pool of connections per store and process, time limits, retries, and errors of the
network translated to those of ``errors.py``.  The drivers know the protocols of the
services.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from glance_store_py import errors
from glance_store_py.driver import Chunk
from glance_store_py.drivers.deferred_delete import DeferredDeleter
from glance_store_py.drivers.http_messages import CHUNK
from glance_store_py.process import PerProcess

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager, Retry
    from urllib3.connection import HTTPConnection

LOG = logging.getLogger(__name__)

#: Seconds to connect to a service.
CONNECT_TIMEOUT = 10
#: Seconds to send one piece of a body, and to wait for an answer: a service that writes
#: to its disks may accept no data for a while.
READ_TIMEOUT = 60
#: Statuses after which the same request may succeed.
RETRYABLE_STATUSES = frozenset({429, 500, 502, 503, 504})
#: Statuses of a service that is overloaded or restarting and asks for a later attempt.
RETRY_LATER_STATUSES = frozenset({429, 498, 503})
#: Seconds for which such a service is asked again, counted from its first answer of that
#: kind: requests that begin after this time do not wait for another period.
RETRY_LATER_SECONDS = 30.0
#: Seconds between two attempts at most, and at first.
MAX_BACKOFF = 8.0
_FIRST_BACKOFF = 0.3

_PIECE_SIZE = 256 * 1024

#: A body that is sent piece by piece.
RequestBody = Iterable[Chunk]


class HttpPool:
    """Connections of this process to one service.

    They are created at first use: two processes must never share a connection.

    :param url: any URL of the service; proxies are chosen by its scheme and host.
    :param ca_file: a file of certificate authorities, None for those of the system.
    :param size: connections that are kept open.
    """

    def __init__(
        self, url: str, ca_file: str | None = None, insecure: bool = False, size: int = 32
    ) -> None:
        self._url = urlsplit(url)
        self._ca_file = ca_file
        self._insecure = insecure
        self._size = size
        self._manager = PerProcess(self._new_manager)
        #: When the service first and last asked for a later attempt; None when its last
        #: answer was another one.
        self._overloaded_period: tuple[float, float] | None = None
        #: Deletions that failed because the service did not answer.
        self.deferred = DeferredDeleter()

    def request(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: RequestBody | bytes | None = None,
        attempts: int = 3,
        wait: float = READ_TIMEOUT,
    ) -> BaseHTTPResponse:
        """The answer to a request, its content unread: close it, or read it to its end.

        :param attempts: how often to send the request when the service fails or cannot be
            reached; more often, for RETRY_LATER_SECONDS, while it asks for a later attempt.
            1 for a body that can be sent only once.
        :param wait: seconds that the service may take to answer.
        :raises errors.RemoteServiceUnavailable: the service cannot be reached.
        """
        import urllib3

        with self.translate_errors():
            response = self._manager.get().request(
                method,
                url,
                headers=headers,
                # urllib3 accepts memoryviews, which its types do not say.
                body=cast("Iterable[bytes] | bytes | None", body),
                preload_content=False,
                redirect=False,
                retries=_retries(attempts, self._may_retry_later),
                timeout=urllib3.Timeout(READ_TIMEOUT, wait),
            )
        if response.status not in RETRY_LATER_STATUSES:
            self._overloaded_period = None
        return response

    def _may_retry_later(self, status: int) -> bool:
        """True when an answer asks for a later attempt, and RETRY_LATER_SECONDS are not over."""
        if status not in RETRY_LATER_STATUSES:
            return False
        now = clock()
        since, last = self._overloaded_period or (now, now)
        if now - last > RETRY_LATER_SECONDS:
            since = now  # No request was sent in between.
        self._overloaded_period = since, now
        return now - since < RETRY_LATER_SECONDS

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Translate errors of urllib3.

        :raises errors.RemoteServiceUnavailable: the block failed because of the network.
        """
        import urllib3

        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            cause = getattr(error, "reason", None) or error  # of a MaxRetryError
            LOG.warning("%s: %s", self._url.netloc.rpartition("@")[2], type(cause).__name__)
            raise errors.RemoteServiceUnavailable() from error

    def _new_manager(self) -> PoolManager:
        import urllib3

        if self._insecure:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        options: dict[str, Any] = {
            "maxsize": self._size,
            "ca_certs": self._ca_file or None,
            "cert_reqs": "CERT_NONE" if self._insecure else "CERT_REQUIRED",
        }
        proxy = urllib.request.getproxies().get(self._url.scheme)
        manager: PoolManager
        if proxy and not urllib.request.proxy_bypass(self._url.hostname or ""):
            manager = urllib3.ProxyManager(
                proxy if "://" in proxy else f"http://{proxy}", **options
            )
        else:
            manager = urllib3.PoolManager(**options)
        manager.pool_classes_by_scheme = _pool_classes()
        return manager


@functools.cache
def _pool_classes() -> dict[str, type[HTTPConnectionPool]]:
    """Pools with CONNECT_TIMEOUT for connecting and READ_TIMEOUT for sending a piece.

    For urllib3 both are one limit.
    """
    from urllib3 import connection, connectionpool

    class ConnectTimeoutHTTPConnection(connection.HTTPConnection):
        def connect(self) -> None:
            with _connect_timeout(self):
                super().connect()

    class ConnectTimeoutHTTPSConnection(connection.HTTPSConnection):
        def connect(self) -> None:
            with _connect_timeout(self):
                super().connect()

    class ConnectTimeoutHTTPPool(connectionpool.HTTPConnectionPool):
        ConnectionCls = ConnectTimeoutHTTPConnection

    class ConnectTimeoutHTTPSPool(connectionpool.HTTPSConnectionPool):
        ConnectionCls = ConnectTimeoutHTTPSConnection

    return {"http": ConnectTimeoutHTTPPool, "https": ConnectTimeoutHTTPSPool}


@contextlib.contextmanager
def _connect_timeout(connection: HTTPConnection) -> Iterator[None]:
    read_timeout, connection.timeout = connection.timeout, CONNECT_TIMEOUT
    try:
        yield
    finally:
        connection.timeout = read_timeout
    if connection.sock is not None:
        connection.sock.settimeout(read_timeout)


class HttpPools:
    """A pool for each service, created when it is first asked for."""

    def __init__(self, ca_file: str | None = None, insecure: bool = False) -> None:
        self._options = (ca_file, insecure)
        self._pools: dict[tuple[str, str], HttpPool] = {}

    def get(self, url: str) -> HttpPool:
        """The pool of the service behind ``url``."""
        parts = urlsplit(url)
        service = (parts.scheme, parts.netloc)
        found = self._pools.get(service)
        if found is None:
            found = self._pools.setdefault(service, HttpPool(url, *self._options))
        return found


def _retries(attempts: int, may_retry_later: Callable[[int], bool]) -> Retry:
    """When to send a request again: ``attempts`` times, and while the service asks for that."""
    made: Any = _retry_class()(
        total=None,
        connect=min(attempts - 1, 1),
        read=attempts - 1,
        redirect=False,
        status=None,
        other=0,
        allowed_methods=None,
        status_forcelist=RETRYABLE_STATUSES | RETRY_LATER_STATUSES,
        backoff_factor=_FIRST_BACKOFF,
        backoff_max=MAX_BACKOFF,
        backoff_jitter=_FIRST_BACKOFF,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    made.attempts, made.may_retry_later = attempts, may_retry_later
    return cast("Retry", made)


@functools.cache
def _retry_class() -> type[Retry]:
    """A Retry with at most ``attempts``, and more while ``may_retry_later`` allows them."""
    from urllib3 import Retry

    class BoundedRetry(Retry):
        attempts = 1
        may_retry_later: Callable[[int], bool]

        def new(self, **changes: Any) -> BoundedRetry:
            made = super().new(**changes)
            made.attempts, made.may_retry_later = self.attempts, self.may_retry_later
            return made

        def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
            # Called in any case: it records when a service began to ask for later attempts.
            has_time = self.may_retry_later(status_code)
            return (
                self.attempts > 1
                and super().is_retry(method, status_code, has_retry_after)
                and (len(self.history) < self.attempts - 1 or has_time)
            )

        def _sleep_backoff(self) -> None:
            sleep_before_retry(self.get_backoff_time())

    return BoundedRetry


def sleep_before_retry(seconds: float) -> None:
    """Wait before another attempt; tests replace it."""
    time.sleep(seconds)


def clock() -> float:
    """Seconds of a clock that never runs backwards; tests replace it."""
    return time.monotonic()


class ChunkedBody:
    """Bytes as a body that can be sent more than once, in pieces.

    READ_TIMEOUT is for one piece.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Chunk]:
        for at in range(0, len(self._data), _PIECE_SIZE):
            yield self._data[at : at + _PIECE_SIZE]


def resumable_chunks(
    response: BaseHTTPResponse,
    length: int,
    reopen: Callable[[int], BaseHTTPResponse],
    attempts: int,
) -> Iterator[bytes]:
    """The content of ``response``; when the connection breaks, the rest from a new answer.

    :param length: bytes of the whole content.
    :param reopen: sends a request for the content from this byte on.
    :param attempts: how often to call ``reopen``.
    :raises errors.RemoteServiceUnavailable: the connection broke more often.
    """
    import urllib3

    done = 0
    try:
        while True:
            try:
                for chunk in response.stream(CHUNK, decode_content=False):
                    done += len(chunk)
                    yield chunk
                return
            except urllib3.exceptions.HTTPError as error:
                response.close()
                if done >= length or not attempts:
                    raise errors.RemoteServiceUnavailable("The store stopped sending.") from error
                attempts -= 1
                LOG.warning(
                    "An answer broke off after %d of %d bytes; asking for the rest", done, length
                )
                response = reopen(done)
    finally:
        response.close()
