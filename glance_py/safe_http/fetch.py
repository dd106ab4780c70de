"""HTTP GET requests to IP addresses that passed the filter.

The socket is connected to a checked address, and TLS verifies the name in the URL; redirects are
checked like the first URL.  Timeouts, a minimum rate and the refusal of encodings keep a server
from occupying a thread or memory.  Proxies of the environment are not used, because they would
resolve the name themselves.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import http.client
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from typing import Protocol

from glance_py.domain import errors
from glance_py.safe_http.uri_filter import Target
from glance_store_py.watchdog import MinimumRate, Watchdog

CHUNK = 1024 * 1024
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})

#: Seconds for the connection to one address, for each read, and for TLS and all headers.
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
HEADER_TIMEOUT = 60.0

#: At least so many bytes must arrive in so many seconds of reading.
MIN_RATE_BYTES = 1024 * 1024
MIN_RATE_SECONDS = 60.0

#: How many addresses of one host are tried.
_MAX_ADDRESSES = 4


@dataclasses.dataclass(slots=True)
class Response:
    """An answer, its body unread.

    ``length`` is the number of bytes that ``chunks`` yields, None when the server does not
    announce it.  The names of ``headers`` are case-insensitive.  ``chunks`` raises
    errors.StoreUnavailable when the body ends early.  ``close`` must be called and may be called
    twice.
    """

    status: int
    headers: Message
    length: int | None
    chunks: Iterator[bytes]
    close: Callable[[], None]


class UriPolicy(Protocol):
    """What a Fetcher needs of a filter of URLs."""

    def check(self, url: str) -> Target:
        """The target of a request for ``url``.

        :raises errors.Invalid: no request may be sent.
        """


class Fetcher:
    """Sends GET requests; may be used by several threads.

    :param uri_filter: checks each URL.
    """

    def __init__(self, uri_filter: UriPolicy) -> None:
        self._filter = uri_filter

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def open(
        self,
        url: str,
        start: int = 0,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Request ``url`` from byte ``start`` on (RFC 9110, 14.2).

        :param if_range: an entity tag or date: the range is sent only when the object is still
            the same one, otherwise all of it (status 200).
        :param headers: sent to the origin of ``url`` only, not to targets of redirects.
        :returns: the first answer that is no redirect, of any status.
        :raises errors.Invalid: the filter refuses a URL, or the body has a content encoding.
        :raises errors.StoreUnavailable: a server cannot be reached or is too slow.
        """
        target = first = self._filter.check(url)
        here = url
        for _ in range(MAX_REDIRECTS + 1):
            asked = {
                "Accept-Encoding": "identity",
                "User-Agent": "glance_py",
                **_range_headers(start, if_range),
            }
            if target.origin == first.origin:
                asked.update(headers or {}, **_basic_auth_headers(target.credentials))
            response = self._send(target, asked)
            there = response.headers.get("Location")
            if response.status not in REDIRECTS or there is None:
                return _require_identity_encoding(response)
            response.close()
            here = urllib.parse.urljoin(here, there)
            try:
                target = self._filter.check(here)
            except errors.Invalid as reason:
                raise errors.Invalid(f"{first.authority} redirects elsewhere: {reason}") from None
        raise errors.Invalid(f"{first.authority} redirects more than {MAX_REDIRECTS} times.")

    def _send(self, target: Target, headers: dict[str, str]) -> Response:
        with _translate_errors(target):
            sock = self._connect(target)
        # The method of the plain socket: another thread may be inside of TLS at that moment.
        watch = Watchdog(lambda: socket.socket.shutdown(sock, socket.SHUT_RDWR))
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = sock
        answer: http.client.HTTPResponse | None = None

        def close() -> None:
            watch.stop()
            if answer is not None:
                answer.close()
            connection.close()
            sock.close()

        try:
            with _translate_errors(target), watch.within(HEADER_TIMEOUT):
                if isinstance(sock, ssl.SSLSocket):
                    sock.do_handshake()
                connection.request(
                    "GET", target.path, headers={"Host": target.authority, **headers}
                )
                answer = connection.getresponse()
            length = _content_length(answer)
        except BaseException:
            close()
            raise
        return Response(
            answer.status, answer.headers, length, _chunks(target, answer, length, watch), close
        )

    def _connect(self, target: Target) -> socket.socket:
        """A connection to the first address that accepts one.

        :raises OSError: no address does.
        """
        failure: OSError | None = None
        for address in target.addresses[:_MAX_ADDRESSES]:
            try:
                sock = socket.create_connection((address, target.port), CONNECT_TIMEOUT)
            except OSError as error:
                failure = error
                continue
            try:
                sock.settimeout(READ_TIMEOUT)
                if target.scheme == "https":
                    # The handshake comes later, when the watchdog limits its duration.
                    sock = self._tls.wrap_socket(
                        sock, server_hostname=target.host, do_handshake_on_connect=False
                    )
            except BaseException:
                sock.close()
                raise
            return sock
        raise failure or OSError("no address")


@contextlib.contextmanager
def _translate_errors(target: Target) -> Iterator[None]:
    """Turn errors of the network into errors for the client, without IP addresses or secrets."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise errors.StoreUnavailable(
            f"The certificate of {target.authority} is not trusted."
        ) from error
    except TimeoutError as error:
        raise errors.StoreUnavailable(f"{target.authority} is too slow.") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise errors.StoreUnavailable(f"{target.authority} cannot be reached.") from error


def _chunks(
    target: Target, answer: http.client.HTTPResponse, length: int | None, watch: Watchdog
) -> Iterator[bytes]:
    """The body; the minimum rate does not count the time between two reads."""
    left = length
    pace = MinimumRate(watch, MIN_RATE_BYTES, MIN_RATE_SECONDS)
    while left is None or left:
        wanted = CHUNK if left is None else min(CHUNK, left)
        with _translate_errors(target):
            chunk = pace.read(functools.partial(answer.read1, wanted))
        if not chunk:
            if left:
                raise errors.StoreUnavailable(
                    f"{target.authority} stopped sending {left} bytes too early."
                )
            return
        if left is not None:
            left -= len(chunk)
        yield chunk


def _require_identity_encoding(response: Response) -> Response:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("identity", ""):
        response.close()
        raise errors.Invalid("The source sends the data in an encoding that was not asked for.")
    return response


def _content_length(answer: http.client.HTTPResponse) -> int | None:
    """The length of the body; None when it is not announced.

    :raises errors.Invalid: the headers contradict each other, or hold no number.
    """
    said = set(answer.headers.get_all("Content-Length", []))
    if answer.chunked or not said:
        return None
    text = said.pop().strip()
    if said or not (text.isascii() and text.isdigit()):
        raise errors.Invalid("The source does not say clearly how long the data is.")
    return int(text)


def _range_headers(start: int, if_range: str | None) -> dict[str, str]:
    if not start:
        return {}
    wanted = {"Range": f"bytes={start}-"}
    if if_range is not None:
        wanted["If-Range"] = if_range
    return wanted


def _basic_auth_headers(credentials: str | None) -> dict[str, str]:
    if not credentials:
        return {}
    plain = urllib.parse.unquote(credentials).encode()
    return {"Authorization": "Basic " + base64.b64encode(plain).decode("ascii")}
