"""HTTP towards a storage service, for the drivers of such services.

One pool of connections per store and process, a limit on every wait, and the
failures of the network under the names of ``errors.py``.  What is asked of a
service, and what its answers mean, is for the drivers.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from glance_store_py import errors
from glance_store_py.drivers.deferred_delete import DeferredDeleter

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager, Retry

LOG = logging.getLogger(__name__)

#: Bytes that are handed over at a time.
CHUNK = 1024 * 1024
#: Seconds to reach a service.
CONNECT_TIMEOUT = 10
#: Seconds to get rid of one piece, and to wait for an answer: a service that writes
#: to its disks what it has got may take nothing for a while.
READ_TIMEOUT = 60
#: What a service answers that may do better the next time.
RETRYABLE_STATUSES = frozenset({429, 500, 502, 503, 504})
#: What says in so many words that it is overloaded, or restarting, and wants to be asked later.
RETRY_LATER_STATUSES = frozenset({429, 498, 503})
#: Seconds for which a service that wants to be asked later is asked again, counted from when
#: it began: requests that come when this time is over are not kept waiting for another one.
RETRY_LATER_SECONDS = 30.0
#: Seconds between two attempts at most, and at first.
MAX_BACKOFF = 8.0
_FIRST_BACKOFF = 0.3

_PIECE_SIZE = 256 * 1024

#: What can be sent, piece by piece.
RequestBody = Iterable[bytes]


class HttpPool:
    """Connections of this process to one service.

    They are made when they are first needed, and anew in a process that was
    forked: two processes must never share a connection.

    :param url: an address of the service, which decides about proxies.
    :param ca_file: a file of certificate authorities, None for the system's.
    """

    def __init__(
        self, url: str, ca_file: str | None = None, insecure: bool = False, size: int = 32
    ) -> None:
        self._url = urlsplit(url)
        self._ca_file = ca_file
        self._insecure = insecure
        self._size = size
        self._process = 0
        self._manager: PoolManager | None = None
        self._lock = threading.Lock()
        #: When the service began to ask to come later, and when it did so last; None when
        #: its last answer was another one.
        self._overloaded_period: tuple[float, float] | None = None
        #: What could not be removed from the service yet.
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

        :param attempts: how often to try while the service is busy or away, and
            longer, for RETRY_LATER_SECONDS, while it asks to come later; 1 for a body that
            exists only once.
        :param wait: seconds that the service may take.
        :raises errors.RemoteServiceUnavailable: it cannot be reached.
        """
        import urllib3

        with self.translate_errors():
            response = self._connections().request(
                method,
                url,
                headers=headers,
                body=body,
                preload_content=False,
                redirect=False,
                retries=_retries(attempts, self._may_retry_later),
                timeout=urllib3.Timeout(READ_TIMEOUT, wait),
            )
        if response.status not in RETRY_LATER_STATUSES:
            self._overloaded_period = None
        return response

    def _may_retry_later(self, status: int) -> bool:
        """Does an answer ask to come later, and is there still patience for that?"""
        if status not in RETRY_LATER_STATUSES:
            return False
        now = clock()
        since, last = self._overloaded_period or (now, now)
        if now - last > RETRY_LATER_SECONDS:
            since = now  # In between nobody asked.
        self._overloaded_period = since, now
        return now - since < RETRY_LATER_SECONDS

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Give failures of the network their name."""
        import urllib3

        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            cause = getattr(error, "reason", None) or error  # of a MaxRetryError
            LOG.warning("%s: %s", self._url.netloc.rpartition("@")[2], type(cause).__name__)
            raise errors.RemoteServiceUnavailable() from error

    def _connections(self) -> PoolManager:
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._manager = self._new_manager()
                    self._process = os.getpid()
        if self._manager is None:
            raise errors.RemoteServiceUnavailable()
        return self._manager

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
    """Pools whose connections must be there sooner than a piece must be gone.

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
def _connect_timeout(connection: Any) -> Iterator[None]:
    read_timeout, connection.timeout = connection.timeout, CONNECT_TIMEOUT
    try:
        yield
    finally:
        connection.timeout = read_timeout
    connection.sock.settimeout(read_timeout)


class HttpPools:
    """A pool for each service that turns out to be needed."""

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
    """How to go on after a failure: ``attempts`` times, and while the service asks for time."""
    made = _retry_class()(
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
    return made


@functools.cache
def _retry_class() -> type:
    """A Retry that counts answers by ``attempts``, and goes on while it is asked for time."""
    from urllib3 import Retry

    class BoundedRetry(Retry):
        attempts = 1
        may_retry_later: Callable[[int], bool]

        def new(self, **changes: Any) -> BoundedRetry:
            made = super().new(**changes)
            made.attempts, made.may_retry_later = self.attempts, self.may_retry_later
            return made

        def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
            # Asked in any case: it takes note of when a service began to ask for time.
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
    """Wait before another attempt."""
    time.sleep(seconds)


def clock() -> float:
    return time.monotonic()


class ChunkedBody:
    """Bytes as a body that can be sent more than once, in pieces.

    A piece at a time, because the limit on waiting holds for one piece.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self._data), _PIECE_SIZE):
            yield cast(bytes, self._data[at : at + _PIECE_SIZE])


def resumable_chunks(
    pool: HttpPool,
    response: BaseHTTPResponse,
    length: int,
    reopen: Callable[[int], BaseHTTPResponse],
    attempts: int,
) -> Iterator[bytes]:
    """The content of ``response``; when it breaks off, the rest from a new one.

    :param length: how many bytes there must be.
    :param reopen: asks for what follows the bytes that have come already.
    :param attempts: how often to ask again.
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
