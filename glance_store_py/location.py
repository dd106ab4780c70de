"""Addresses of objects: parse them, build them, compare them, print them safely.

A URL is taken apart once, here, and judged by the rules of its scheme; drivers
get a :class:`StoreLocation`.  Comparison goes by whole path components, so that
``/data/store`` never swallows ``/data/store2``.  Nothing here opens anything.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
import uuid
from collections.abc import Callable
from urllib.parse import quote, unquote

from glance_store_py import errors


@dataclasses.dataclass(frozen=True, slots=True)
class StoreLocation:
    """One URL in pieces.

    ``authority`` is host and port without credentials; ``credentials`` is
    ``user:password`` or None and stays out of ``repr``; ``path`` begins with a
    slash unless it is empty; ``query`` comes without its question mark.
    """

    scheme: str
    authority: str = ""
    path: str = ""
    query: str = ""
    credentials: str | None = dataclasses.field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The URL, without credentials."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.authority}{self.path}{query}"

    @property
    def redacted(self) -> str:
        """The URL as it may be shown: the query may be a signature, so it stays away."""
        return f"{self.scheme}://{self.authority}{self.path}{'?***' if self.query else ''}"

    def match_depth(self, prefix: StoreLocation) -> int:
        """How many whole components of ``prefix`` this address begins with.

        -1 when it does not lie under ``prefix``; an empty authority in the
        prefix stands for any.
        """
        if self.scheme != prefix.scheme:
            return -1
        if prefix.authority and prefix.authority != self.authority:
            return -1
        wanted = _components(prefix.path)
        if _components(self.path)[: len(wanted)] != wanted:
            return -1
        return len(wanted) + bool(prefix.authority)


def _components(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _parse_file(scheme: str, rest: str) -> StoreLocation:
    """A path of the local file system, taken literally (no quoting, no query)."""
    if not rest.startswith("/"):
        raise errors.BadStoreUri("A file address needs an absolute path.")
    if "\0" in rest or ".." in rest.split("/"):
        raise errors.BadStoreUri("A file address must name its file directly.")
    # Both names of the scheme mean the same file; two leading slashes mean one.
    return StoreLocation("file", path="/" + posixpath.normpath(rest).lstrip("/"))


_HTTP = re.compile(r"(?:([^/?#]*)@)?([^/?#@]+)([^?#]*)(?:\?([^#]*))?(?:#.*)?\Z", re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:\s]+)(?::[0-9]+)?\Z")


def _parse_http(scheme: str, rest: str) -> StoreLocation:
    match = _HTTP.match(rest)
    if match is None or not _HOST.match(match[2]) or _has_unprintable(rest):
        raise errors.BadStoreUri(f"An {scheme} address needs a valid host and port.")
    credentials, authority, path, query = match.groups()
    if credentials is not None and credentials.count(":") != 1:
        raise errors.BadStoreUri("Credentials in an address are user:password.")
    return StoreLocation(scheme, authority, path, query or "", credentials)


def _parse_memory(scheme: str, rest: str) -> StoreLocation:
    authority, slash, key = rest.partition("/")
    if not (authority and key):
        raise errors.BadStoreUri("A memory address is memory://store/object.")
    return StoreLocation(scheme, authority, slash + key)


def _parse_rbd(scheme: str, rest: str) -> StoreLocation:
    """``<fsid>/<pool>/<image>/<snapshot>``, percent-encoded, or ``<image>`` alone."""
    parts = [quote(unquote(part), safe="") for part in rest.split("/")]
    if len(parts) not in (1, 4) or not all(parts) or _has_unprintable(rest):
        raise errors.BadStoreUri("An rbd address is rbd://fsid/pool/image/snapshot.")
    return StoreLocation(scheme, parts[0], "".join(f"/{part}" for part in parts[1:]))


def _parse_cinder(scheme: str, rest: str) -> StoreLocation:
    """``<store>/<volume id>``, or ``<volume id>`` alone, which names no store."""
    store, _, volume = rest.rpartition("/")
    try:
        volume = str(uuid.UUID(volume))
    except ValueError:
        store = "/"
    if "/" in store or _has_unprintable(store):
        raise errors.BadStoreUri("A cinder address is cinder://store/volume.")
    return StoreLocation(scheme, store, f"/{volume}") if store else StoreLocation(scheme, volume)


def _parse_vsphere(scheme: str, rest: str) -> StoreLocation:
    raise errors.BadStoreUri("There is no driver for VMware datastores (vsphere://) any more.")


def _parse_s3(scheme: str, rest: str) -> StoreLocation:
    """``host/bucket/key``, taken literally; older ones have ``access:secret@`` in front."""
    credentials, at, place = rest.rpartition("@")
    host, _, path = place.partition("/")
    bucket, _, key = path.partition("/")
    if not (_HOST.match(host) and bucket and key) or _is_ambiguous(rest):
        raise errors.BadStoreUri("An S3 address is s3://host/bucket/key.")
    return StoreLocation(scheme, host, f"/{bucket}/{key}", credentials=credentials if at else None)


def _parse_swift(scheme: str, rest: str) -> StoreLocation:
    """``host/path/container/object``; with the reference to an account as host (swift+config),

    or with ``user:key@`` in front of the address of Keystone.
    """
    credentials, at, place = rest.rpartition("@")
    host, _, path = place.partition("/")
    parts = path.split("/")
    if (
        not host
        or len(parts) < 2
        or not all(parts)
        or _is_ambiguous(rest)
        or (at and (scheme == "swift+config" or credentials.count(":") not in (1, 2)))
    ):
        raise errors.BadStoreUri("A Swift address is swift+config://reference/container/object.")
    return StoreLocation(scheme, host, f"/{path}", credentials=credentials if at else None)


def _is_ambiguous(text: str) -> bool:
    """May others read this as another address than it is here?"""
    return "://" in text or _has_unprintable(text) or not {".", ".."}.isdisjoint(text.split("/"))


def _has_unprintable(text: str) -> bool:
    return any(ord(character) < 33 or ord(character) == 127 for character in text)


Parser = Callable[[str, str], StoreLocation]

_parsers: dict[str, Parser] = {
    "file": _parse_file,
    "filesystem": _parse_file,
    "http": _parse_http,
    "https": _parse_http,
    "memory": _parse_memory,
    "rbd": _parse_rbd,
    "cinder": _parse_cinder,
    "s3": _parse_s3,
    "s3+http": _parse_s3,
    "s3+https": _parse_s3,
    "swift": _parse_swift,
    "swift+config": _parse_swift,
    "swift+http": _parse_swift,
    "swift+https": _parse_swift,
    "vsphere": _parse_vsphere,
}


def register_scheme(scheme: str, parser: Parser) -> None:
    """Teach this module a scheme.

    ``parser(scheme, rest)`` gets what follows ``://`` and returns a StoreLocation or
    raises BadStoreUri.
    """
    _parsers[scheme] = parser


def parse(url: str) -> StoreLocation:
    """Take ``url`` apart.

    :raises errors.UnknownScheme: nobody reads this scheme.
    :raises errors.BadStoreUri: the scheme does not allow such an address.
    """
    scheme, separator, rest = url.partition("://")
    parser = _parsers.get(scheme.lower()) if separator else None
    if parser is None:
        raise errors.UnknownScheme(scheme if separator else "")
    return parser(scheme.lower(), rest)


def redacted(url: str) -> str:
    """``url`` as it may be shown: without credentials, also when it is malformed."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "(not a URL)"
    # The last @ counts: a password may hold @, and here too little is better.
    _, at, tail = rest.rpartition("@")
    tail, question, _ = tail.partition("?")
    return f"{scheme}://{'***@' if at else ''}{tail}{'?***' if question else ''}"
