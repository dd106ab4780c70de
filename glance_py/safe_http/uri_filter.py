"""The filter of URLs to which the service may send a request.

It checks scheme, host and port, in this order, against the lists of [import_filtering_opts];
then it resolves the name of the host and checks every IP address.  It sends nothing but questions
to the resolver.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import posixpath
import re
import socket
import urllib.parse
from collections.abc import Callable, Collection, Sequence

from oslo_config import cfg

from glance_py.domain import errors
from glance_py.safe_http import ip_address
from glance_py.safe_http.ip_address import Address, normalize
from glance_py.settings import UriFilterSettings

DEFAULT_PORTS = {"http": 80, "https": 443}

#: Ports of databases whose URL names none.
_DATABASE_PORTS = {"mysql": 3306, "postgresql": 5432}

#: A URL that all parsers read the same way: no blanks, control characters or backslashes.
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(?:([^/?#@\\]*)@)?"
    r"(\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|[^/?#@\\:\[\]]+)(?::([0-9]*))?"
    r"(/[^?#\\]*)?(?:\?([^#\\]*))?(?:#.*)?\Z"
)

#: (host name, port) -> IP addresses as text, in the order in which they should be tried.
Resolver = Callable[[str, int], Sequence[str]]


def resolve_host(host: str, port: int) -> Sequence[str]:
    """The IP addresses of a host name, from the resolver of the operating system.

    :raises OSError: the name has no addresses.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed the filter, and the IP addresses to connect to.

    ``addresses`` are those that passed; ``path`` includes the query and is ready to be sent;
    ``credentials`` is ``user:password``, still percent-encoded.
    """

    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]
    credentials: str | None = dataclasses.field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port (RFC 6454): the server that a request's secrets are for."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of the Host header: the host, and the port unless it is the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class _UrlParts:
    scheme: str
    host: str
    literal: Address | None
    port: int | None
    path: str
    credentials: str | None


class UriFilter:
    """Checks URLs; built once per process, used by all threads.

    :param endpoints: the service's own endpoints, which no request may reach; called at the first
        check, since the pipeline registers the options of Keystone late.
    :param resolver: resolves host names.
    """

    def __init__(
        self,
        settings: UriFilterSettings,
        endpoints: Callable[[], Sequence[ServiceEndpoint]] = tuple,
        resolver: Resolver = resolve_host,
    ) -> None:
        self._schemes = _AllowDenyLists(
            {each.lower() for each in settings.allowed_schemes},
            {each.lower() for each in settings.disallowed_schemes},
        )
        self._ports = _AllowDenyLists(set(settings.allowed_ports), set(settings.disallowed_ports))
        self._hosts = _AllowDenyLists(
            set(map(_normalize_host, settings.allowed_hosts)),
            set(map(_normalize_host, settings.disallowed_hosts)),
        )
        self._deny_private = settings.deny_private_addresses
        self._resolve = resolver
        self._endpoints = endpoints

    @functools.cached_property
    def _service_endpoints(self) -> Sequence[ServiceEndpoint]:
        return self._endpoints()

    def check(self, url: str, skip_lists: bool = False) -> Target:
        """Check a URL that a client named.

        :param skip_lists: do not check scheme, host and port against the lists, because the URL
            passed them before and they may have changed since; check its IP addresses only.
        :returns: the target of a request.  Connect to its addresses: resolving the name again may
            give others.
        :raises errors.Invalid: the URL is refused, with the reason.
        """
        try:
            return self._check(url, skip_lists)
        except errors.Invalid as error:
            # wire: clients look for these words.
            raise errors.Invalid(f"The URI does not pass filtering. {error}") from None

    def _check(self, url: str, skip_lists: bool) -> Target:
        parts = _parse_url(url)
        if parts.scheme not in DEFAULT_PORTS:
            raise errors.Invalid(f"URLs of the scheme {parts.scheme} are not allowed here.")
        host_or_ip = parts.host if parts.literal is None else normalize(parts.literal)
        if not skip_lists:
            self._check_lists(parts, host_or_ip)
        port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        found = self._find_addresses(parts, port)
        if host_or_ip not in self._hosts.allowed:
            self._check_addresses(parts, port, found)
        return Target(
            parts.scheme, parts.host, port, parts.path, tuple(map(str, found)), parts.credentials
        )

    def resolve_trusted(self, url: str) -> Target:
        """The target of a request for a URL that the operator named, without lists and checks.

        :raises errors.Invalid: it is no URL of HTTP, or its host has no IP address.
        """
        parts = _parse_url(url)
        if parts.scheme not in DEFAULT_PORTS:
            raise errors.Invalid(f"URLs of the scheme {parts.scheme} are not allowed here.")
        port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        return Target(
            parts.scheme,
            parts.host,
            port,
            parts.path,
            tuple(map(str, self._find_addresses(parts, port))),
            parts.credentials,
        )

    def _check_lists(self, parts: _UrlParts, host_or_ip: str | Address) -> None:
        if not self._schemes.allows(parts.scheme):
            raise errors.Invalid(f"URLs of the scheme {parts.scheme} are not allowed here.")
        if not self._hosts.allows(host_or_ip):
            raise errors.Invalid(f"The host {parts.host} is not allowed here.")
        # wire: the lists of ports apply only to a port that the URL names.
        if parts.port is not None and not self._ports.allows(parts.port):
            raise errors.Invalid(f"The port {parts.port} is not allowed here.")

    def _find_addresses(self, parts: _UrlParts, port: int) -> list[Address]:
        if parts.literal is not None:
            return [parts.literal]
        try:
            found = self._resolve(parts.host, port)
            # The zone of an address is the interface through which this host reaches it.
            parsed = [_parse_ip(text.partition("%")[0]) for text in found]
        except (OSError, ValueError):
            parsed = []
        if not parsed:
            raise errors.Invalid(f"The host {parts.host} has no address.")
        return parsed

    def _check_addresses(self, parts: _UrlParts, port: int, found: list[Address]) -> None:
        for each in found:
            kind = ip_address.denied_kind(each, self._deny_private)
            if kind is not None:
                raise errors.Invalid(f"The host {parts.host} has a {kind} address.")
            refused = self._hosts.disallowed if not self._hosts.allowed else ()
            if any(
                place in refused for place in (normalize(each), *ip_address.embedded_ipv4(each))
            ):
                raise errors.Invalid(f"The host {parts.host} is not allowed here.")
        for own in self._service_endpoints:
            if own.port == port and own.covers(parts.path) and self._is_same_host(own.host, found):
                raise errors.Invalid("This address belongs to the service itself.")

    def _is_same_host(self, host: str, found: list[Address]) -> bool:
        try:
            mine = {normalize(_parse_ip(text)) for text in self._resolve(host, 0)}
        except (OSError, ValueError):
            return False
        return any(
            not mine.isdisjoint((normalize(each), *ip_address.embedded_ipv4(each)))
            for each in found
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _AllowDenyLists:
    """An operator's two lists; the second counts only while the first is empty."""

    allowed: Collection[object]
    disallowed: Collection[object]

    def allows(self, value: object) -> bool:
        """True when the lists let ``value`` pass."""
        return value in self.allowed if self.allowed else value not in self.disallowed


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """An endpoint that only the service itself may talk to; an empty ``path`` is the whole port."""

    host: str
    port: int
    path: str

    def covers(self, path: str) -> bool:
        """True when ``path`` is inside of this endpoint, after dots and quoting are resolved."""
        plain = urllib.parse.unquote(path.partition("?")[0])
        plain = "/" + posixpath.normpath(plain).lstrip("/")
        return not self.path or plain == self.path or plain.startswith(self.path + "/")


def service_endpoints(conf: cfg.ConfigOpts) -> list[ServiceEndpoint]:
    """The database, Keystone and this worker, as far as the configuration names them.

    Services that share a host and a port are distinguished by their paths, so that a client may
    import from the image service of the same cloud.

    :param conf: with the options of oslo.db and keystonemiddleware, when these are used.
    """
    urls = [conf.worker_self_reference_url]
    if "database" in conf:
        urls += [conf.database.connection, conf.database.slave_connection]
    if "keystone_authtoken" in conf:
        keystone = conf.keystone_authtoken
        urls += [
            keystone[name] for name in ("auth_url", "www_authenticate_uri") if name in keystone
        ]
    found = []
    for url in filter(None, urls):
        try:
            parts = urllib.parse.urlsplit(url)
            scheme = parts.scheme.partition("+")[0]
            usual = DEFAULT_PORTS.get(scheme) or _DATABASE_PORTS.get(scheme)
            port = parts.port or usual
        except ValueError:
            continue
        if parts.hostname and port:
            path = parts.path.rstrip("/") if scheme in DEFAULT_PORTS else ""
            found.append(ServiceEndpoint(parts.hostname, port, path))
    return found


def _parse_url(url: str) -> _UrlParts:
    match = _URL.match(url)
    if match is None or any(character <= " " or character == "\x7f" for character in url):
        raise errors.Invalid("This is not a URL with a scheme and a host.")
    scheme, credentials, host, port, path, query = match.groups()
    host = host.strip("[]").rstrip(".").lower()
    try:
        if not host.isascii():
            host = host.encode("idna").decode("ascii").lower()
        literal = ip_address.parse_literal(host)
    except ValueError:
        raise errors.Invalid(
            "The host of the URL must be a name, or an IP address in its usual form."
        ) from None
    path = urllib.parse.quote(path or "/", safe="/%:@!$&'()*+,;=~-._")
    if query is not None:
        path += "?" + urllib.parse.quote(query, safe="/%?:@!$&'()*+,;=~-._[]|")
    return _UrlParts(scheme.lower(), host, literal, _parse_port(port), path, credentials)


def _parse_port(text: str | None) -> int | None:
    """The port of a URL; None when the URL names none.

    Numbers of more than five digits are refused: parsers treat leading zeros differently, and
    five digits are enough for every port.

    :raises errors.Invalid: the text is no port.
    """
    if not text:
        return None
    if len(text) > 5 or not 1 <= int(text) <= 65535:
        raise errors.Invalid(
            "The port of the URL must be a number from 1 to 65535, of at most five digits."
        )
    return int(text)


def _normalize_host(host: str) -> str | Address:
    """A host of an operator's list in the form in which the hosts of URLs are compared."""
    host = host.strip("[]").rstrip(".").lower()
    try:
        return normalize(_parse_ip(host))
    except ValueError:
        return host


def _parse_ip(text: str) -> Address:
    """:raises ValueError: the text is no IP address."""
    return ipaddress.IPv6Address(text) if ":" in text else ipaddress.IPv4Address(text)
