"""May the service send a request to this address?

The lists of [import_filtering_opts] are asked for scheme, host and port, in
this order; then the name is resolved and every address behind it is judged.
Nothing is sent from here except questions to the resolver.
"""

from __future__ import annotations

import dataclasses
import functools
import posixpath
import re
import socket
import urllib.parse
from collections.abc import Callable, Collection, Sequence

from oslo_config import cfg

from glance_py.domain import errors
from glance_py.safe_http import ip_address
from glance_py.safe_http.ip_address import Address, IPv4, IPv6, normalize

DEFAULT_PORTS = {"http": 80, "https": 443}

#: Ports of databases whose URL names none.
_DATABASE_PORTS = {"mysql": 3306, "postgresql": 5432}

#: Nothing that two parsers could read differently: no blanks, controls or backslashes.
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(?:([^/?#@\\]*)@)?"
    r"(\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|[^/?#@\\:\[\]]+)(?::([0-9]*))?"
    r"(/[^?#\\]*)?(?:\?([^#\\]*))?(?:#.*)?\Z"
)

#: (name, port) -> addresses as text, in the order in which they should be tried.
Resolver = Callable[[str, int], Sequence[str]]


def resolve_host(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the operating system knows them.

    :raises OSError: there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """An address that may be asked: its parts, and where to connect to.

    ``addresses`` are the judged ones; ``path`` has the query with it and is
    ready to be sent; ``credentials`` is ``user:password``, still quoted.
    """

    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]
    credentials: str | None = dataclasses.field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port (RFC 6454): whom a request's secrets are for."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and, where it is not the usual one, port, as the Host header has them."""
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
    """Judges URLs; built once per process, used by all threads.

    :param conf: ConfigOpts with [import_filtering_opts].
    :param resolver: asked for the addresses of names.
    """

    def __init__(self, conf: cfg.ConfigOpts, resolver: Resolver = resolve_host) -> None:
        options = conf.import_filtering_opts
        self._schemes = _AllowDenyLists(
            {each.lower() for each in options.allowed_schemes},
            {each.lower() for each in options.disallowed_schemes},
        )
        self._ports = _AllowDenyLists(set(options.allowed_ports), set(options.disallowed_ports))
        self._hosts = _AllowDenyLists(
            set(map(_normalize_host, options.allowed_hosts)),
            set(map(_normalize_host, options.disallowed_hosts)),
        )
        self._deny_private = options.deny_private_addresses
        self._resolve = resolver
        self._conf = conf

    @functools.cached_property
    def _service_endpoints(self) -> list[_ServiceEndpoint]:
        """Found at the first question: the pipeline registers options of Keystone late."""
        return _configured_endpoints(self._conf)

    def check(self, url: str, skip_lists: bool = False) -> Target:
        """Judge a URL.

        :param skip_lists: it was let in before.  Then the lists of schemes, hosts
            and ports, which may have changed since, are not asked again; where
            it leads is.
        :returns: where a request for it may go.  Connect to the addresses in
            it: a name that is resolved again may lead elsewhere.
        :raises errors.Invalid: it may not be asked, with the reason.
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
        """Where a request may go for a URL that the operator named: any place it is.

        :raises errors.Invalid: it is no URL of HTTP, or its host has no address.
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
        # wire: the lists of ports speak of ports that the URL names.
        if parts.port is not None and not self._ports.allows(parts.port):
            raise errors.Invalid(f"The port {parts.port} is not allowed here.")

    def _find_addresses(self, parts: _UrlParts, port: int) -> list[Address]:
        if parts.literal is not None:
            return [parts.literal]
        try:
            found = self._resolve(parts.host, port)
            # A zone only says through which interface this host reaches it.
            judged = [_parse_ip(text.partition("%")[0]) for text in found]
        except (OSError, ValueError):
            judged = []
        if not judged:
            raise errors.Invalid(f"The host {parts.host} has no address.")
        return judged

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
    """An operator's two lists: the first, when it says anything, decides alone."""

    allowed: Collection
    disallowed: Collection

    def allows(self, value: object) -> bool:
        return value in self.allowed if self.allowed else value not in self.disallowed


@dataclasses.dataclass(frozen=True, slots=True)
class _ServiceEndpoint:
    """Something that only the service itself should talk to."""

    host: str
    port: int
    path: str

    def covers(self, path: str) -> bool:
        """Does ``path`` lie in this part of the host?  Dots and quoting do not hide it."""
        plain = urllib.parse.unquote(path.partition("?")[0])
        plain = "/" + posixpath.normpath(plain).lstrip("/")
        return not self.path or plain == self.path or plain.startswith(self.path + "/")


def _configured_endpoints(conf: cfg.ConfigOpts) -> list[_ServiceEndpoint]:
    """The database, Keystone and this very worker, as far as the configuration names them.

    Where services share a host and a port their paths tell them apart, so the
    image service of the same cloud stays a source that can be imported from.
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
            found.append(_ServiceEndpoint(parts.hostname, port, path))
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
    """The port of a URL; None where it names none.

    The number that is returned is the one that is judged and connected to.  Five
    digits are enough for every port, so longer numbers, whose leading zeros readers
    may treat differently, are refused.
    """
    if not text:
        return None
    if len(text) > 5 or not 1 <= int(text) <= 65535:
        raise errors.Invalid(
            "The port of the URL must be a number from 1 to 65535, of at most five digits."
        )
    return int(text)


def _normalize_host(host: str) -> str | Address:
    """A host of an operator's list, written as hosts of URLs are."""
    host = host.strip("[]").rstrip(".").lower()
    try:
        return normalize(_parse_ip(host))
    except ValueError:
        return host


def _parse_ip(text: str) -> Address:
    return IPv6(text) if ":" in text else IPv4(text)
