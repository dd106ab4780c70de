"""Kinds of IP addresses: loopback, link-local, private and so on.

An IPv6 address may contain an IPv4 address, to which a gateway, tunnel or kernel sends the
packets; the contained address is checked too.  Names are not resolved here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6

Address = IPv4 | IPv6

#: Prefixes of addresses that have an IPv4 address in their last 32 bits:
#: mapped (RFC 4291), NAT64 (RFC 6052), SIIT (RFC 2765) and the deprecated compatible form.
_IPV4_WRAPPERS = tuple(
    map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96", "::ffff:0:0:0/96", "::/96"))
)

#: NAT64 for local use (RFC 8215).  Each network chooses its own prefix inside of it, of one of
#: the lengths of RFC 6052, and only its translator knows which.
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")

#: ``::`` and ``::1`` are in the range of the compatible addresses without being such.
_UNSPECIFIED_AND_LOOPBACK = frozenset({IPv6("::"), IPv6("::1")})

#: Interface identifiers of ISATAP (RFC 5214, 6.1).
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})

_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")


def parse_literal(host: str) -> Address | None:
    """The IP address that ``host`` is, in its standard form; None for a host name.

    :raises ValueError: it is neither.  Decimal, hexadecimal, octal and short forms of IPv4 are
        refused, because resolvers read them differently.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone")
        return IPv6(host)
    labels = host.lower().split(".")
    if _NUMBER.match(labels[-1]):
        return IPv4(host)
    if len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        raise ValueError("no host name")
    return None


def embedded_ipv4(address: Address) -> Iterator[IPv4]:
    """The IPv4 addresses that an IPv6 address contains; none for an IPv4 address."""
    if isinstance(address, IPv4):
        return
    number = int(address)
    if _wraps_ipv4(address) or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        yield IPv4(number & 0xFFFFFFFF)
    if address in _LOCAL_NAT64:
        yield from _nat64_candidates(number)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _nat64_candidates(number: int) -> Iterator[IPv4]:
    """The IPv4 addresses to which a translator might send a local NAT64 address.

    One for each length of prefix (RFC 6052, 2.2): shorter ones leave out bits 64 to 71.  A
    candidate in 0.0.0.0/8 cannot be reached; it counts only when all candidates are there.
    """
    without_u = number >> 64 << 56 | number & (1 << 56) - 1
    readings = [IPv4(without_u >> 120 - length - 32 & 0xFFFFFFFF) for length in (48, 56, 64)]
    readings.append(IPv4(number & 0xFFFFFFFF))
    yield from [each for each in readings if each not in _THIS_NETWORK] or readings


def normalize(address: Address) -> Address:
    """The contained address of an IPv6 address that stands for an IPv4 one; else ``address``."""
    if isinstance(address, IPv6) and _wraps_ipv4(address):
        return next(embedded_ipv4(address))
    return address


def denied_kind(address: Address, deny_private: bool = False) -> str | None:
    """The kind for which requests to an address are refused, such as "loopback"; None if none.

    :param deny_private: refuse addresses that are not globally reachable as "private".
    """
    translated = isinstance(address, IPv6) and address in _LOCAL_NAT64
    for each in (*(() if translated else (normalize(address),)), *embedded_ipv4(address)):
        kind = _special_kind(each)
        if kind is None and deny_private and not each.is_global:
            kind = "private"
        if kind is not None:
            return kind
    return None


def _wraps_ipv4(address: IPv6) -> bool:
    return address not in _UNSPECIFIED_AND_LOOPBACK and any(
        address in network for network in _IPV4_WRAPPERS
    )


def _special_kind(address: Address) -> str | None:
    if address.is_unspecified or address in _THIS_NETWORK:
        return "unspecified"
    if isinstance(address, IPv6) and address.is_site_local:
        return "site-local"  # fec0::/10, deprecated by RFC 3879 and never global
    for kind in ("loopback", "link_local", "multicast", "reserved"):
        if getattr(address, f"is_{kind}"):
            return kind.replace("_", "-")
    return None
